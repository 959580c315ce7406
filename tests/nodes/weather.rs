//! Bad weather on the lines of two nodes to their database, each by a proxy of its own: answers to
//! COMMIT and to claims are lost or never come, lines are cut anywhere, reset, half closed, slow,
//! and swallow everything.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use test_servers::{Cluster, Fault, Plan, Proxy, Way};

use super::load::{Reckoning, under_load};
use super::town::Town;
use crate::ledger::random::Random;
use crate::ledger::server::Server;

const PHASE: Duration = Duration::from_millis(1200);
/// How long a commit may be silent before another connection asks what became of it.
const STALL: Duration = Duration::from_secs(2);

/// What was done to the lines.
#[derive(Default)]
pub struct Weather {
    seed: u64,
    lost_commits: u64,
    swallowed_commits: u64,
    cuts: u64,
    half_closes: u64,
    resets: u64,
    black_holes: u64,
    delays: u64,
    random: u64,
}

impl Weather {
    pub fn run(seed: u64) -> (Weather, Reckoning) {
        let cluster = Cluster::shared();
        let town = Town::on(cluster)
            .set("TASK_SCHEDULER_STORE_STALL_LIMIT", &format!("{}s", STALL.as_secs()));
        let server = SocketAddr::from(([127, 0, 0, 1], cluster.port()));
        let proxies = [0, 1].map(|_| Proxy::to(server).expect("a proxy"));
        let [a, b] = &proxies;
        let mut nodes = vec![
            town.node_by("a", &town.url_by(a.address().port())),
            town.node_by("b", &town.url_by(b.address().port())),
        ];
        let mut weather = Weather { seed, ..Weather::default() };
        let reckoning = under_load(&mut nodes, |nodes, _| {
            let mut random = Random::new(seed);
            for proxy in &proxies {
                weather.befall(proxy, nodes, &mut random);
            }
            // No node ends, so every task is claimed once, however often answers are lost.
            0
        });
        (weather, reckoning)
    }

    fn befall(&mut self, proxy: &Proxy, nodes: &[Server], random: &mut Random) {
        let suffer = |plan: Plan, time: Duration| {
            let before = proxy.injected();
            proxy.plan(plan);
            peace(nodes, time);
            proxy.plan(Plan::Through);
            peace(nodes, PHASE / 2);
            proxy.injected() - before
        };
        let commit = || b"COMMIT".to_vec();
        self.lost_commits += suffer(Plan::Next(3, Fault::LoseAnswerTo(commit())), PHASE);
        // The client never learns that nothing will come; what it claimed is found again by asking
        // for all that it holds.
        let silence = STALL + PHASE;
        self.swallowed_commits += suffer(Plan::Next(2, Fault::SwallowAnswerTo(commit())), silence);
        for _ in 0..3 {
            // Answers are mostly claimed rows, and few bytes are a piece of one.
            let answering = Fault::CutAfter(Way::Answering, random.below(30_000));
            let asking = Fault::CutAfter(Way::Asking, random.below(30_000));
            self.cuts += suffer(Plan::Next(2, answering), PHASE / 2);
            self.cuts += suffer(Plan::Next(2, asking), PHASE / 2);
        }
        for way in [Way::Answering, Way::Asking] {
            let fault = Fault::HalfClose(way, random.below(5000));
            self.half_closes += suffer(Plan::Next(2, fault), PHASE);
        }
        self.resets += suffer(Plan::Next(4, Fault::Reset), PHASE);
        self.black_holes += suffer(Plan::All(Fault::BlackHole), STALL + PHASE);
        self.delays += suffer(Plan::All(Fault::Delay(Duration::from_millis(15))), PHASE);
        let faults = vec![
            Fault::LoseAnswerTo(commit()),
            Fault::CutAfter(Way::Answering, 100),
            Fault::CutAfter(Way::Asking, 100),
            Fault::HalfClose(Way::Answering, 10),
            Fault::Reset,
        ];
        let seed = random.next();
        self.random += suffer(Plan::Random { seed, one_in: 60, faults }, 2 * PHASE);
    }

    /// Weather that nobody noticed proves nothing.
    pub fn assert_it_was_real(&self, reckoning: &Reckoning) {
        let Weather { lost_commits, swallowed_commits, cuts, half_closes, .. } = self;
        let each = [*lost_commits, *swallowed_commits, *cuts, *half_closes, self.resets];
        let rest = [self.black_holes, self.delays, self.random];
        assert!(each.iter().chain(&rest).all(|count| *count > 0), "{self}");
        assert!(reckoning.acknowledged > 500 && reckoning.again > 0, "{self}: {reckoning}");
    }
}

/// Lets time pass in which no node may end.
fn peace(nodes: &[Server], time: Duration) {
    for node in nodes {
        let share = time / nodes.len() as u32;
        assert!(node.lives_for(share), "it died by itself:\n{}", node.output());
    }
}

impl fmt::Display for Weather {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "seed {}: {} answers to COMMIT lost and {} swallowed, {} lines cut, {} half closed, {} \
             reset, {} in a black hole, {} pieces late, {} faults at random",
            self.seed,
            self.lost_commits,
            self.swallowed_commits,
            self.cuts,
            self.half_closes,
            self.resets,
            self.black_holes,
            self.delays,
            self.random,
        )
    }
}
