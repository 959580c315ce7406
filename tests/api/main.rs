//! The API over a real port: every call of the contract, in both modes of compatibility, and every
//! kind of bad input with its documented answer.

#[expect(dead_code, reason = "shared by several test programs, each of which uses a part")]
#[path = "../ledger/mod.rs"]
mod ledger;

mod bad_input;
mod contract;
mod crowd;
mod java;
mod life;
mod ops;
mod pages;
mod submits;
mod tokens;

use std::process::{Child, Command, Stdio};
use std::sync::{LazyLock, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use ledger::http::{Answer, Client};
use ledger::server::{Deadline, Server, Starting, stock};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server on a fresh data directory, and a client of it.
struct Api {
    client: Client,
    server: Server,
    /// Whether answers are as the document says; those of the Java system are in other words.
    is_documented: bool,
    folder: TempDir,
    minder: Option<Child>,
}

impl Api {
    /// A server with these settings, as the environment sets them.
    fn start(settings: &[(&str, &str)]) -> Api {
        let folder = tempfile::tempdir().expect("a directory");
        let mut command = stock(folder.path());
        // The directory of the test must not configure the server.
        command.current_dir(folder.path());
        command.envs(settings.iter().copied());
        let server = Starting::new(command).ready();
        let is_documented = !settings.contains(&("TASK_SCHEDULER_API_COMPATIBILITY", "java"));
        Api { client: Client::new(server.address), server, is_documented, folder, minder: None }
    }

    /// The same for all tests of this process. What lives as long as a process is never dropped, so
    /// a shell, whose input ends with it, ends the server and takes its directory away.
    fn for_all(settings: &[(&str, &str)]) -> Mutex<Api> {
        let mut api = Api::start(settings);
        let script = "trap '' INT TERM HUP; cat; kill -KILL \"$0\"; rm -rf \"$1\"";
        let mut minder = Command::new("sh");
        minder.args(["-c", script, &api.server.id().to_string()]).arg(api.folder.path());
        minder.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        api.minder = Some(minder.spawn().expect("a shell"));
        Mutex::new(api)
    }

    /// The server that most tests share; they take turns with it.
    fn shared() -> MutexGuard<'static, Api> {
        static SHARED: LazyLock<Mutex<Api>> = LazyLock::new(|| Api::for_all(&[]));
        SHARED.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The shared server in Java mode.
    fn shared_java() -> MutexGuard<'static, Api> {
        static SHARED: LazyLock<Mutex<Api>> =
            LazyLock::new(|| Api::for_all(&[("TASK_SCHEDULER_API_COMPATIBILITY", "java")]));
        SHARED.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    #[track_caller]
    fn get(&mut self, path: &str) -> Answer {
        self.send("GET", path, &[], "")
    }

    #[track_caller]
    fn post(&mut self, path: &str, body: &str) -> Answer {
        self.send("POST", path, &[("Content-Type", "application/json")], body)
    }

    #[track_caller]
    fn send(&mut self, method: &str, path: &str, heads: &[(&str, &str)], body: &str) -> Answer {
        let answer = self.client.send(method, path, heads, body).expect("an answer");
        if self.is_documented {
            contract::check(method, path, &answer);
        }
        answer
    }

    /// Submits a task and gives its id.
    fn submit(&mut self, body: &str) -> u64 {
        let answer = self.post("/api/v1/tasks", body);
        assert_eq!(answer.code, 201, "{}", answer.body);
        answer.json()["id"].as_u64().expect("an id")
    }

    /// Asks for a task until it has this status.
    fn wait_for(&mut self, id: u64, status: &str) -> Value {
        self.wait_until(&format!("/api/v1/tasks/{id}"), |task| task["status"] == status)
    }

    /// Looks until there is something; `None` when that takes too long.
    fn until<T>(&mut self, look: impl Fn(&mut Api) -> Option<T>) -> Option<T> {
        let deadline = Deadline::after(PATIENCE);
        loop {
            let found = look(self);
            if found.is_some() || deadline.is_over() {
                return found;
            }
        }
    }

    /// Asks until the answer is as it should be.
    fn wait_until(&mut self, path: &str, good: impl Fn(&Value) -> bool) -> Value {
        let deadline = Deadline::after(PATIENCE);
        loop {
            let answer = self.get(path).json();
            if good(&answer) {
                return answer;
            }
            assert!(!deadline.is_over(), "{path} stays {answer}");
        }
    }
}

/// Checks that an answer is a problem with this status and code, in all its fields.
#[track_caller]
fn assert_problem(answer: &Answer, status: u16, code: &str) -> Value {
    let told = answer.json();
    assert_eq!((answer.code, &told["code"]), (status, &code.into()), "{told}");
    assert_eq!(answer.header("Content-Type"), Some("application/problem+json"));
    assert_eq!(told["status"], status);
    for field in ["type", "title", "detail", "instance", "error", "timestamp", "path"] {
        assert!(told[field].as_str().is_some_and(|text| !text.is_empty()), "{field} in {told}");
    }
    assert_eq!(answer.header("X-Request-Id"), told["requestId"].as_str());
    told
}
