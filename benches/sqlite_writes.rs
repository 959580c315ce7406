//! The write path of the SQLite store, each way beside the bare SQL it could be at best, and the
//! ways that were not chosen: one table updated in place, and an index over all ready rows.
//!
//! `cargo bench --bench sqlite_writes` prints the table and leaves it in `benches/results/`. Every
//! figure is tasks a second on one thread, synced at every commit; rounds alternate between the
//! ways, so that a slow moment of the machine does not fall on one of them alone. The processor
//! time of the measuring thread stands beside it, because that is the same on a busy machine.

#[path = "sqlite_writes/bare.rs"]
mod bare;
#[path = "http/machine.rs"]
#[expect(dead_code, reason = "this benchmark watches no process")]
mod machine;
#[path = "sqlite_writes/through.rs"]
mod through;

use std::fmt::Write;
use std::sync::Arc;

use rustix::time::{ClockId, clock_gettime};
use taskscheduler::clock::{Clock, Mono, SystemClock};

/// Tasks in one measurement.
pub const TASKS: usize = 200_000;
/// Tasks in one batch.
pub const BATCH: usize = 1000;
/// Rows in one claim.
pub const CLAIM: usize = 4096;
const ROUNDS: usize = 3;

/// One way to write, and what it is measured as.
struct Way {
    name: &'static str,
    run: fn(&Stopwatch) -> Rate,
}

const WAYS: &[Way] = &[
    Way { name: "insert, bare SQL", run: bare::insert },
    Way { name: "insert, through commit, held", run: through::insert_held },
    Way { name: "insert, through commit, free", run: through::insert_free },
    Way { name: "insert, bare SQL, index over ready rows", run: bare::insert_indexed },
    Way { name: "insert + finish, bare SQL, moved to history", run: bare::life },
    Way { name: "insert + finish, through commit", run: through::life },
    Way { name: "insert + finish, bare SQL, updated in place", run: bare::life_in_place },
    Way { name: "insert + finish, moved, index over ready rows", run: bare::life_indexed },
    Way { name: "insert + finish, in place, index over ready rows", run: bare::in_place_indexed },
    Way { name: "claim (owner written), through commit", run: through::claim },
    Way { name: "claim + finish, bare SQL", run: bare::drain },
    Way { name: "claim + finish, through commit", run: through::drain },
    Way { name: "take over after a crash", run: through::recover },
];

fn main() {
    let watch = Stopwatch(Arc::new(SystemClock::new()));
    let only = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
    let ways = WAYS.iter().filter(|way| only.as_ref().is_none_or(|part| way.name.contains(part)));
    let mut rates: Vec<(&Way, Vec<Rate>)> = ways.map(|way| (way, Vec::new())).collect();
    for _ in 0..ROUNDS {
        for (way, measured) in &mut rates {
            measured.push((way.run)(&watch));
        }
    }
    let mut table = format!(
        "{}\nSQLite {}, {TASKS} tasks, payload 100 bytes, batches of {BATCH}, \
         claims of {CLAIM}\n\n",
        serde_json::to_string(&machine::facts()).expect("facts are JSON"),
        rusqlite::version(),
    );
    let mut line = |name: &str, figures: [String; 4]| {
        let [median, least, most, cpu] = figures;
        writeln!(table, "{name:<50} {median:>9} {least:>9} {most:>9} {cpu:>11}").expect("a text");
    };
    line("tasks/s", ["median", "least", "most", "CPU us/task"].map(str::to_owned));
    for (way, measured) in &mut rates {
        let middle = |of: fn(&Rate) -> f64, at: usize| {
            let mut all: Vec<f64> = measured.iter().map(of).collect();
            all.sort_by(f64::total_cmp);
            all[at]
        };
        let [median, least, most] =
            [ROUNDS / 2, 0, ROUNDS - 1].map(|at| format!("{:.0}", middle(|r| r.wall, at)));
        let cpu = format!("{:.2}", middle(|r| r.cpu_us, ROUNDS / 2));
        line(way.name, [median, least, most, cpu]);
    }
    print!("{table}");
    if only.is_none() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/results");
        std::fs::create_dir_all(folder).expect("the results folder can be made");
        std::fs::write(format!("{folder}/sqlite_writes.txt"), table)
            .expect("the results folder can be written");
    }
}

/// How fast one way was, once.
#[derive(Debug, Clone, Copy)]
pub struct Rate {
    /// Tasks a second.
    wall: f64,
    /// Processor time of the measuring thread for each task, in microseconds.
    cpu_us: f64,
}

/// Measures rates.
pub struct Stopwatch(pub Arc<SystemClock>);

impl Stopwatch {
    /// Starts.
    pub fn start(&self) -> (Mono, f64) {
        (self.0.mono(), thread_us())
    }

    /// How fast it went since then.
    pub fn rate(&self, (from, cpu): (Mono, f64)) -> Rate {
        let wall = TASKS as f64 / self.0.mono().since(from).as_secs_f64();
        Rate { wall, cpu_us: (thread_us() - cpu) / TASKS as f64 }
    }
}

fn thread_us() -> f64 {
    let used = clock_gettime(ClockId::ThreadCPUTime);
    used.tv_sec as f64 * 1e6 + used.tv_nsec as f64 / 1e3
}
