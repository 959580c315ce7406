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
        let facts = HeadFacts { request_id: &open.request_id, date: &date, head_only };
        reply.write(&mut self.wire, &facts);
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
