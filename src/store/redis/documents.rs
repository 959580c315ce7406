//! The documents of ended tasks, for as long as somebody may ask for them.
//!
//! A document is put there once its task has ended and that is committed; it lasts until
//! `completed_at + ttl`, whenever it is put. What makes it untrue is told *before* that is
//! committed: a retry buries the document (what is left there says which state comes next), a
//! deletion moves the line before which nothing that ended is believed. So a reader that asks after
//! the commit never finds the old document, and one that asks before it may.
//!
//! Documents are put by nobody but the node that committed the end, and later than a retry only by
//! a node that is slow. Three marks keep such a late one out: the order (epoch, version), against
//! what was buried; the run of the server and a random mark that a flush takes away, against a
//! server that has forgotten what was buried; and the line, against deletions.
//!
//! A node whose own word was not heard believes no document for the time that one lasts (see
//! `standing`). What this cannot see: a node that is cut off from Redis retries a task while other
//! nodes still reach Redis; they may show the task as ended for up to `ttl`.

use std::sync::Arc;

use redis::{FromRedisValue, RedisResult, Value};

use super::document;
use super::error::Level2Error;
use super::level2::Level2;
use super::line::{self, Line};
use super::standing::Life;
use crate::domain::{Epoch, Task, TaskId, TimeMs};

/// A task whose retry is about to be committed: the state that is coming.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Burial {
    pub id: TaskId,
    pub epoch: Epoch,
    pub version: u32,
}

impl Level2 {
    /// How far the clocks of two nodes may be apart, in milliseconds.
    const SKEW_MS: i64 = 60_000;

    /// The ended task with this id, if it is there and can be believed.
    pub fn find_document(&self, id: TaskId) -> Option<Task> {
        if !self.is_trusted() {
            return None;
        }
        let mut ask = redis::cmd("MGET");
        ask.arg(self.document_key(id)).arg(self.line_key());
        let answer: (Value, Value) = self.call(|line| ask.query(line)).ok()?;
        let (Value::BulkString(bytes), line) = answer else { return None };
        let task = body_of(&bytes).and_then(|body| document::read(id, body, &self.settings.secret));
        let Some(task) = task else {
            // What a retry leaves there is no document either, and nothing odd.
            if !bytes.ends_with(BURIED) {
                self.counters.odd_answers.add(1);
            }
            return None;
        };
        let line = match line {
            Value::Nil => i64::MIN,
            // Nonsense in the place of the line: nothing before it is certain.
            other => i64::from_redis_value(other).unwrap_or(i64::MAX),
        };
        task.state.completed_at.filter(|at| at.0 >= line)?;
        Some(task)
    }

    /// The life that is under way; asks for it, or begins one, where it is not known.
    pub(super) fn life(&self) -> Option<Life> {
        if let Some(life) = self.standing().life() {
            return Some(life);
        }
        let (key, fresh) = (self.key("life"), self.fresh_mark());
        let mut ask = redis::pipe();
        ask.cmd("SET").arg(&key).arg(fresh).arg("NX").cmd("GET").arg(&key);
        let found = self.call(|line| {
            let mark = line::run(line, &ask)?.pop().unwrap_or(Value::Nil);
            let mark = String::from_redis_value(mark)?;
            Ok(Life { run: Arc::clone(&line.run), mark: mark.into() })
        });
        let life = found.ok()?;
        self.standing().found_life(&life.run, Some(Arc::clone(&life.mark)));
        Some(life)
    }

    /// Puts documents of tasks whose end was committed during `life`.
    pub(super) fn put_documents(&self, life: &Life, tasks: &[Task], now: TimeMs) {
        let mut call = self.scripts.put.prepare_invoke();
        call.key(self.key("life")).arg(&*life.mark);
        let mut documents = 0;
        for task in tasks {
            let Some(lasts_ms) = self.lasts_ms(task, now) else { continue };
            let Some(bytes) = document::write(task, &self.settings.secret) else { continue };
            let state = &task.state;
            call.key(self.document_key(task.id)).arg(state.epoch.0).arg(state.version);
            call.arg(lasts_ms).arg(bytes);
            documents += 1;
        }
        if documents == 0 {
            return;
        }
        let put: Result<i64, Level2Error> = self.call(|line| {
            // Another run may remember the mark of the life and have forgotten what came after.
            if line.run == life.run { call.invoke(line) } else { Ok(-1) }
        });
        match put {
            Ok(-1) => self.standing().found_life(&life.run, None),
            Ok(put) => self.counters.documents_put.add(put.max(0) as u64),
            Err(_) => {}
        }
    }

    /// How long a document of the task may last from `now` on; `None`: not at all.
    fn lasts_ms(&self, task: &Task, now: TimeMs) -> Option<u64> {
        let ttl = self.settings.ttl.as_millis() as u64;
        let left = (ttl as i64) - (now.0 - task.state.completed_at?.0).max(0);
        (left > 0).then_some(left.min(ttl as i64) as u64)
    }

    /// Says, before their retry is committed, that the documents of these tasks are over.
    pub(super) fn bury(&self, burials: &[Burial]) {
        let ttl = self.settings.ttl.as_millis() as u64;
        let mut commands = redis::pipe();
        for Burial { id, epoch, version } in burials {
            let key = self.document_key(*id);
            // Deleting works even where there is no memory left for the second.
            commands.cmd("UNLINK").arg(&key);
            let mut left = format!("{} {version} ", epoch.0).into_bytes();
            left.extend_from_slice(BURIED);
            commands.cmd("SET").arg(&key).arg(left).arg("PX").arg(ttl);
        }
        self.must(|line| line::run(line, &commands).map(drop));
    }

    /// Says, before a deletion is committed, that nothing is believed that ended before.
    pub(super) fn hide_before(&self, ended_before: TimeMs, now: TimeMs) {
        let ttl = self.settings.ttl.as_millis() as i64;
        // What ended so long ago has no document any more.
        if ended_before.0 <= now.0 - ttl - Self::SKEW_MS {
            return;
        }
        let mut call = self.scripts.move_line.prepare_invoke();
        call.key(self.line_key()).arg(ended_before.0).arg(ttl + Self::SKEW_MS);
        self.must(|line| call.invoke::<i64>(line).map(drop));
    }

    /// Something that must be heard; where it may not have been, no document is believed.
    fn must(&self, exchange: impl FnOnce(&mut Line) -> RedisResult<()>) {
        if self.call_quickly(exchange).is_err() {
            let now = self.now();
            self.standing().distrust(now);
        }
    }

    fn document_key(&self, id: TaskId) -> String {
        self.key(&format!("done:{id}"))
    }

    fn line_key(&self) -> String {
        self.key("deleted-before")
    }
}

/// What a retry leaves in the place of a document.
const BURIED: &[u8] = b"retried";

/// What follows the order in a value.
fn body_of(value: &[u8]) -> Option<&[u8]> {
    let mut spaces = value.iter().take(48).enumerate().filter(|(_, byte)| **byte == b' ');
    let (second, _) = spaces.nth(1)?;
    value.get(second + 1..)
}
