//! The README says what is true: its calls are run as they are written, its library example is
//! compiled with the crate's own doc tests, and each promise names a test that exists.

#[path = "readme/endpoint.rs"]
mod endpoint;
#[expect(dead_code, reason = "shared by several test programs, each of which uses a part")]
mod ledger;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::json;

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
    first_block(text, "sh")
}

fn first_block<'a>(text: &'a str, language: &str) -> &'a str {
    let fence = format!("```{language}\n");
    let start = text.find(&fence).expect("a block") + fence.len();
    &text[start..start + text[start..].find("```").expect("its end")]
}

/// The command and the endpoint of the tour, each with one task that does its work, one that fails
/// and one that takes too long; the table says what became of them.
#[test]
fn the_tour_of_commands_and_endpoints_ends_as_its_table_says() {
    let text = section("Commands and endpoints");
    let folder = tempfile::tempdir().unwrap();
    let hook = endpoint::start();
    let config = folder.path().join("taskscheduler.toml");
    let types = first_block(text, "toml").replace("127.0.0.1:9000", &hook.to_string());
    std::fs::write(&config, types).unwrap();
    let mut command = stock(folder.path());
    command.arg("--config").arg(&config);
    let server = Starting::new(command).ready();
    let calls = first_shell_block(text).replace("localhost:8080", &server.address.to_string());
    let shell = Command::new("sh").args(["-euc", &calls]).output().unwrap();
    assert!(shell.status.success(), "{}", String::from_utf8_lossy(&shell.stderr));
    let mut client = Client::new(server.address);
    let rows = text.lines().filter(|line| line.starts_with("| ")).skip(1);
    let rows: Vec<Vec<&str>> =
        rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect();
    assert_eq!(rows.len(), 6);
    let deadline = Deadline::after(Duration::from_secs(30));
    for row in rows {
        let path = format!("/api/v1/tasks/{}", row[0]);
        let mut task = client.get(&path).unwrap().json();
        while !["COMPLETED", "FAILED"].contains(&task["status"].as_str().unwrap()) {
            assert!(!deadline.is_over(), "the task does not end: {task}\n{}", server.output());
            task = client.get(&path).unwrap().json();
        }
        let said = |field: &str| task[field].as_str().unwrap_or_default().to_owned();
        let seen = [said("status"), said("result"), said("lastErrorMessage")];
        assert_eq!(seen, row[1..], "task {}", row[0]);
    }
    server.terminate().unwrap();
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
fn the_worker_of_the_readme_does_the_work_that_waits_for_it_as_its_table_says() {
    let folder = tempfile::tempdir().unwrap();
    let server = Starting::new(stock(folder.path())).ready();
    let mut client = Client::new(server.address);
    let text = section("Remote workers");
    let rows = text.lines().skip_while(|line| !line.starts_with("| payload |")).skip(2);
    let rows = rows.take_while(|line| line.starts_with('|'));
    let rows: Vec<Vec<&str>> = rows
        .map(|row| row.trim_start_matches('|').trim_end_matches('|'))
        .map(|row| row.split('|').map(str::trim).collect())
        .collect();
    assert_eq!(rows.len(), 3);
    let mut paths = Vec::new();
    for row in &rows {
        let task = json!({"taskName": "t", "taskType": "DATA_PROCESSING", "payload": row[0],
            "executionTimeoutSeconds": 1, "maxRetryAttempts": 0});
        let task = client.post("/api/v1/tasks", &task.to_string()).unwrap().json();
        paths.push(format!("/api/v1/tasks/{}", task["id"]));
        let waits = client.get(paths.last().unwrap()).unwrap().json();
        assert_eq!(waits["waitingFor"], "worker");
    }
    let script = first_block(text, "python");
    let address = server.address.to_string();
    let script = script.trim_end().replace("localhost:8080", &address);
    assert!(script.lines().count() <= 10, "ten lines");
    let mut worker = Command::new("python3").args(["-c", &script]).spawn().expect("python3 runs");
    let deadline = Deadline::after(Duration::from_secs(20));
    let mut ended = Vec::new();
    for path in &paths {
        let mut task = client.get(path).unwrap().json();
        while !["COMPLETED", "FAILED"].contains(&task["status"].as_str().unwrap())
            && !deadline.is_over()
        {
            task = client.get(path).unwrap().json();
        }
        ended.push(task);
    }
    worker.kill().unwrap();
    worker.wait().unwrap();
    for (row, task) in rows.iter().zip(ended) {
        let said = |field: &str| task[field].as_str().unwrap_or_default().to_owned();
        assert_eq!([said("status"), said("result"), said("lastErrorMessage")], row[1..], "{task}");
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
