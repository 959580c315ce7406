//! The README says what is true: its calls are run as they are written, its library example is
//! compiled with the crate's own doc tests, and each promise names a test that exists.

#[expect(dead_code, reason = "shared by several test programs, each of which uses a part")]
mod ledger;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use ledger::http::Client;
use ledger::server::{Deadline, Starting, stock};

const README: &str = include_str!("../README.md");

/// The text between the heading `## name` and the next one.
fn section(name: &str) -> &'static str {
    let heading = format!("\n## {name}\n");
    let start = README.find(&heading).unwrap_or_else(|| panic!("no section {name}"));
    let text = &README[start + heading.len()..];
    &text[..text.find("\n## ").unwrap_or(text.len())]
}

fn first_shell_block(text: &str) -> &str {
    let start = text.find("```sh\n").expect("a shell block") + 6;
    &text[start..start + text[start..].find("```").expect("its end")]
}

#[test]
fn the_five_calls_do_what_the_readme_says() {
    let folder = tempfile::tempdir().unwrap();
    let server = Starting::new(stock(folder.path())).ready();
    let mut client = Client::new(server.address);
    let address = server.address.to_string();
    let calls = first_shell_block(section("Five calls")).replace("localhost:8080", &address);
    assert!(calls.matches("curl ").count() >= 5, "five calls");
    let shell = Command::new("sh").args(["-euc", &calls]).output().unwrap();
    let said = String::from_utf8_lossy(&shell.stdout);
    assert!(shell.status.success(), "{said}\n{}", String::from_utf8_lossy(&shell.stderr));
    for expected in ["\"taskName\":\"first\"", "\"SCHEDULED\"", "\"CANCELLED\"", "totalTasks"] {
        assert!(said.contains(expected), "no {expected} in {said}");
    }
    let deadline = Deadline::after(Duration::from_secs(10));
    loop {
        let task = client.get("/api/v1/tasks/1").unwrap().json();
        if task["status"] == "COMPLETED" {
            break;
        }
        assert!(!deadline.is_over(), "the task does not complete: {task}");
    }
}

#[test]
fn every_promise_names_a_test_that_exists() {
    let mut sources = String::new();
    read_all(Path::new(env!("CARGO_MANIFEST_DIR")).join("src").as_path(), &mut sources);
    read_all(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").as_path(), &mut sources);
    let rows = section("Promises").lines().filter(|line| line.starts_with("| "));
    let mut promises = 0;
    for row in rows.skip(1) {
        let tests = row.rsplit('|').nth(1).expect("a column of tests");
        let names: Vec<_> = tests.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "a promise without a test: {row}");
        for name in names {
            assert!(sources.contains(&format!("fn {name}(")), "no test {name}");
        }
        promises += 1;
    }
    assert!(promises >= 8, "only {promises} promises were found");
}

fn read_all(folder: &Path, into: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            read_all(&path, into);
        } else if path.extension().is_some_and(|end| end == "rs") {
            into.push_str(&std::fs::read_to_string(&path).unwrap());
        }
    }
}
