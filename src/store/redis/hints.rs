//! Which free tasks there are, as a hint: a sorted set of their ids for each band, earliest first.
//!
//! Whoever takes an id out has nothing but an id: the row is his once the store says so. An id that
//! is lost on the way (a crash between the two, a flush, a set that is full) costs only speed,
//! because free rows are claimed without hints at least once a second as well.

use redis::Value;

use super::level2::Level2;
use crate::domain::{Band, BandMap, TaskId, TimeMs};

/// No set holds more ids; the later ones are left out.
pub(super) const HINTS_MAX: i64 = 10_000;

/// A free task that somebody may claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hint {
    pub id: TaskId,
    pub band: Band,
    /// Since when it can start.
    pub due: TimeMs,
}

impl Level2 {
    /// Puts hints.
    pub(super) fn put_hints(&self, hints: &[Hint], now: TimeMs) {
        if hints.is_empty() {
            return;
        }
        let ttl = self.settings.ttl.as_millis() as i64;
        let mut commands = redis::pipe();
        for band in Band::ALL {
            let mut of_band = hints.iter().filter(|hint| hint.band == band).peekable();
            if of_band.peek().is_none() {
                continue;
            }
            let key = self.hints_key(band);
            commands.cmd("ZADD").arg(&key);
            for hint in of_band {
                commands.arg(hint.due.0).arg(hint.id.get());
            }
            // What nobody took in all that time was claimed without its hint.
            commands.cmd("ZREMRANGEBYSCORE").arg(&key).arg("-inf").arg(now.0 - ttl);
            commands.cmd("ZREMRANGEBYRANK").arg(&key).arg(HINTS_MAX).arg(-1);
            commands.cmd("PEXPIRE").arg(&key).arg(ttl);
        }
        if self.call(|line| super::line::run(line, &commands)).is_ok() {
            self.counters.hints_put.add(hints.len() as u64);
        }
    }

    /// Takes at most so many ids of each band out, the earliest first.
    pub(super) fn take_hints(&self, wanted: &[(Band, u32)]) -> BandMap<Vec<TaskId>> {
        let mut ids = BandMap::default();
        if wanted.is_empty() {
            return ids;
        }
        let mut commands = redis::pipe();
        for (band, most) in wanted {
            commands.cmd("ZPOPMIN").arg(self.hints_key(*band)).arg(*most);
        }
        let Ok(answers) = self.call_quickly(|line| super::line::run(line, &commands)) else {
            return ids;
        };
        for ((band, _), answer) in wanted.iter().zip(answers) {
            ids[*band] = members(answer);
            self.counters.hints_taken.add(ids[*band].len() as u64);
        }
        ids
    }

    pub(super) fn hints_key(&self, band: Band) -> String {
        self.key(&format!("free:{}", band.name().to_ascii_lowercase()))
    }
}

/// The ids in an answer of members with their scores, leaving out what is none.
fn members(answer: Value) -> Vec<TaskId> {
    let Value::Array(flat) = answer else { return Vec::new() };
    let id = |value: &Value| {
        let Value::BulkString(digits) = value else { return None };
        TaskId::parse(std::str::from_utf8(digits).ok()?).ok().filter(|id| id.get() <= TaskId::MAX)
    };
    flat.iter().step_by(2).filter_map(id).take(HINTS_MAX as usize).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonsense_in_a_set_is_left_out() {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let flat = ["7", "1.5", "x", "2", "0", "3", "9223372036854775807", "4", "8", "5"];
        let ids = members(Value::Array(flat.into_iter().map(text).collect()));
        assert_eq!(ids, [7, 8].map(|id| TaskId::new(id).unwrap()));
        assert_eq!(members(Value::Int(3)), []);
        assert_eq!(members(Value::Array(vec![Value::Nil, Value::Int(1)])), []);
    }
}
