//! The server as its users meet it: the release binary on its port, measured from outside.
//!
//! `cargo bench --bench http` runs every scenario; names after `--` choose some, `--seconds N`
//! sets how long each load lasts (5), `--list` names them. The table goes to standard output, the
//! raw figures with the machine's facts to `benches/results/`.
//!
//! The load comes from the same machine and takes processor time from the server.

#[path = "../tests/ledger/mod.rs"]
#[expect(dead_code, reason = "shared with the tests; only the process and the client are used")]
mod ledger;

mod http {
    pub mod client;
    pub mod commit;
    pub mod floor;
    pub mod library;
    pub mod machine;
    pub mod node;
    pub mod report;
    pub mod requests;
    pub mod scenarios;
}

use std::path::Path;
use std::process::ExitCode;

use http::report::Report;
use http::scenarios::{Effort, SCENARIOS};

const USAGE: &str = "cargo bench --bench http -- [--list] [--seconds N] [SCENARIO...]";

fn main() -> ExitCode {
    let server = http::floor::serve_if_asked().or_else(http::library::serve_if_asked);
    server.unwrap_or_else(measure)
}

fn measure() -> ExitCode {
    let mut effort = Effort { seconds: 5 };
    let mut wanted: Vec<String> = Vec::new();
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            // cargo says so to every benchmark.
            "--bench" => {}
            "--list" => {
                for scenario in SCENARIOS {
                    println!("{:12} {}", scenario.name, scenario.what);
                }
                return ExitCode::SUCCESS;
            }
            "--seconds" => match args.next().map(|seconds| seconds.parse()) {
                Some(Ok(seconds @ 1..)) => effort.seconds = seconds,
                _ => return usage("--seconds takes a number"),
            },
            name if SCENARIOS.iter().any(|scenario| scenario.name == name) => {
                wanted.push(arg);
            }
            other => return usage(&format!("there is no scenario {other}")),
        }
    }
    let mut report = Report::new("http", http::machine::facts());
    for scenario in SCENARIOS {
        if wanted.is_empty() || wanted.iter().any(|name| name == scenario.name) {
            (scenario.run)(effort, &mut report);
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
