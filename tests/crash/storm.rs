//! A storm: clients at work, kill after kill, then calm, then the reckoning.

use std::fmt;
use std::process::Command;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::load::{Load, Signpost, Types, life};
use crate::ledger::book::{Entry, Fate, Found, breaches};
use crate::ledger::http::Client;
use crate::ledger::random::Random;
use crate::ledger::reckoning::{all_tasks, miscounts};
use crate::ledger::server::{Deadline, Server, Starting};

const CLIENTS: u64 = 4;
/// How long everything may take to end once the server is left in peace.
const CALM_WAIT: Duration = Duration::from_mins(1);
/// Between two looks at a server that is at work.
const LOOK_EVERY: Duration = Duration::from_millis(20);

pub struct Storm<'a> {
    pub seed: u64,
    pub kills: u64,
    pub types: Types,
    pub command: &'a dyn Fn() -> Command,
}

/// What is known when it is over.
pub struct Reckoning {
    pub kills: u64,
    /// Of these, before the server said that it was ready.
    pub kills_in_start: u64,
    pub entries: Vec<Entry>,
    /// Every task that the server had in the end.
    pub tasks: Vec<Found>,
    pub breaches: Vec<String>,
}

impl Storm<'_> {
    pub fn run(self) -> Reckoning {
        let signpost = Signpost::new();
        let random = Random::new(self.seed);
        let (server, kills_in_start, entries, mut found) = thread::scope(|scope| {
            // Whatever happens here, the clients must not wait for ever.
            let calm = CalmAtTheEnd(&signpost);
            let clients: Vec<_> = (0..CLIENTS)
                .map(|name| Load::new(name, random.part(name + 1), self.types))
                .map(|load| scope.spawn(|| load.run(&signpost)))
                .collect();
            let kills_in_start = self.rage(&signpost, random.part(0));
            let server = Starting::new((self.command)()).ready();
            signpost.show(server.address);
            assert!(server.lives_for(Duration::from_millis(300)), "it died by itself");
            drop(calm);
            let (mut entries, mut surprises) = (Vec::new(), Vec::new());
            for client in clients {
                let (its_entries, its_surprises) = client.join().expect("a client's ledger");
                entries.extend(its_entries);
                surprises.extend(its_surprises);
            }
            (server, kills_in_start, entries, surprises)
        });
        let tasks = wait_for_calm(&server);
        found.extend(breaches(&entries, &tasks, self.kills));
        found.extend(miscounts(&server, &tasks));
        found.extend(self.restart_breaches(server, &tasks));
        Reckoning { kills: self.kills, kills_in_start, entries, tasks, breaches: found }
    }

    fn rage(&self, signpost: &Signpost, mut random: Random) -> u64 {
        let mut in_start = 0;
        for kill in 0..self.kills {
            let life = life(&mut random);
            let starting = Starting::new((self.command)());
            if kill > 0 && random.one_in(5) {
                // While it recovers; a process that is not ready has no clients.
                starting.lives_for(Duration::from_millis(random.below(40)));
                starting.kill();
                signpost.count_kill();
                in_start += 1;
                continue;
            }
            let server = starting.ready();
            signpost.show(server.address);
            let lived = server.lives_for(life);
            assert!(lived, "seed {}: it died by itself:\n{}", self.seed, server.output());
            // Counted afterwards: what is accepted in the last moment is still to meet this kill.
            server.kill();
            signpost.count_kill();
        }
        in_start
    }

    /// Ended is ended: a clean stop and a new start change nothing.
    fn restart_breaches(&self, server: Server, before: &[Found]) -> Vec<String> {
        let ended = server.terminate();
        let again = Starting::new((self.command)()).ready();
        let after = all_tasks(&mut Client::new(again.address));
        let mut breaches: Vec<String> = ended.err().into_iter().collect();
        if after != before {
            let (count, of) = (after.len(), before.len());
            let changed = before.iter().zip(&after).find(|(before, after)| before != after);
            breaches.push(format!("after a restart {count} of {of}: {changed:?}"));
        }
        breaches
    }
}

struct CalmAtTheEnd<'a>(&'a Signpost);

impl Drop for CalmAtTheEnd<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Waits until nothing is left to do; returns every task in the order of its id.
fn wait_for_calm(server: &Server) -> Vec<Found> {
    let deadline = Deadline::after(CALM_WAIT);
    let mut client = Client::new(server.address);
    loop {
        let statistics = client.get("/api/v1/tasks/statistics").expect("statistics").json();
        let left: u64 = ["pending", "scheduled", "queued", "running", "retrying", "paused"]
            .iter()
            .map(|status| statistics[format!("{status}Tasks")].as_u64().expect("a count"))
            .sum();
        if left == 0 {
            return all_tasks(&mut client);
        }
        if deadline.is_over() {
            let stuck: Vec<_> = all_tasks(&mut client).into_iter().filter(|t| !t.ended()).collect();
            let (output, some) = (server.output(), &stuck[..stuck.len().min(10)]);
            panic!("{left} tasks do not end: {some:#?}\n{statistics}\n{output}");
        }
        assert!(server.lives_for(LOOK_EVERY), "it died by itself:\n{}", server.output());
    }
}

impl Reckoning {
    pub fn count(&self, fate: fn(&Fate) -> bool) -> usize {
        self.entries.iter().filter(|entry| fate(&entry.fate)).count()
    }

    /// A storm that hit nobody proves nothing.
    pub fn assert_faults_were_real(&self) {
        let acknowledged = self.count(|fate| matches!(fate, Fate::Acknowledged(_)));
        assert!(self.kills > 0, "no kill");
        assert!(acknowledged as u64 > 10 * self.kills, "hardly a load: {self}");
    }
}

impl fmt::Display for Reckoning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let acknowledged = self.count(|fate| matches!(fate, Fate::Acknowledged(_)));
        let refused = self.count(|fate| *fate == Fate::Refused);
        let unknown = self.count(|fate| *fate == Fate::Unknown);
        let (kills, in_start) = (self.kills, self.kills_in_start);
        writeln!(
            f,
            "{kills} kills ({in_start} during a start): {acknowledged} acknowledged, \
             {refused} refused, {unknown} unknown; {} breaches",
            self.breaches.len()
        )?;
        self.breaches.iter().take(20).try_for_each(|breach| writeln!(f, "  {breach}"))
    }
}

/// Submits a task that must be accepted; its id.
pub fn submit_one(client: &mut Client, task: &Value) -> u64 {
    let answer = client.post("/api/v1/tasks", &task.to_string()).expect("an answer");
    assert_eq!(answer.code, 201, "{}", answer.body);
    answer.json()["id"].as_u64().expect("an id")
}

/// Looks at a task until it is as wanted.
pub fn poll_task(
    server: &Server,
    id: u64,
    patience: &Deadline,
    wanted: impl Fn(&Value) -> bool,
) -> Value {
    let mut client = Client::new(server.address);
    loop {
        let answer = client.get(&format!("/api/v1/tasks/{id}")).expect("an answer");
        assert_eq!(answer.code, 200, "{}", answer.body);
        let task = answer.json();
        if wanted(&task) {
            return task;
        }
        assert!(!patience.is_over(), "it does not come to that: {task}\n{}", server.output());
        assert!(server.lives_for(Duration::from_millis(5)), "it died:\n{}", server.output());
    }
}

/// A number that the caller of the tests may set.
pub fn number_from_environment(name: &str, otherwise: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")),
        Err(_) => otherwise,
    }
}
