//! PostgreSQL as the store: the writer in process beside bare SQL, and the release binary on its
//! port, each on a throw-away server of its own.
//!
//! `cargo bench --bench postgres` runs every section; names after `--` choose some, `--list` names
//! them, `--seconds N` sets how long each load over HTTP lasts (5), `--tasks N` how many tasks a
//! backlog has (200,000). The table goes to standard output, the raw figures with the machine's
//! facts to `benches/results/`. `BENCH_LONG=1` holds the snapshot open for ten minutes and fills
//! the store with ten million tasks.
//!
//! Load, server and database share one machine and take processor time from each other.

#[path = "../tests/ledger/mod.rs"]
#[expect(dead_code, reason = "shared with the tests; only the process and the client are used")]
mod ledger;

#[path = "http"]
#[expect(dead_code, reason = "shared with another bench, which uses the rest")]
mod http {
    pub mod client;
    pub mod library;
    pub mod machine;
    pub mod node;
    pub mod report;
    pub mod requests;
}

#[path = "postgres"]
mod postgres {
    pub mod floor;
    pub mod ground;
    pub mod held;
    pub mod inside;
    pub mod nodes;
    pub mod outside;
}

use std::path::Path;
use std::process::ExitCode;

use http::report::Report;

const USAGE: &str =
    "cargo bench --bench postgres -- [--list] [--seconds N] [--tasks N] [SECTION...]";

/// How hard to measure.
#[derive(Debug, Clone, Copy)]
struct Effort {
    /// How long each load over HTTP lasts.
    seconds: u64,
    /// How many tasks a backlog has.
    tasks: u64,
    /// Whether the sections that take minutes take them.
    is_long: bool,
}

struct Section {
    name: &'static str,
    what: &'static str,
    run: fn(Effort, &mut Report),
}

const SECTIONS: &[Section] = &[
    Section {
        name: "writer",
        what: "in process: batches of 1,000 and a drain, beside bare SQL",
        run: postgres::inside::writer,
    },
    Section {
        name: "singles",
        what: "one submit a request, 100 connections; run and completed",
        run: postgres::outside::singles,
    },
    Section {
        name: "batches",
        what: "batches of 1,000, 8 connections",
        run: postgres::outside::batches,
    },
    Section {
        name: "latency",
        what: "submit to start at 100 a second",
        run: postgres::outside::latency,
    },
    Section {
        name: "redis",
        what: "claims of two nodes and wake-ups between them, with and without Redis",
        run: postgres::nodes::redis,
    },
    Section {
        name: "second",
        what: "tasks that wait 5 ms each: one node, then two",
        run: postgres::nodes::second,
    },
    Section {
        name: "snapshot",
        what: "the rate while a snapshot is held open elsewhere",
        run: postgres::held::snapshot,
    },
    Section {
        name: "full",
        what: "memory and a page of the list with many tasks in the store",
        run: postgres::held::full,
    },
];

fn main() -> ExitCode {
    http::library::serve_if_asked().unwrap_or_else(measure)
}

fn measure() -> ExitCode {
    let is_long = std::env::var_os("BENCH_LONG").is_some();
    let mut effort = Effort { seconds: 5, tasks: 200_000, is_long };
    let mut wanted: Vec<String> = Vec::new();
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            // cargo says so to every benchmark.
            "--bench" => {}
            "--list" => {
                for section in SECTIONS {
                    println!("{:12} {}", section.name, section.what);
                }
                return ExitCode::SUCCESS;
            }
            "--seconds" | "--tasks" => {
                let Some(Ok(number @ 1..)) = args.next().map(|text| text.parse()) else {
                    return usage(&format!("{arg} takes a number"));
                };
                let aim = if arg == "--tasks" { &mut effort.tasks } else { &mut effort.seconds };
                *aim = number;
            }
            name if SECTIONS.iter().any(|section| section.name == name) => wanted.push(arg),
            other => return usage(&format!("there is no section {other}")),
        }
    }
    let mut report = Report::new("postgres", http::machine::facts());
    for section in SECTIONS {
        if wanted.is_empty() || wanted.iter().any(|name| name == section.name) {
            (section.run)(effort, &mut report);
        }
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/results");
    println!("raw figures: {}", report.keep(&folder).display());
    ExitCode::SUCCESS
}

fn usage(problem: &str) -> ExitCode {
    eprintln!("{problem}\n{USAGE}");
    ExitCode::from(2)
}
