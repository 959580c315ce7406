//! Every secret a server can have, and everything that it and the command line say: none of the
//! first is found in any of the second.

#[expect(dead_code, reason = "shared by several test programs, each of which uses a part")]
mod ledger;

use std::fmt::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use test_servers::{Cluster, RedisServer};

use ledger::http::Client;
use ledger::server::{Deadline, Starting, stock};

/// Every secret holds this word, and so does what clients send.
const CANARY: &str = "canary";

const TOKEN: &str = "canary-token-6d1f0a";
const DATABASE: &str = "canary-database-1c9e";
const REDIS: &str = "canary-redis-77b2";
/// This is shown to those who may read tasks, and stands in no log.
const PAYLOAD: &str = "of-no-concern-to-a-log";

const TYPES: &str = r#"
[log]
level = "trace"
format = "json"

[types.HOOK]
executor = "http"
url = "http://127.0.0.1:1/hook"
allow-private = true
secret = "canary-signature-40e8"
headers = { Authorization = "Bearer canary-header-93ab" }

[types.RUN]
executor = "process"
command = ["/bin/sh", "-c", "exit 3"]
environment = { API_KEY = "canary-variable-5f" }
"#;

/// What was said, and by whom.
#[derive(Default)]
struct Said(String);

impl Said {
    fn add(&mut self, who: &str, what: &str) {
        writeln!(self.0, "{who}: {what}").expect("room");
    }

    #[track_caller]
    fn holds_no_secret(&self) {
        let around = |(at, _): (usize, &str)| {
            let from = self.0[..at].rfind('\n').map_or(0, |line| line + 1);
            self.0[from..].lines().next().unwrap_or_default().to_owned()
        };
        let told: Vec<String> = self.0.match_indices(CANARY).map(around).collect();
        assert!(told.is_empty(), "{told:#?}");
    }
}

/// A directory with the configuration and the secrets in files of their own.
fn folder(database: &str, redis: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("taskscheduler.toml", TYPES);
    write("token", TOKEN);
    write("tokens", &format!("ops:admin:{TOKEN}\n"));
    write("database-url", database);
    write("redis-url", redis);
    folder
}

fn with_secrets(command: &mut Command, folder: &Path) {
    let file = |name: &str| folder.join(name);
    command.current_dir(folder);
    command.env("TASK_SCHEDULER_API_TOKENS_FILE", file("tokens"));
    command.env("TASK_SCHEDULER_DATABASE_URL_FILE", file("database-url"));
    command.env("TASK_SCHEDULER_REDIS_URL_FILE", file("redis-url"));
    command.env("TASK_SCHEDULER_TOKEN_FILE", file("token"));
}

/// What the command line says, with all its secrets around it.
fn ask(said: &mut Said, folder: &Path, arguments: &[&str]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_taskscheduler"));
    command.args(arguments).env_clear().stdin(Stdio::null());
    with_secrets(&mut command, folder);
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    assert!(!text.is_empty(), "{arguments:?} says nothing");
    said.add(&format!("{arguments:?}"), &String::from_utf8_lossy(&text));
}

/// Every path that can be read, as the document lists them.
fn readable() -> Vec<String> {
    let text = include_str!("../src/api/docs/openapi.json");
    let document: Value = serde_json::from_str(text).unwrap();
    let paths = document["paths"].as_object().unwrap().iter();
    let paths = paths.filter(|(_, methods)| methods.get("get").is_some());
    let filled = |path: &str| path.replace("{id}", "1").replace("{name}", "taskscheduler");
    paths.map(|(path, _)| filled(path)).collect()
}

/// Asks everything, well and badly, and keeps what is answered.
fn talk(said: &mut Said, client: &mut Client) {
    let good = format!("Bearer {TOKEN}");
    let json = ("Content-Type", "application/json");
    let mut ask = |method: &str, path: &str, heads: &[(&str, &str)], body: &str| {
        let answer = client.send(method, path, heads, body).expect("an answer");
        let heads: Vec<_> =
            answer.head.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let path = path.split('?').next().unwrap_or_default();
        said.add(&format!("{method} {path}"), &format!("{} {}", heads.join(" "), answer.body));
        answer.code
    };
    for task_type in ["HOOK", "RUN", "ECHO"] {
        let body = format!(
            r#"{{"taskName":"t","taskType":"{task_type}","payload":"{PAYLOAD}",
                "maxRetryAttempts":0}}"#
        );
        assert_eq!(ask("POST", "/api/v1/tasks", &[("Authorization", &good), json], &body), 201);
    }
    for path in readable() {
        ask("GET", &path, &[("Authorization", &good)], "");
        ask("GET", &path, &[("Authorization", "Bearer canary-of-nobody")], "");
        ask("GET", &format!("{path}?token=canary-in-a-query"), &[], "");
    }
    // What is refused is told without what was sent.
    let wrong = r#"{"taskName":"t","taskType":"ECHO","payload":"canary-body","priority":"NONE"}"#;
    assert_eq!(ask("POST", "/api/v1/tasks", &[("Authorization", &good), json], wrong), 400);
    let broken = r#"{"payload":"canary-broken"#;
    assert_eq!(ask("POST", "/api/v1/tasks", &[("Authorization", &good), json], broken), 400);
}

#[test]
fn no_secret_is_in_any_log_answer_measure_or_output() {
    let cluster = Cluster::start(&[]);
    let account = cluster.account();
    let change = format!("ALTER ROLE {} PASSWORD '{DATABASE}'", account.user);
    cluster.admin("postgres").batch_execute(&change).unwrap();
    let redis = RedisServer::start(&[&format!("requirepass={REDIS}")]);
    let database_url = account.url().replace(&account.password, DATABASE);
    let redis_url = format!("redis://:{REDIS}@127.0.0.1:{}/0", redis.port());
    let folder = folder(&database_url, &redis_url);

    let mut said = Said::default();
    let mut command = stock(&folder.path().join("data"));
    with_secrets(&mut command, folder.path());
    // `Starting` takes such variables away, unless they are the command's own.
    let server = Starting::new(command).ready();
    let mut client = Client::new(server.address);
    talk(&mut said, &mut client);
    let url = format!("http://{}", server.address);
    for arguments in [
        &["config", "show"][..],
        &["config", "show", "--origin"],
        &["config", "show", "--json"],
        &["config", "check"],
        &["doctor"],
        &["doctor", "--json"],
        &["migrate", "info"],
        &["list", "--server", &url],
        &["get", "999", "--server", &url],
        &["get", "1", "--server", "http://127.0.0.1:1"],
        &["health", "--server", &url],
    ] {
        ask(&mut said, folder.path(), arguments);
    }
    said.holds_no_secret();

    // Its stores go away: what it says then, and what a start says.
    cluster.stop();
    redis.kill();
    let deadline = Deadline::after(Duration::from_secs(30));
    let heads = [("Authorization", "Bearer canary-token-6d1f0a")];
    while client.send("GET", "/actuator/health", &heads, "").unwrap().code != 503 {
        assert!(!deadline.is_over(), "it does not notice");
        let body = r#"{"taskName":"t","taskType":"ECHO"}"#;
        let _ = client.send("POST", "/api/v1/tasks", &heads, body);
    }
    for path in readable() {
        let answer = client.send("GET", &path, &heads, "").unwrap();
        said.add(&path, &answer.body);
    }
    for arguments in [&["doctor"][..], &["migrate", "info"], &["serve"], &["migrate", "restored"]] {
        ask(&mut said, folder.path(), arguments);
    }
    let log = server.output();
    assert!(
        log.contains("GET /api/v1/tasks") && log.contains("\"level\""),
        "it logs what is asked"
    );
    said.add("the log", &log);
    said.holds_no_secret();
}

#[test]
fn a_configuration_that_is_wrong_is_told_without_its_secrets() {
    let mut said = Said::default();
    for (file, text) in [
        ("database-url", "postgres://user:canary-a@host:port/db"),
        ("database-url", "mysql://user:canary-b@host/db"),
        ("database-url", "postgres://user:canary-c@host/db?password=canary-j&sslmode=odd"),
        ("redis-url", "redis://:canary-d@host:99999/x"),
        ("tokens", "ops:everything:canary-e-0123456789\n"),
        ("tokens", "canary-f-0123456789"),
        ("tokens", "ops:admin:canary-g\nops:admin:\n"),
        ("taskscheduler.toml", "[types.X]\nexecutor = \"http\"\nsecret = 7\nkey = \"canary-h\"\n"),
        ("taskscheduler.toml", "[database]\npassword = \"canary-i\"\nurl = \"nonsense\"\n"),
    ] {
        let folder = folder("postgres://u@127.0.0.1:1/d", "redis://127.0.0.1:1");
        std::fs::write(folder.path().join(file), text).unwrap();
        let mut check = Command::new(env!("CARGO_BIN_EXE_taskscheduler"));
        with_secrets(check.args(["config", "check"]).env_clear(), folder.path());
        assert!(!check.output().unwrap().status.success(), "{text} is found to be in order");
        for arguments in [&["config", "check"][..], &["config", "show"], &["serve"], &["doctor"]] {
            ask(&mut said, folder.path(), arguments);
        }
    }
    said.holds_no_secret();
}
