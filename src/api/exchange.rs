//! One request and the right to answer it, once, from whichever thread knows the answer.
//!
//! Promise: every exchange is answered. One that is dropped on the way (a full queue of questions,
//! a panic) answers for itself, and at most `in_flight_max` are under way, so the channel to the
//! replier always has room and nobody who answers ever waits.

use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};

use super::ask::Ask;
use super::desk::{Desk, Job, Open};
use super::pack;
use super::pen::Pen;
use super::problem::{self, Problem};
use super::reply::Reply;
use super::token::Echo;
use super::traffic::Place;
use crate::engine::Question;
use crate::persistence::{Answer, Receipt, Refusal};
use crate::store::{Reader, StoreError};

/// One request under way.
pub(crate) struct Exchange {
    open: Option<Box<Open>>,
    if_dropped: IfDropped,
}

/// What dropping an exchange means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum IfDropped {
    Mistake,
    Busy,
    Unknown,
}

impl Exchange {
    /// Takes a request in.
    pub(crate) fn begin(desk: &Arc<Desk>, request: tiny_http::Request) -> Exchange {
        let mut open = Box::new(Open::new(desk, request));
        let sent = open.head("X-Request-Id").filter(|id| is_request_id(id)).map(Box::from);
        open.request_id = sent.unwrap_or_else(|| desk.next_request_id());
        Exchange::resume(open)
    }

    /// Goes on with a request that the replier could not answer itself.
    pub(crate) fn resume(open: Box<Open>) -> Exchange {
        Exchange { open: Some(open), if_dropped: IfDropped::Mistake }
    }

    /// The request. Only [`Exchange::close`] takes it out, and that consumes the exchange.
    pub(crate) fn open(&self) -> &Open {
        self.open.as_deref().expect("an exchange that is in use is open")
    }

    /// Notes which route the request takes.
    pub(crate) fn takes(&mut self, place: Place) {
        self.open.as_deref_mut().expect("as in open()").place = place;
    }

    /// The answer will repeat these tokens.
    pub(crate) fn repeat(&mut self, echo: Vec<Echo>) {
        self.open.as_deref_mut().expect("as in open()").echo = echo;
    }

    /// Answers.
    pub(crate) fn answer(self, mut reply: Reply) {
        pack::pack(self.open(), &mut reply);
        let open = self.close();
        open.desk.clone().post(Job::Ready(open, reply));
    }

    /// Answers with a problem.
    pub(crate) fn refuse(self, problem: &Problem) {
        let reply = self.open().problem(problem);
        self.answer(reply);
    }

    /// Answers at once, on this thread, where the replier may have no room.
    pub(crate) fn refuse_here(self, problem: &Problem) {
        let open = self.close();
        let reply = open.problem(problem);
        Pen::default().write(*open, &reply);
    }

    /// A receipt that answers as `ask` says.
    pub(crate) fn receipt(self, ask: Ask) -> Receipt {
        Receipt::new(move |answer: Result<Answer, Refusal>| {
            let open = self.close();
            open.desk.clone().post(Job::Settled(open, answer, ask));
        })
    }

    /// Answers with what `look` finds in the store, on a read thread; or says, where the store is
    /// silent for too long, that it is.
    pub(crate) fn read<T: 'static>(
        mut self,
        look: impl FnOnce(&mut dyn Reader) -> Result<T, StoreError> + Send + 'static,
        answer: impl FnOnce(&Open, T) -> Reply + Send + 'static,
    ) {
        self.if_dropped = IfDropped::Busy;
        let engine = self.open().desk.engine.clone();
        // Refused, the question is dropped and this exchange with it, which answers busy.
        let waiting = Waiting::new(self);
        let late = waiting.clone();
        let ask = Box::new(move |reader: &mut dyn Reader| {
            let found = look(reader);
            let Some(exchange) = waiting.take() else { return };
            match found {
                Ok(found) => {
                    let reply = answer(exchange.open(), found);
                    exchange.answer(reply);
                }
                Err(error) => exchange.refuse(&Problem::unread(&error)),
            }
        });
        let give_up = Box::new(move || {
            if let Some(exchange) = late.take() {
                exchange.refuse(&Problem::refused(&Refusal::StoreDown));
            }
        });
        engine.read(Question { ask, give_up });
    }

    /// From here on the engine may act on the request, so that losing it leaves that unknown.
    pub(crate) fn committed_to(mut self) -> Exchange {
        self.if_dropped = IfDropped::Unknown;
        self
    }

    /// The body, unless it is longer than `max` bytes.
    pub(crate) fn body(&mut self, max: usize) -> Result<Vec<u8>, Problem> {
        let too_large = || {
            let detail = format!("the body may have at most {max} bytes");
            Err(Problem::new(problem::TOO_LARGE, detail))
        };
        let request = &mut self.open.as_deref_mut().expect("as in open()").request;
        let announced = request.body_length();
        if announced.is_some_and(|length| length > max) {
            return too_large();
        }
        let mut body = Vec::with_capacity(announced.unwrap_or(0));
        let read = request.as_reader().take(max as u64 + 1).read_to_end(&mut body);
        if body.len() > max {
            return too_large();
        }
        if read.is_err() || announced.is_some_and(|length| length != body.len()) {
            return Err(Problem::new(problem::INVALID, "the body ended early"));
        }
        Ok(body)
    }

    fn close(mut self) -> Box<Open> {
        self.open.take().expect("an exchange that is in use is open")
    }
}

/// An exchange that waits for the store; whoever takes it out answers.
#[derive(Clone)]
struct Waiting(Arc<Mutex<Option<Exchange>>>);

impl Waiting {
    fn new(exchange: Exchange) -> Waiting {
        Waiting(Arc::new(Mutex::new(Some(exchange))))
    }

    fn take(&self) -> Option<Exchange> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        // What panics must answer while it is known that it did.
        if std::thread::panicking() {
            drop(self.take());
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let Some(open) = self.open.take() else { return };
        let problem = match self.if_dropped {
            IfDropped::Busy if !std::thread::panicking() => {
                Problem::new(problem::BUSY, "too many questions to the store are waiting")
            }
            IfDropped::Unknown => Problem::refused(&Refusal::Unknown),
            IfDropped::Busy | IfDropped::Mistake => {
                log::error!(request_id = &*open.request_id; "a request was dropped unanswered");
                Problem::new(problem::INTERNAL, "the request could not be answered")
            }
        };
        let reply = open.problem(&problem);
        open.desk.clone().post(Job::Ready(open, reply));
    }
}

/// Whether a client's request id may stand in heads and logs.
fn is_request_id(id: &str) -> bool {
    (1..=128).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_id_is_short_and_plain() {
        assert!(is_request_id("a-B_9.c"));
        for bad in ["", "a b", "a\"b", "ä", &"x".repeat(129)] {
            assert!(!is_request_id(bad), "{bad}");
        }
    }
}
