//! The server on PostgreSQL, as users start it: from an empty database to tasks that ran, over
//! restarts, with tasks that an application made in a transaction of its own.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use taskscheduler::clock::{Clock, SystemClock};
use test_servers::{Account, Cluster};

const BINARY: &str = env!("CARGO_BIN_EXE_taskscheduler");

/// A server that is killed when the test is over.
struct Server {
    child: Child,
    url: String,
}

impl Server {
    fn start(account: &Account, data: &Path) -> Server {
        let mut serve = command(account);
        serve.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(data);
        let child = serve.stderr(Stdio::piped()).spawn().unwrap();
        let mut server = Server { child, url: String::new() };
        let mut said = Vec::new();
        // To its end: a server whose log nobody reads would stand still.
        let mut lines = BufReader::new(server.child.stderr.take().unwrap()).lines();
        while let Some(Ok(line)) = lines.next() {
            if let Some((_, rest)) = line.split_once("serving http://") {
                assert!(rest.contains("PostgreSQL 1") && rest.contains("stable storage"), "{rest}");
                server.url = format!("http://{}", rest.split(' ').next().unwrap());
                std::thread::spawn(move || lines.for_each(drop));
                return server;
            }
            said.push(line);
        }
        panic!("the server ended in its start: {}", said.join("\n"));
    }

    fn submit(&self, body: &Value) -> u64 {
        let url = format!("{}/api/v1/tasks", self.url);
        let mut answer = ureq::post(&url).send_json(body).unwrap();
        answer.body_mut().read_json::<Value>().unwrap()["id"].as_u64().unwrap()
    }

    /// The task, once it has this status.
    fn task_when(&self, id: u64, status: &str) -> Value {
        let clock = SystemClock::new();
        loop {
            let url = format!("{}/api/v1/tasks/{id}", self.url);
            let task: Value = ureq::get(&url).call().unwrap().body_mut().read_json().unwrap();
            if task["status"] == status {
                return task;
            }
            assert!(clock.mono().0 < 20_000_000, "never {status}: {task}");
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(account: &Account) -> Command {
    let mut command = Command::new(BINARY);
    // By separate settings, as the old deployment has them.
    let Account { database, user, password, port } = account;
    command
        .env("SPRING_DATASOURCE_URL", format!("jdbc:postgresql://127.0.0.1:{port}/{database}"))
        .env("SPRING_DATASOURCE_USERNAME", user)
        .env("SPRING_DATASOURCE_PASSWORD", password);
    command
}

fn migrate(account: &Account, arguments: &[&str]) -> (bool, String) {
    let output: Output = command(account).arg("migrate").args(arguments).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

#[test]
fn a_server_starts_on_an_empty_database_and_takes_its_tasks_over_after_a_kill() {
    let account = Cluster::shared().account();
    let data = tempfile::tempdir().unwrap();
    assert_eq!(migrate(&account, &["info"]), (true, "pending 1 tasks\n".into()));
    let server = Server::start(&account, data.path());
    assert_eq!(migrate(&account, &["info"]), (true, "applied 1 tasks\n".into()));
    let echo = server.submit(&json!({ "taskName": "e", "taskType": "ECHO", "payload": "hello" }));
    let slow = server.submit(&json!({
        "taskName": "s", "taskType": "SLEEP", "payload": "{\"ms\": 700}", "maxRetryAttempts": 0,
    }));
    assert_eq!(server.task_when(echo, "COMPLETED")["payload"], "hello");
    assert!(!migrate(&account, &["reset", "--yes"]).0, "a server is connected");
    server.task_when(slow, "RUNNING");
    drop(server);
    let server = Server::start(&account, data.path());
    server.task_when(slow, "COMPLETED");
    drop(server);
    let (done, said) = migrate(&account, &["reset", "--yes"]);
    assert!(done, "{said}");
    assert_eq!(migrate(&account, &["info"]), (true, "pending 1 tasks\n".into()));
}

#[test]
fn an_idle_node_picks_up_at_once_what_an_application_enqueued() {
    let account = Cluster::shared().account();
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&account, data.path());
    let mut app = account.connect();
    let mut waits = Vec::new();
    for _ in 0..9 {
        let sql = "SELECT taskscheduler.enqueue('ECHO', 'from sql', '{\"n\": 1}')";
        let id = app.query_one(sql, &[]).unwrap().get::<_, i64>(0);
        let task = server.task_when(id as u64, "COMPLETED");
        assert_eq!(task["payload"], json!({ "n": 1 }));
        let sql =
            "SELECT run_started_at - created_at FROM taskscheduler.task_history WHERE id = $1";
        waits.push(app.query_one(sql, &[&id]).unwrap().get::<_, i64>(0));
    }
    waits.sort_unstable();
    println!("started after {waits:?} ms");
    // Ten times the promise, for a machine that is busy with other tests.
    assert!(waits[4] <= 1000, "{waits:?}");
}

/// The value of a measure, summed over its rows.
fn measured(server: &Server, name: &str) -> f64 {
    let url = format!("{}/metrics", server.url);
    let text = ureq::get(&url).call().unwrap().body_mut().read_to_string().unwrap();
    let rows = text.lines().filter_map(|row| row.strip_prefix(name)?.rsplit_once(' '));
    rows.map(|(_, value)| value.parse::<f64>().unwrap()).sum()
}

#[test]
fn a_database_that_is_gone_shows_in_the_measures_of_reads() {
    let cluster = Cluster::start(&[]);
    let account = cluster.account();
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&account, data.path());
    let list = || ureq::get(&format!("{}/api/v1/tasks", server.url)).call();
    assert!(list().is_ok());
    assert!(measured(&server, "taskscheduler_store_connections{") >= 1.0);
    assert!(measured(&server, "taskscheduler_store_read_errors_total") < 1.0);
    cluster.stop();
    assert!(matches!(list(), Err(ureq::Error::StatusCode(503))));
    assert!(measured(&server, "taskscheduler_store_read_errors_total") >= 1.0);
}

#[test]
fn a_wrong_password_or_database_is_said_at_once_and_without_the_password() {
    let account = Cluster::shared().account();
    for (user, password, database) in
        [(&account.user, "canary", &account.database), (&account.user, "canary", &"none".into())]
    {
        let url = format!("postgres://{user}:{password}@127.0.0.1:{}/{database}", account.port);
        let data = tempfile::tempdir().unwrap();
        let output = Command::new(BINARY)
            .args(["serve", "--listen", "127.0.0.1:0", "--database-url", &url, "--data"])
            .arg(data.path())
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && !said.contains("canary"), "{said}");
        assert!(said.contains("password authentication failed"), "{said}");
    }
}
