//! Many at once and much at once: requests that wait for one commit, batches at their limit, and
//! answers too long to be sent in one go.

use std::collections::HashSet;
use std::thread;

use crate::Api;
use crate::ledger::http::Client;

#[test]
fn a_hundred_clients_at_once_are_all_answered_with_tasks_of_their_own() {
    let api = Api::start(&[]);
    let address = api.server.address;
    let client = |n: usize| {
        thread::spawn(move || {
            let mut client = Client::new(address);
            let body = format!(r#"{{"taskName":"c{n}","taskType":"NOBODY"}}"#);
            let submit = |_| {
                let answer = client.post("/api/v1/tasks", &body).expect("an answer");
                assert_eq!(answer.code, 201, "{}", answer.body);
                let task = answer.json();
                assert_eq!(task["taskName"], format!("c{n}"));
                task["id"].as_u64().expect("an id")
            };
            (0..10).map(submit).collect::<Vec<_>>()
        })
    };
    let clients: Vec<_> = (0..100).map(client).collect();
    let ids: HashSet<_> = clients.into_iter().flat_map(|c| c.join().expect("its ids")).collect();
    assert_eq!(ids.len(), 1000);
}

#[test]
fn the_largest_batch_is_taken_and_answered_in_order() {
    let mut api = Api::start(&[]);
    let item = |n: usize| format!(r#"{{"taskName":"b{n}","taskType":"NOBODY"}}"#);
    let batch = format!("[{}]", (0..10_000).map(item).collect::<Vec<_>>().join(","));
    let answer = api.post("/api/v1/tasks/batch", &batch);
    assert_eq!(answer.code, 201, "{:.500}", answer.body);
    let tasks = answer.json();
    assert_eq!(tasks.as_array().map(Vec::len), Some(10_000));
    assert_eq!((&tasks[0]["taskName"], &tasks[9999]["taskName"]), (&"b0".into(), &"b9999".into()));
}

#[test]
fn a_page_of_megabytes_arrives_whole() {
    let mut api = Api::start(&[]);
    let payload = "p".repeat(60_000);
    for n in 0..50 {
        api.submit(&format!(r#"{{"taskName":"l{n}","taskType":"NOBODY","payload":"{payload}"}}"#));
    }
    let path = "/api/v1/tasks?size=100&include=payload&sort=id";
    let page = api.wait_until(path, |page| page["totalElements"] == 50);
    for task in page["content"].as_array().expect("content") {
        assert_eq!(task["payload"].as_str().map(str::len), Some(payload.len()));
    }
}
