//! One log line. Whatever a message holds, it stays one line of bounded length.

use std::fmt::Write;

use log::Record;
use log::kv::{Error, Key, Value, VisitSource};

use crate::domain::TimeMs;

/// The longest line, in bytes.
const BYTES_MAX: usize = 4096;

/// A line for people: time, level, target, message, fields.
pub fn text(record: &Record<'_>, now: TimeMs) -> String {
    let mut line = format!("{} {:<5} {}: ", time(now), record.level(), record.target());
    push_plain(&mut line, &record.args().to_string());
    let mut fields = Fields::default();
    // Visiting our own collector cannot fail.
    let _ = record.key_values().visit(&mut fields);
    for (name, value) in fields.0 {
        line.push(' ');
        push_plain(&mut line, &format!("{name}={value}"));
    }
    shorten(&mut line, BYTES_MAX);
    line
}

/// A line for machines: one JSON object; fields stand beside the message.
pub fn json(record: &Record<'_>, now: TimeMs) -> String {
    let mut message = record.args().to_string();
    shorten(&mut message, BYTES_MAX / 4);
    let mut object = serde_json::Map::new();
    let mut fields = Fields::default();
    let _ = record.key_values().visit(&mut fields);
    let mut room = BYTES_MAX / 4;
    for (name, mut value) in fields.0 {
        shorten(&mut value, room.saturating_sub(name.len()));
        room = room.saturating_sub(name.len() + value.len());
        object.insert(name, value.into());
    }
    // After the fields, so that none of them can pose as one of these.
    object.insert("time".into(), time(now).into());
    object.insert("level".into(), record.level().as_str().into());
    object.insert("target".into(), record.target().into());
    object.insert("thread".into(), std::thread::current().name().unwrap_or("?").into());
    object.insert("message".into(), message.into());
    serde_json::Value::Object(object).to_string()
}

fn time(now: TimeMs) -> String {
    match jiff::Timestamp::from_millisecond(now.0) {
        Ok(time) => time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
        Err(_) => now.to_string(),
    }
}

/// Control characters are written as escapes: a task's name must not forge a line.
fn push_plain(line: &mut String, text: &str) {
    for c in text.chars() {
        if c.is_control() {
            let _ = write!(line, "{}", c.escape_default());
        } else {
            line.push(c);
        }
    }
}

fn shorten(text: &mut String, bytes_max: usize) {
    if text.len() > bytes_max {
        let end = (0..=bytes_max).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
}

/// Collects the fields of a record as text.
#[derive(Default)]
struct Fields(Vec<(String, String)>);

impl<'kvs> VisitSource<'kvs> for Fields {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
        self.0.push((key.to_string(), value.to_string()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_record<T>(message: &str, look: impl Fn(&Record<'_>) -> T) -> T {
        let fields = [("task", "7")];
        let args = format_args!("{message}");
        let record = Record::builder().args(args).target("engine").key_values(&fields).build();
        look(&record)
    }

    #[test]
    fn a_text_line_has_time_level_target_message_and_fields() {
        let line = with_record("hello", |r| text(r, TimeMs(1_500)));
        assert_eq!(line, "1970-01-01T00:00:01.500Z INFO  engine: hello task=7");
    }

    #[test]
    fn a_message_cannot_forge_a_line_and_stays_short() {
        let evil = format!("a\n2025 ERROR \x1b[0m{}", "ä".repeat(9000));
        let text = with_record(&evil, |r| text(r, TimeMs(0)));
        assert!(!text.contains('\n') && !text.contains('\x1b') && text.len() <= BYTES_MAX + 3);
        let json = with_record(&evil, |r| json(r, TimeMs(0)));
        assert!(!json.contains('\n') && json.len() <= BYTES_MAX);
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!((value["task"].as_str(), value["level"].as_str()), (Some("7"), Some("INFO")));
    }
}
