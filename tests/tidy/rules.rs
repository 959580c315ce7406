//! The table of rules: what each checks, why, and samples that keep it honest.

use super::source::{Finding, Source};
use super::{floors, sizes, words};

pub struct Rule {
    pub name: &'static str,
    pub why: &'static str,
    pub check: fn(&Source) -> Vec<Finding>,
    pub bad: &'static [Sample],
    pub good: &'static [Sample],
}

/// A file that never was; its text is a function because the long ones are repeated lines.
pub struct Sample {
    pub path: &'static str,
    pub text: fn() -> String,
}

macro_rules! sample {
    ($path:literal, $text:expr) => {
        Sample { path: $path, text: || String::from($text) }
    };
}

fn function_of(lines: usize) -> String {
    format!("fn long() {{\n{}}}\n", "    step();\n".repeat(lines - 2))
}

pub const RULES: &[Rule] = &[
    Rule {
        name: "floors",
        why: "knowledge only goes down",
        check: floors::upward_imports,
        bad: &[
            sample!("src/store/mod.rs", "use crate::queue::Ticket;"),
            sample!("src/queue/mod.rs", "fn f() { crate::store::open() }"),
            sample!("src/domain/id.rs", "use crate::{clock::Clock, domain::TaskId};"),
            sample!("src/domain/id.rs", "use super::super::clock::{self, Clock};"),
            sample!("src/engine/boot.rs", "use super::super::api::Server;"),
            sample!("src/queue/mod.rs", "mod tests { use super::super::api::gate; }"),
            sample!("src/drawer/mod.rs", "struct Drawer;"),
            sample!("src/cli/mod.rs", "use crate::drawer::Drawer;"),
            sample!("src/api/mod.rs", "use taskscheduler::cli;"),
        ],
        good: &[
            sample!("src/api/mod.rs", "use crate::{clock::Clock, domain::{self, TaskId}};"),
            sample!(
                "src/domain/id.rs",
                "use super::Epoch; // crate::api\nconst A: &str = \"crate::api\";"
            ),
            sample!(
                "src/queue/mod.rs",
                "mod tests { use super::*; use super::super::clock::Mono; }"
            ),
            sample!("src/main.rs", "fn main() { taskscheduler::cli::main() }"),
            sample!("tests/crash.rs", "use crate::drawer::Drawer;"),
        ],
    },
    Rule {
        name: "homes",
        why: "each outside crate and the environment are known to one floor",
        check: floors::foreign_crates,
        bad: &[
            sample!("src/api/mod.rs", "use rusqlite::Connection;"),
            sample!("src/engine/mod.rs", "fn f() { tiny_http::Server::http(a) }"),
            sample!("src/domain/id.rs", "use serde::Serialize;"),
            sample!("src/domain/id.rs", "use std::thread::spawn;"),
            sample!("src/engine/mod.rs", "fn f() { std::env::var(\"HOME\") }"),
        ],
        good: &[
            sample!("src/store/sqlite/mod.rs", "use rusqlite::Connection;"),
            sample!("src/cli/config.rs", "fn f() { std::env::var(\"HOME\") }"),
            sample!("src/domain/id.rs", "use std::fmt; // serde::Serialize"),
            sample!("src/store/tests/disk.rs", "fn f() { std::env::var(\"CHILD\") }"),
        ],
    },
    Rule {
        name: "file size",
        why: "a file holds one idea",
        check: sizes::long_files,
        bad: &[sample!("tests/a.rs", "\n".repeat(601))],
        good: &[sample!("tests/a.rs", "\n".repeat(600))],
    },
    Rule {
        name: "line width",
        why: "a line is read at one look",
        check: sizes::long_lines,
        bad: &[sample!("src/api/mod.rs", format!("// {}", "x".repeat(98)))],
        good: &[sample!("src/api/mod.rs", format!("// {}", "ü".repeat(97)))],
    },
    Rule {
        name: "function size",
        why: "a function is read on one screen",
        check: sizes::long_functions,
        bad: &[
            sample!("src/api/mod.rs", function_of(71)),
            sample!(
                "src/api/mod.rs",
                format!("fn f() -> [u8; 2]\nwhere T: Fn(), {{\n{}}}", "\n".repeat(70))
            ),
        ],
        good: &[
            sample!("src/api/mod.rs", function_of(70)),
            sample!("src/api/mod.rs", format!("trait T {{ fn f(&self);\n{}}}", "\n".repeat(99))),
        ],
    },
    Rule {
        name: "names",
        why: "a name says what the thing is",
        check: words::empty_names,
        bad: &[
            sample!("src/api/utils.rs", ""),
            sample!("src/helper/mod.rs", ""),
            sample!("src/engine/mod.rs", "pub struct TaskManager;"),
            sample!("src/engine/mod.rs", "mod data { }"),
            sample!("src/engine/mod.rs", "struct Info { }"),
            sample!("src/engine/mod.rs", "fn common_part() { }"),
            sample!("src/engine/mod.rs", "const HELPERS_MAX: u8 = 1;"),
        ],
        good: &[
            sample!("src/engine/mod.rs", "fn data(&self) { } // the manager's helper"),
            sample!("src/engine/mod.rs", "struct Utility; fn commonly() { manager.run() }"),
        ],
    },
    Rule {
        name: "lints",
        why: "an exception is visible, and ends when it is no longer needed",
        check: words::silenced_lints,
        bad: &[
            sample!("src/api/mod.rs", "#[allow(dead_code)] fn f() { }"),
            sample!("src/api/mod.rs", "#![allow(dead_code)]"),
            sample!("src/api/mod.rs", "#[expect(dead_code)] fn f() { }"),
        ],
        good: &[
            sample!("src/api/mod.rs", "#[expect(dead_code, reason = \"soon\")] fn f() { }"),
            sample!("src/api/mod.rs", "fn f() { x[0].expect(\"a row\"); g(a, b.expect(\"b\")) }"),
        ],
    },
    Rule {
        name: "unfinished",
        why: "what is not there is not pretended, and every test runs",
        check: words::unfinished_code,
        bad: &[
            sample!("src/api/mod.rs", "fn f() { todo!() }"),
            sample!("src/api/mod.rs", "fn f() { unimplemented!(\"later\") }"),
            sample!("tests/a.rs", "fn f() { dbg!(1) }"),
            sample!("tests/a.rs", "#[test] #[ignore = \"slow\"] fn f() { }"),
        ],
        good: &[sample!("src/api/mod.rs", "// todo!()\nfn f() { panic!(\"dbg!\") }")],
    },
    Rule {
        name: "unsafe",
        why: "only named files may hold it, each with its reason",
        check: words::unsafe_code,
        bad: &[sample!("src/api/mod.rs", "fn f() { unsafe { g() } }")],
        good: &[sample!("src/api/mod.rs", "fn f() { } // unsafe")],
    },
    Rule {
        name: "bounds",
        why: "every queue has a limit",
        check: words::unbounded_queues,
        bad: &[
            sample!("src/api/mod.rs", "fn f() { crossbeam_channel::unbounded() }"),
            sample!("src/api/mod.rs", "use crossbeam_channel::unbounded; fn f() { unbounded() }"),
            sample!("src/api/mod.rs", "fn f() { std::sync::mpsc::channel() }"),
        ],
        good: &[
            sample!("src/api/mod.rs", "fn f() { crossbeam_channel::bounded(8) }"),
            sample!("src/api/gate/tests.rs", "fn f() { std::sync::mpsc::channel() }"),
            sample!("tests/gate.rs", "fn f() { std::sync::mpsc::channel() }"),
        ],
    },
    Rule {
        name: "headers",
        why: "a file opens by saying what it owns",
        check: words::headless_files,
        bad: &[
            sample!("src/api/mod.rs", "use std::fmt;\n//! Late."),
            sample!("src/api/mod.rs", "// A remark.\n"),
        ],
        good: &[sample!("src/api/mod.rs", "//! The front door.\n")],
    },
];
