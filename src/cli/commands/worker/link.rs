//! What a worker says to its server, and what it hears.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::cli::args::WorkerArgs;
use crate::cli::client::{Client, JSON};
use crate::cli::config::Surroundings;
use crate::cli::exit::{Exit, Failure};

/// The way to the server.
pub struct Link {
    /// Only for what may wait long, so that its end ends nothing else.
    waiting: Client,
    client: Client,
    name: String,
    types: Vec<String>,
    lease_ms: u64,
    wait_ms: u64,
}

/// A task that was leased.
#[derive(Debug, Deserialize)]
pub struct Leased {
    #[serde(rename = "leaseToken")]
    pub token: String,
    pub task: Task,
}

/// What a command needs to know of its task.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Task {
    pub id: u64,
    pub task_type: String,
    pub payload: Option<Box<RawValue>>,
    pub execution_timeout_seconds: u64,
    #[serde(default)]
    pub attempt: u32,
    pub epoch: u64,
}

/// What a report or a heartbeat was answered about one lease.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Beaten {
    #[serde(rename = "leaseToken")]
    pub token: String,
    #[serde(default)]
    pub lost: bool,
    #[serde(default)]
    pub cancel_requested: bool,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// Well, with this result.
    Done(Option<String>),
    /// Badly, for this reason.
    Failed { error: String, retryable: bool },
    /// It was not made.
    Released,
}

/// What a report was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answered {
    Kept,
    Lost,
}

/// Why the server did not do what it was asked.
#[derive(Debug)]
pub enum Problem {
    /// It may do it another time.
    Passing(String),
    /// It never will.
    Lasting(Failure),
}

#[derive(Deserialize)]
struct Leases<T> {
    leases: Vec<T>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Wish<'a> {
    worker_id: &'a str,
    task_types: &'a [String],
    max_tasks: usize,
    wait_ms: u64,
    lease_ms: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Items<'a> {
    worker_id: &'a str,
    leases: Vec<Item<'a>>,
}

#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
struct Item<'a> {
    lease_token: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retryable: Option<bool>,
}

/// Most leases in one request.
const LEASES_MAX: usize = 1000;
/// The longest wait for tasks that is asked for.
const WAIT_MS_MAX: u64 = 20_000;

impl Link {
    pub fn new(args: &WorkerArgs, name: &str, around: &Surroundings) -> Result<Link, Failure> {
        let patience_ms = args.remote.timeout.as_millis() as u64;
        Ok(Link {
            waiting: Client::new(&args.remote, around)?,
            client: Client::new(&args.remote, around)?,
            name: name.to_owned(),
            types: args.types.clone(),
            lease_ms: args.lease.as_millis() as u64,
            // The answer must come before the patience for one request is over.
            wait_ms: (patience_ms / 3 * 2).min(WAIT_MS_MAX),
        })
    }

    /// Asks for at most so many tasks, and waits for the first one.
    pub fn lease(&self, tasks: usize) -> Result<Vec<Leased>, Problem> {
        let wish = Wish {
            worker_id: &self.name,
            task_types: &self.types,
            max_tasks: tasks.min(LEASES_MAX),
            wait_ms: self.wait_ms,
            lease_ms: self.lease_ms,
        };
        post::<_, Leases<Leased>>(&self.waiting, "leases", &wish).map(|answer| answer.leases)
    }

    /// Ends the wait for tasks, now and from now on.
    pub fn hang_up(&self) {
        self.waiting.hang_up();
    }

    /// Renews leases.
    pub fn beat(&self, tokens: &[String]) -> Result<Vec<Beaten>, Problem> {
        let mut all = Vec::with_capacity(tokens.len());
        for part in tokens.chunks(LEASES_MAX) {
            let item = |token| Item { lease_token: token, ..Item::default() };
            let leases = part.iter().map(String::as_str).map(item).collect();
            let items = Items { worker_id: &self.name, leases };
            let answer: Leases<Beaten> = post(&self.client, "leases/heartbeat", &items)?;
            all.extend(answer.leases);
        }
        Ok(all)
    }

    /// Reports how one attempt ended. To repeat it does no harm.
    pub fn report(&self, token: &str, report: &Report) -> Result<Answered, Problem> {
        let item = Item { lease_token: token, ..Item::default() };
        let (path, item) = match report {
            Report::Done(result) => ("leases/complete", Item { result: result.as_deref(), ..item }),
            Report::Failed { error, retryable } => {
                let (error, retryable) = (Some(error.as_str()), Some(*retryable));
                ("leases/fail", Item { error, retryable, ..item })
            }
            Report::Released => ("leases/release", item),
        };
        let items = Items { worker_id: &self.name, leases: vec![item] };
        let answer: Leases<Beaten> = post(&self.client, path, &items)?;
        let lost = answer.leases.iter().any(|lease| lease.lost);
        Ok(if lost { Answered::Lost } else { Answered::Kept })
    }
}

fn post<B: Serialize, T: for<'a> Deserialize<'a>>(
    client: &Client,
    path: &str,
    body: &B,
) -> Result<T, Problem> {
    let lasting = |what: String| Problem::Lasting(Failure::new(Exit::Failed, what));
    let body = serde_json::to_vec(body).map_err(|error| lasting(error.to_string()))?;
    let answer = match client.post(&format!("/api/v1/{path}"), JSON, None, &body) {
        Ok(answer) => answer,
        Err(wrong @ Failure::Said { exit: Exit::Usage, .. }) => {
            return Err(Problem::Lasting(wrong));
        }
        Err(nobody) => return Err(Problem::Passing(nobody.to_string())),
    };
    let status = answer.status;
    let answer = answer.good().map_err(|refused| match status {
        408 | 425 | 429 | 500.. => Problem::Passing(refused.to_string()),
        _ => Problem::Lasting(refused),
    })?;
    answer.read().map_err(Problem::Lasting)
}
