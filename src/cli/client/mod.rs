//! The client side of the HTTP API.
//!
//! One request, one answer; nothing is sent twice by itself, because only the person who asked
//! knows whether a task may exist twice.

mod problem;
mod task;

pub use task::Task;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ureq::http::{Request, header};

use super::args::RemoteArgs;
use super::config::Surroundings;
use super::exit::{Exit, Failure};

/// Where a server is looked for when nobody names one.
const DEFAULT_SERVER: &str = "http://127.0.0.1:8080";
/// More than a full page or the answer to the largest batch.
const ANSWER_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// A file with more holds no token.
const TOKEN_FILE_BYTES_MAX: u64 = 4096;
/// JSON.
pub const JSON: &str = "application/json";
/// One JSON value a line.
pub const NDJSON: &str = "application/x-ndjson";

/// A server to speak to.
pub struct Client {
    agent: ureq::Agent,
    base: String,
    /// What the `Authorization` head says.
    bearer: Option<String>,
}

/// What the server answered.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: String,
}

impl Client {
    /// A client of the server that was named, on the command line or in the environment.
    pub fn new(args: &RemoteArgs, around: &Surroundings) -> Result<Client, Failure> {
        let named = args.server.as_deref().or_else(|| around.variable("TASK_SCHEDULER_SERVER"));
        let base = named.unwrap_or(DEFAULT_SERVER).trim_end_matches('/').to_owned();
        if !base.starts_with("http://") {
            let message = format!("{base}: the server's URL must begin with http://");
            return Err(Failure::new(Exit::Usage, message));
        }
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(args.timeout))
            .timeout_connect(Some(args.timeout.min(Duration::from_secs(10))))
            .max_redirects(0)
            // A scheduler stands in the same network; a proxy meant for the web leads elsewhere.
            .proxy(None)
            .user_agent(concat!("taskscheduler/", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(Client { agent: config.into(), base, bearer: bearer(args, around)? })
    }

    /// GETs a path.
    pub fn get(&self, path: &str, query: &[(&str, String)]) -> Result<Answer, Failure> {
        let mut request = self.agent.get(format!("{}{path}", self.base));
        for (name, value) in query {
            request = request.query(name, value);
        }
        if let Some(bearer) = &self.bearer {
            request = request.header(header::AUTHORIZATION, bearer);
        }
        self.answer(request.call(), Effect::None)
    }

    /// POSTs a body, under an idempotency key if there is one.
    pub fn post(
        &self,
        path: &str,
        content_type: &str,
        key: Option<&str>,
        body: &[u8],
    ) -> Result<Answer, Failure> {
        let mut request = Request::post(format!("{}{path}", self.base));
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, content_type);
        }
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }
        if let Some(bearer) = &self.bearer {
            request = request.header(header::AUTHORIZATION, bearer);
        }
        let request = request.body(body).map_err(|error| {
            Failure::new(Exit::Usage, format!("the request cannot be sent: {error}"))
        })?;
        self.answer(self.agent.run(request), Effect::Possible)
    }

    /// Ends all requests that wait for an answer, and all later ones.
    pub fn hang_up(&self) {
        self.agent.clone().shutdown();
    }

    fn answer(
        &self,
        answered: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
        effect: Effect,
    ) -> Result<Answer, Failure> {
        let mut response = answered.map_err(|error| self.unanswered(&error, effect))?;
        let status = response.status().as_u16();
        let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string();
        let body = body.map_err(|error| self.unanswered(&error, effect))?;
        Ok(Answer { status, body })
    }

    fn unanswered(&self, error: &ureq::Error, effect: Effect) -> Failure {
        let base = &self.base;
        if let ureq::Error::BadUri(_) | ureq::Error::Http(_) = error {
            return Failure::new(Exit::Usage, format!("{base}: {error}"));
        }
        let refused =
            |error: &std::io::Error| error.kind() == std::io::ErrorKind::ConnectionRefused;
        let nobody = match error {
            ureq::Error::Io(error) => refused(error),
            ureq::Error::HostNotFound | ureq::Error::ConnectionFailed => true,
            ureq::Error::Timeout(phase) => {
                matches!(phase, ureq::Timeout::Connect | ureq::Timeout::Resolve)
            }
            _ => false,
        };
        let advice = match (nobody, effect) {
            (true, _) => "start a server with taskscheduler serve, or name one with --server",
            (false, Effect::None) => "it may be overloaded; try again",
            (false, Effect::Possible) => {
                "it may have had its effect; a submit under the same --key is safe to repeat"
            }
        };
        Failure::new(Exit::Unreachable, format!("no answer from {base}: {error}; {advice}"))
    }
}

/// The token from the file on the command line, the environment, or the file that names.
fn bearer(args: &RemoteArgs, around: &Surroundings) -> Result<Option<String>, Failure> {
    let named = || around.variable("TASK_SCHEDULER_TOKEN_FILE").map(PathBuf::from);
    let token = match (&args.token_file, around.variable("TASK_SCHEDULER_TOKEN")) {
        (Some(file), _) => Some(of_file(file)?),
        (None, Some(token)) => Some(token.to_owned()),
        (None, None) => named().map(|file| of_file(&file)).transpose()?,
    };
    let Some(token) = token else { return Ok(None) };
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Failure::new(Exit::Usage, "the token must be one word of visible characters"));
    }
    Ok(Some(format!("Bearer {token}")))
}

fn of_file(path: &Path) -> Result<String, Failure> {
    let unread =
        |error| Failure::new(Exit::Usage, format!("failed to read {}: {error}", path.display()));
    let mut token = String::new();
    let file = std::fs::File::open(path).map_err(unread)?;
    file.take(TOKEN_FILE_BYTES_MAX).read_to_string(&mut token).map_err(unread)?;
    Ok(token.trim().to_owned())
}

/// Whether a request that got no answer can have changed something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    None,
    Possible,
}

impl Answer {
    /// The answer if it is good, or else the server's reason with the fitting exit code.
    pub fn good(self) -> Result<Answer, Failure> {
        if (200..300).contains(&self.status) {
            return Ok(self);
        }
        Err(problem::failure(self.status, &self.body))
    }

    /// Reads the body.
    pub fn read<'a, T: serde::Deserialize<'a>>(&'a self) -> Result<T, Failure> {
        serde_json::from_str(&self.body).map_err(|error| {
            let message = format!("the answer cannot be read, is this a taskscheduler? {error}");
            Failure::new(Exit::Failed, message)
        })
    }

    /// Where in a batch the server found something wrong, from 0.
    pub fn wrong_indexes(&self) -> Vec<usize> {
        problem::indexes(&self.body)
    }
}
