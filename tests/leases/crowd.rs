//! Many workers that wait at once, and some that hang up.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::json;

use super::{Ground, PATIENCE};

/// Sends a wish and does not read the answer yet.
fn wish(ground: &Ground, worker: &str) -> TcpStream {
    let body = json!({"workerId": worker, "taskTypes": ["FAR"], "waitMs": 30000}).to_string();
    let mut stream = TcpStream::connect(ground.server.address).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let length = body.len();
    write!(
        stream,
        "POST /api/v1/leases HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    stream
}

/// Reads one answer that has a length.
fn read(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let read = stream.read(&mut chunk).expect("an answer in time");
        assert!(read > 0, "the server hung up");
        text.extend_from_slice(&chunk[..read]);
        let so_far = String::from_utf8_lossy(&text);
        let Some((head, body)) = so_far.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        if length.and_then(|l| l.parse().ok()) == Some(body.len()) {
            return so_far.into_owned();
        }
    }
}

/// Threads and resident memory of the server.
fn costs(ground: &Ground) -> (u64, u64) {
    let status = std::fs::read_to_string(format!("/proc/{}/status", ground.server.id())).unwrap();
    let number = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).expect("a line");
        line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number")
    };
    (number("Threads:"), number("VmRSS:"))
}

#[test]
fn a_thousand_waiting_workers_hold_no_thread_each() {
    const WORKERS: usize = 1000;
    let mut ground = Ground::start();
    let (threads_before, memory_before) = costs(&ground);
    let mut waiting = Vec::with_capacity(WORKERS);
    for number in 0..WORKERS {
        waiting.push(wish(&ground, &format!("w{number}")));
    }
    ground.await_waiting(WORKERS as u64);
    let (threads, memory) = costs(&ground);
    println!(
        "{WORKERS} waiting workers: {threads} threads (before {threads_before}), {memory} KiB \
         resident (before {memory_before})"
    );
    assert!(threads < threads_before + 300, "{threads} threads, {threads_before} before");
    assert!(memory < memory_before + 100_000, "{memory} KiB, {memory_before} before");
    let task = json!({"taskName": "t", "taskType": "FAR"});
    let answer = ground.post("tasks/batch", &vec![task; WORKERS].into());
    assert_eq!(answer.code, 201, "{}", answer.body);
    let mut ids = std::collections::HashSet::new();
    for stream in &mut waiting {
        let answer = read(stream);
        let body = answer.split_once("\r\n\r\n").unwrap().1;
        let answer: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(answer["leases"].as_array().map(Vec::len), Some(1), "{answer}");
        ids.insert(answer["leases"][0]["task"]["id"].as_u64());
    }
    assert_eq!(ids.len(), WORKERS, "a task was leased twice");
}

#[test]
fn a_worker_that_hangs_up_while_it_waits_gets_no_task() {
    let mut ground = Ground::start();
    let gone = wish(&ground, "gone");
    ground.await_waiting(1);
    drop(gone);
    ground.await_waiting(0);
    let mut patient = wish(&ground, "patient");
    ground.await_waiting(1);
    let id = ground.submit("FAR");
    assert!(read(&mut patient).contains(&format!("\"id\":{id},")));
    assert_eq!(ground.task(id)["worker"], "patient");
}

#[test]
fn a_stopping_server_lets_waiting_workers_go_and_takes_no_more() {
    let mut ground = Ground::start();
    let mut waiting = wish(&ground, "w");
    ground.await_waiting(1);
    ground.server.terminate().expect("a clean end");
    assert!(read(&mut waiting).contains("{\"leases\":[]}"));
}
