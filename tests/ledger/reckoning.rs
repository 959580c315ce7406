//! What a server has in the end, and whether it counts right.

use serde_json::Value;

use super::book::Found;
use super::http::Client;
use super::server::Server;

/// Walks all pages with the cursor.
pub fn all_tasks(client: &mut Client) -> Vec<Found> {
    let mut tasks: Vec<Found> = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/api/v1/tasks?size=100&sort=id,asc{cursor}");
        let mut answer = client.get(&path).expect("a page");
        // A machine that is busy with other tests may be too slow for the first of these.
        for _ in 0..20 {
            if answer.code == 503 {
                answer = client.get(&path).expect("a page");
            }
        }
        assert_eq!(answer.code, 200, "{path}: {}", answer.body);
        let page = answer.json();
        let content = page["content"].as_array().expect("content");
        tasks.extend(content.iter().map(Found::from_json));
        match page["nextCursor"].as_str() {
            Some(next) if !content.is_empty() => cursor = format!("&cursor={next}"),
            _ => break,
        }
    }
    assert!(tasks.is_sorted_by_key(|task| task.id), "pages by id are in the order of ids");
    tasks
}

/// The counters are kept beside the tasks; both must say the same.
pub fn miscounts(server: &Server, tasks: &[Found]) -> Vec<String> {
    let statistics =
        Client::new(server.address).get("/api/v1/tasks/statistics").expect("statistics").json();
    let of = |status: &str| tasks.iter().filter(|task| task.status == status).count() as u64;
    let sum = |key: &str| -> Option<u64> {
        statistics[key].as_object()?.values().map(Value::as_u64).sum()
    };
    let total = tasks.len() as u64;
    let pairs = [
        ("totalTasks", statistics["totalTasks"].as_u64(), total),
        ("completedTasks", statistics["completedTasks"].as_u64(), of("COMPLETED")),
        ("failedTasks", statistics["failedTasks"].as_u64(), of("FAILED")),
        ("cancelledTasks", statistics["cancelledTasks"].as_u64(), of("CANCELLED")),
        ("byPriority", sum("byPriority"), total),
        ("byType", sum("byType"), total),
    ];
    pairs
        .iter()
        .filter(|(_, said, right)| *said != Some(*right))
        .map(|(key, said, right)| format!("{key} says {said:?}, and there are {right}"))
        .collect()
}
