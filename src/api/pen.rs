//! The pen: puts answers on the wire.

use std::io::Write;
use std::sync::Arc;

use tiny_http::Method;

use super::desk::Open;
use super::reply::{HeadFacts, Reply};
use super::time;
use crate::domain::TimeMs;

/// Buffers beyond this are given back rather than kept for the next answer.
pub(crate) const SPARE_BYTES_MAX: usize = 64 << 10;

/// Counts an answer, and logs it for those who look for a fault. Its query and its body are left
/// out: they are the client's.
fn note(open: &Open, status: u16) {
    let took = open.desk.settings.clock.mono().since(open.since).as_micros() as u64;
    let method = open.request.method();
    open.desk.traffic.add(open.place, method, status, took);
    log::debug!(
        request_id = &*open.request_id, status = status, took_us = took;
        "{method} {}", open.path()
    );
}

/// Writes answers, with buffers it goes on using.
#[derive(Default)]
pub(crate) struct Pen {
    wire: Vec<u8>,
    date: Option<(i64, Arc<str>)>,
}

impl Pen {
    /// Answers.
    pub(crate) fn write(&mut self, open: Open, reply: &Reply) {
        let date = self.date(open.desk.settings.clock.now());
        let head_only = *open.request.method() == Method::Head;
        self.wire.clear();
        let settings = &open.desk.settings;
        let origin = if settings.callers.origins.is_empty() { None } else { open.head("Origin") };
        let welcome = origin.and_then(|origin| settings.callers.welcome(origin));
        let facts = HeadFacts { request_id: &open.request_id, date: &date, welcome, head_only };
        reply.write(&mut self.wire, &facts);
        note(&open, reply.status);
        // A client that has gone away misses its answer, which is its own doing.
        let mut writer = open.request.into_writer();
        let _ = writer.write_all(&self.wire).and_then(|()| writer.flush());
        if self.wire.capacity() > SPARE_BYTES_MAX {
            self.wire = Vec::new();
        }
    }

    /// The `Date` head's value; made once a second.
    fn date(&mut self, now: TimeMs) -> Arc<str> {
        let second = now.0.div_euclid(1000);
        match &self.date {
            Some((made, date)) if *made == second => date.clone(),
            _ => {
                let date: Arc<str> = time::http_date(now).into();
                self.date = Some((second, date.clone()));
                date
            }
        }
    }
}
