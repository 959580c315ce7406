//! A gale over two nodes and their database: clients submit under idempotency keys and send again
//! what was not acknowledged, while sessions are ended, the database is killed, stopped and
//! started, and a node dies and comes back. In the calm after it every request has led to one task,
//! each has ended once, and the counters say what the rows say.

use std::fmt;
use std::time::Duration;

use test_servers::Cluster;

use super::load::{Reckoning, under_load};
use super::town::Town;
use crate::ledger::random::Random;
use crate::ledger::server::Server;

const ROUNDS: u64 = 8;

pub struct Gale {
    seed: u64,
}

/// What befell them.
#[derive(Default)]
pub struct Blows {
    sessions_ended: u64,
    restarts: u64,
    freezes: u64,
    kills: u64,
}

impl Gale {
    pub fn new(seed: u64) -> Gale {
        Gale { seed }
    }

    pub fn run(&self) -> (Blows, Reckoning) {
        let cluster = Cluster::start(&[]);
        let town = Town::on(&cluster);
        let mut nodes = vec![town.node("a"), town.node("b")];
        let mut blows = Blows::default();
        let reckoning = under_load(&mut nodes, |nodes, signpost| {
            let mut random = Random::new(self.seed);
            for round in 0..ROUNDS {
                Gale::befall(&town, &cluster, nodes, (round, &mut random), &mut blows);
                signpost.show(nodes);
            }
            // Whoever comes back claims anew what it held.
            blows.kills
        });
        (blows, reckoning)
    }

    /// One blow, and a moment of peace.
    fn befall(
        town: &Town,
        cluster: &Cluster,
        nodes: &mut Vec<Server>,
        (round, random): (u64, &mut Random),
        blows: &mut Blows,
    ) {
        match round % 4 {
            0 => {
                cluster.stop();
                cluster.start_again();
                blows.restarts += 1;
            }
            1 => {
                cluster.freeze();
                // Longer than a commit may be silent.
                assert!(nodes[0].lives_for(Duration::from_secs(7)), "{}", nodes[0].output());
                cluster.thaw();
                blows.freezes += 1;
            }
            2 => {
                nodes.remove(0).kill();
                let name = if blows.kills.is_multiple_of(2) { "a" } else { "b" };
                nodes.push(town.node(name));
                blows.kills += 1;
            }
            _ => {
                let mut admin = cluster.admin("postgres");
                let ended = admin.query(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                     WHERE application_name LIKE 'taskscheduler%' AND random() < 0.7",
                    &[],
                );
                blows.sessions_ended += ended.map_or(0, |rows| rows.len() as u64);
            }
        }
        let peace = Duration::from_millis(300 + random.below(1500));
        for node in nodes {
            assert!(node.lives_for(peace / 2), "it died by itself:\n{}", node.output());
        }
    }
}

impl Blows {
    /// A gale that hit nobody proves nothing.
    pub fn assert_they_were_real(&self, reckoning: &Reckoning) {
        let blows = self.sessions_ended + self.restarts + self.freezes + self.kills;
        let Reckoning { acknowledged, again, .. } = reckoning;
        assert!(blows >= ROUNDS && *acknowledged > 100 && *again > 0, "{self}; {reckoning}");
    }
}

impl fmt::Display for Blows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} sessions ended, {} restarts of the database, {} freezes, {} kills of a node",
            self.sessions_ended, self.restarts, self.freezes, self.kills,
        )
    }
}
