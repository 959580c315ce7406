//! Notices between nodes: there is something for you in the store, look at once.
//!
//! A notice carries no truth, only the moment. One that is lost costs the time until the node looks
//! by itself.

use std::sync::Arc;
use std::time::Duration;

use redis::Value;

use super::error::Level2Error;
use super::level2::Level2;
use super::line::Line;
use crate::clock::Mono;
use crate::store::Incarnation;

/// What a node is told.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Notice {
    /// There are free tasks.
    Free,
    /// There is a wish for this life of a node.
    Wish(Incarnation),
}

impl Level2 {
    /// Tells all nodes. What cannot be told is not told later.
    pub fn tell(&self, notices: &[Notice]) {
        if notices.is_empty() {
            return;
        }
        let (channel, sender) = (self.key("notices"), self.settings.seed);
        let mut commands = redis::pipe();
        for notice in notices {
            let text = match notice {
                Notice::Free => format!("{sender:x} free"),
                Notice::Wish(node) => format!("{sender:x} wish {}", node.0),
            };
            commands.cmd("PUBLISH").arg(&channel).arg(text);
        }
        if self.call(|line| super::line::run(line, &commands)).is_ok() {
            self.counters.notices_sent.add(notices.len() as u64);
        }
    }

    fn read_notice(&self, text: &str) -> Option<Notice> {
        let (sender, text) = text.split_once(' ')?;
        if u64::from_str_radix(sender, 16).ok()? == self.settings.seed {
            return None;
        }
        match text.split_once(' ') {
            None if text == "free" => Some(Notice::Free),
            Some(("wish", node)) => node.parse().ok().map(|node| Notice::Wish(Incarnation(node))),
            _ => None,
        }
    }
}

/// The body of the thread that hears notices; it holds one connection of its own.
pub struct Listener {
    level2: Arc<Level2>,
    line: Option<Line>,
    /// When something was last heard, and whether an answer is waited for since then.
    heard_at: Mono,
    asked: bool,
}

impl Listener {
    /// A server that says nothing for so long is asked whether it is there.
    const SILENCE: Duration = Duration::from_secs(2);

    /// A listener that connects with its first step.
    pub fn new(level2: Arc<Level2>) -> Listener {
        Listener { level2, line: None, heard_at: Mono(0), asked: false }
    }

    /// Waits for a notice, at most this long. While the server does not answer it is left alone,
    /// and the caller should wait by other means: `Err`.
    pub fn step(&mut self, at_most: Duration) -> Result<Option<Notice>, Level2Error> {
        match self.hear(at_most) {
            Ok(heard) => Ok(heard),
            Err(error) => {
                self.line = None;
                Err(error)
            }
        }
    }

    /// Whether it is connected, so that notices reach this node.
    pub fn is_listening(&self) -> bool {
        self.line.is_some()
    }

    fn hear(&mut self, at_most: Duration) -> Result<Option<Notice>, Level2Error> {
        if self.line.is_none() {
            if !self.level2.is_up() {
                return Err(Level2Error::Resting);
            }
            self.subscribe()?;
            // Something may have been told while nobody listened.
            return Ok(Some(Notice::Free));
        }
        let now = self.level2.now();
        let silent = now.since(self.heard_at);
        let Some(line) = &mut self.line else { return Ok(None) };
        if silent >= Self::SILENCE + self.level2.settings.patience {
            return Err(Level2Error::Unreachable("it fell silent".into()));
        }
        if silent >= Self::SILENCE && !self.asked {
            let sent = line.send(&redis::cmd("PING"));
            sent.map_err(|error| Level2Error::Unreachable(error.to_string()))?;
            self.asked = true;
        }
        let Some(value) = line.hear(at_most)? else { return Ok(None) };
        (self.heard_at, self.asked) = (self.level2.now(), false);
        let Some(text) = message(&value) else { return Ok(None) };
        let notice = self.level2.read_notice(text);
        self.level2.counters.notices_heard.add(u64::from(notice.is_some()));
        Ok(notice)
    }

    fn subscribe(&mut self) -> Result<(), Level2Error> {
        let (mut line, _) = self.level2.connector.greet()?;
        let channel = self.level2.key("notices");
        let _: Value = redis::cmd("SUBSCRIBE").arg(channel).query(&mut line)?;
        (self.heard_at, self.asked) = (self.level2.now(), false);
        self.line = Some(line);
        Ok(())
    }
}

/// The text of a message; anything else a subscriber hears has none.
fn message(value: &Value) -> Option<&str> {
    let (Value::Array(parts) | Value::Push { data: parts, .. }) = value else { return None };
    match parts.as_slice() {
        [Value::BulkString(kind), _, Value::BulkString(text)] if kind == b"message" => {
            std::str::from_utf8(text).ok()
        }
        _ => None,
    }
}
