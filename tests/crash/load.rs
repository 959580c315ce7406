//! Clients that submit, look and cancel while the server dies under them.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use taskscheduler::clock::{Clock, SystemClock};

use crate::ledger::book::{Cancel, Entry, Fate, Retries, is_terminal};
use crate::ledger::http::{Answer, Broken, Client};
use crate::ledger::random::Random;

/// Requests of one client in one life of the server, so that a slow killer does not mean a flood.
const REQUESTS_PER_LIFE: u32 = 400;
/// How often the last life is asked again about a request.
const SETTLE_TRIES: u32 = 100;

/// Where the server is now, if it is anywhere.
pub struct Signpost {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Clone, Copy)]
struct State {
    address: Option<SocketAddr>,
    kills: u64,
    over: bool,
}

impl Signpost {
    pub fn new() -> Signpost {
        let state = State { address: None, kills: 0, over: false };
        Signpost { state: Mutex::new(state), changed: Condvar::new() }
    }

    pub fn show(&self, address: SocketAddr) {
        self.change(|state| state.address = Some(address));
    }

    /// Counts before the kill, so that no entry claims to be younger than it is.
    pub fn count_kill(&self) {
        self.change(|state| {
            state.address = None;
            state.kills += 1;
        });
    }

    /// No new work; unanswered requests with a key are still settled.
    pub fn end(&self) {
        self.change(|state| state.over = true);
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().expect("no client panicked"));
        self.changed.notify_all();
    }

    /// Waits until the server is somewhere and has died `since` times or more.
    fn wait(&self, since: u64) -> State {
        let state = self.state.lock().expect("no client panicked");
        let nowhere = |state: &mut State| state.address.is_none() || state.kills < since;
        *self.changed.wait_while(state, |state| nowhere(state) && !state.over).expect("no panic")
    }

    fn is_over(&self) -> bool {
        self.state.lock().expect("no client panicked").over
    }
}

/// One request that was sent, with what it takes to send it again.
struct Sent {
    key: Option<String>,
    path: &'static str,
    body: String,
    /// Its entries in the client's ledger.
    entries: std::ops::Range<usize>,
}

/// The task types that the server runs, beside SLEEP.
#[derive(Debug, Clone, Copy)]
pub struct Types {
    /// Complete at once.
    pub plain: &'static [&'static str],
    /// Fails as often as `times` in its payload says.
    pub failing: &'static str,
}

pub struct Load {
    name: u64,
    random: Random,
    types: Types,
    entries: Vec<Entry>,
    unsettled: Vec<Sent>,
    requests: u64,
    /// Answers that no client should ever get.
    pub surprises: Vec<String>,
}

impl Load {
    pub fn new(name: u64, random: Random, types: Types) -> Load {
        Load {
            name,
            random,
            types,
            entries: Vec::new(),
            unsettled: Vec::new(),
            requests: 0,
            surprises: Vec::new(),
        }
    }

    /// Works until the signpost says that it is over; returns its part of the ledger.
    pub fn run(mut self, signpost: &Signpost) -> (Vec<Entry>, Vec<String>) {
        let mut since = 0;
        loop {
            let life = signpost.wait(since);
            let Some(address) = life.address else { break };
            let mut client = Client::new(address);
            if life.over {
                self.settle_all(&mut client);
                break;
            }
            let mut done = self.settle(&mut client);
            for _ in 0..REQUESTS_PER_LIFE {
                if done.is_err() || signpost.is_over() {
                    break;
                }
                done = self.step(&mut client, life.kills);
            }
            since = life.kills + 1;
        }
        (self.entries, self.surprises)
    }

    /// The server lives now, so every request with a key must come to its end.
    fn settle_all(&mut self, client: &mut Client) {
        for _ in 0..SETTLE_TRIES {
            // The next try is the answer to an error.
            let _ = self.settle(client);
            if self.unsettled.is_empty() {
                return;
            }
        }
        self.surprises.push(format!("{} requests found no end", self.unsettled.len()));
    }

    fn step(&mut self, client: &mut Client, kills: u64) -> Result<(), Broken> {
        match self.random.below(10) {
            0 => self.look(client),
            1 => self.cancel(client),
            2 => {
                let count = 1 + self.random.below(40);
                self.submit(client, kills, Some(count))
            }
            _ => self.submit(client, kills, None),
        }
    }

    fn submit(
        &mut self,
        client: &mut Client,
        kills: u64,
        batch: Option<u64>,
    ) -> Result<(), Broken> {
        self.requests += 1;
        // Numbered over all clients: each has its own block.
        let request = self.name << 32 | self.requests;
        let start = self.entries.len();
        let tasks: Vec<Value> = (0..batch.unwrap_or(1))
            .map(|n| {
                let name = format!("load-{}-{}-{n}", self.name, self.requests);
                let (task, task_type, retries) = self.task(&name);
                self.entries.push(Entry {
                    name,
                    task_type,
                    fate: Fate::Unknown,
                    cancel: Cancel::NotAsked,
                    retries,
                    seen_ended: None,
                    kills_before: kills,
                    request,
                });
                task
            })
            .collect();
        let (path, body) = match batch {
            Some(_) => ("/api/v1/tasks/batch", json!(tasks).to_string()),
            None => ("/api/v1/tasks", tasks[0].to_string()),
        };
        let keyed = self.random.one_in(2);
        let key = keyed.then(|| format!("key-{}-{}", self.name, self.requests));
        let sent = Sent { key, path, body, entries: start..self.entries.len() };
        self.deliver(client, sent)
    }

    fn task(&mut self, name: &str) -> (Value, &'static str, Retries) {
        let pick = self.random.below(20) as usize;
        let mut task_type = self.types.plain[pick % self.types.plain.len()];
        let mut task = json!({ "taskName": name, "payload": format!("payload of {name}") });
        let mut retries = 0;
        match pick {
            0 => {
                task_type = "SLEEP";
                task["payload"] = json!({ "ms": self.random.below(150) });
            }
            1 | 2 => {
                retries = 1 + self.random.below(2) as u32;
                task_type = self.types.failing;
                task["payload"] = json!({ "times": retries });
                task["retryDelayMs"] = json!(1 + self.random.below(50));
            }
            3 => {
                let seconds = 1 + self.random.below(2) as i64;
                let due_ms = SystemClock::new().now().0 + seconds * 1000;
                let due = jiff::Timestamp::from_millisecond(due_ms).expect("a time of this age");
                task["scheduledTime"] = json!(due.to_string());
            }
            4 => task["priority"] = json!("CRITICAL"),
            _ => {}
        }
        task["taskType"] = json!(task_type);
        (task, task_type, Retries(retries))
    }

    /// Sends it and enters how it ended. An unknown end is kept if its key lets it be sent again.
    fn deliver(&mut self, client: &mut Client, sent: Sent) -> Result<(), Broken> {
        let mut heads = vec![("Content-Type", "application/json")];
        heads.extend(sent.key.as_deref().map(|key| ("Idempotency-Key", key)));
        match client.send("POST", sent.path, &heads, &sent.body) {
            Ok(answer) => {
                self.enter(&answer, sent);
                Ok(())
            }
            Err(broken) => {
                if sent.key.is_some() {
                    self.unsettled.push(sent);
                } else if broken == Broken::Unsent {
                    self.refuse(sent);
                }
                Err(broken)
            }
        }
    }

    fn enter(&mut self, answer: &Answer, sent: Sent) {
        match answer.code {
            200 | 201 => {
                let body = answer.json();
                let tasks = body.as_array().cloned().unwrap_or_else(|| vec![body]);
                if tasks.len() != sent.entries.len() {
                    self.surprise("a batch answered in another length", answer);
                }
                for (entry, task) in self.entries[sent.entries].iter_mut().zip(tasks) {
                    entry.fate = Fate::Acknowledged(task["id"].as_u64().expect("an id"));
                }
            }
            429 | 503 | 507 if sent.key.is_none() => self.refuse(sent),
            // Not accepted this time; whether the first time was is still to be found out.
            409 | 429 | 502 | 503 | 504 | 507 if sent.key.is_some() => self.unsettled.push(sent),
            502 | 504 => {}
            _ => self.surprise(sent.path, answer),
        }
    }

    fn refuse(&mut self, sent: Sent) {
        self.entries[sent.entries].iter_mut().for_each(|entry| entry.fate = Fate::Refused);
    }

    /// Sends again what has a key and no end yet.
    fn settle(&mut self, client: &mut Client) -> Result<(), Broken> {
        let unsettled = std::mem::take(&mut self.unsettled);
        let results = unsettled.into_iter().map(|sent| self.deliver(client, sent));
        // All are tried; an error keeps its request for the next life.
        results.fold(Ok(()), Result::and)
    }

    /// Looks at an acknowledged task: it must be there, and an end once shown must stay.
    fn look(&mut self, client: &mut Client) -> Result<(), Broken> {
        let Some((at, id)) = self.any_acknowledged() else { return Ok(()) };
        let answer = client.get(&format!("/api/v1/tasks/{id}"))?;
        if answer.code != 200 {
            // 503 while it starts is right; an acknowledged task that is not found is not.
            if answer.code != 503 {
                self.surprise("a look at an acknowledged task", &answer);
            }
            return Ok(());
        }
        let status = answer.json()["status"].as_str().expect("a status").to_owned();
        let entry = &mut self.entries[at];
        let before = entry.seen_ended.clone();
        if before.as_ref().is_some_and(|seen| *seen != status) {
            self.surprise(&format!("{before:?} became another status"), &answer);
        } else if is_terminal(&status) {
            entry.seen_ended = Some(status);
        }
        Ok(())
    }

    fn cancel(&mut self, client: &mut Client) -> Result<(), Broken> {
        let Some((at, id)) = self.any_acknowledged() else { return Ok(()) };
        let before = self.entries[at].cancel;
        if before == Cancel::NotAsked {
            // Until the answer says more: it may be done without anybody hearing of it.
            self.entries[at].cancel = Cancel::Open;
        }
        let answer = client.post(&format!("/api/v1/tasks/{id}/cancel"), "")?;
        match answer.code {
            200 => self.entries[at].cancel = Cancel::Done,
            202 | 409 | 429 | 503 => {}
            _ => self.surprise("a cancel", &answer),
        }
        Ok(())
    }

    fn any_acknowledged(&mut self) -> Option<(usize, u64)> {
        // One of the last ones: those may still be under way.
        let recent = self.entries.len().min(60) as u64;
        if recent == 0 {
            return None;
        }
        let at = self.entries.len() - 1 - self.random.below(recent) as usize;
        match self.entries[at].fate {
            Fate::Acknowledged(id) => Some((at, id)),
            _ => None,
        }
    }

    fn surprise(&mut self, what: &str, answer: &Answer) {
        let mut text = String::new();
        write!(text, "{what}: {} {}", answer.code, answer.body).expect("a string takes it");
        self.surprises.push(text);
    }
}

/// How long a life of the server lasts: some are over before it can answer.
pub fn life(random: &mut Random) -> Duration {
    match random.below(6) {
        0 => Duration::from_millis(random.below(5)),
        1 => Duration::from_millis(random.below(60)),
        _ => Duration::from_millis(60 + random.below(400)),
    }
}
