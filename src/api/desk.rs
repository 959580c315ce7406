//! What all requests share: the engine, the settings, the way to the replier, and the count of
//! requests under way; and what each of them is until it is answered.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crossbeam_channel::Sender;

use super::ask::Ask;
use super::problem::{Occasion, Problem};
use super::reply::Reply;
use super::settings::ApiSettings;
use super::token::Echo;
use super::traffic::{Place, Traffic};
use super::view::{View, time_style};
use crate::clock::Mono;
use crate::engine::Engine;
use crate::persistence::{Answer, Refusal};

/// What all requests share.
pub(crate) struct Desk {
    /// The machine.
    pub engine: Arc<Engine>,
    /// How it is shown.
    pub settings: ApiSettings,
    /// This node's name.
    pub node: Arc<str>,
    /// The way to the replier; it has room for every request that may be under way.
    pub replies: Sender<Job>,
    /// Requests under way.
    pub under_way: AtomicUsize,
    /// Request ids made.
    pub request_ids: AtomicU64,
    /// What was answered.
    pub traffic: Traffic,
}

impl Desk {
    /// Hands a job to the replier. Only when that is gone the job is dropped, and tiny_http ends
    /// the request with a 500.
    pub(crate) fn post(&self, job: Job) {
        if self.replies.try_send(job).is_err() {
            log::error!("an answer came after the replier had ended");
        }
    }

    /// Whether more requests are under way than may be.
    pub(crate) fn is_full(&self) -> bool {
        self.under_way.load(Ordering::Relaxed) > self.settings.in_flight_max
    }

    /// An id for a request that brought none.
    pub(crate) fn next_request_id(&self) -> Box<str> {
        let number = self.request_ids.fetch_add(1, Ordering::Relaxed);
        format!("{:08x}-{number:08x}", self.settings.request_id_seed).into_boxed_str()
    }
}

/// A request's place among those under way; dropped, it is free again.
pub(crate) struct Seat(Arc<Desk>);

impl Seat {
    /// Takes a place.
    pub(crate) fn take(desk: &Arc<Desk>) -> Seat {
        // Relaxed, here and in `drop`: a count that orders nothing else.
        desk.under_way.fetch_add(1, Ordering::Relaxed);
        Seat(desk.clone())
    }
}

impl Deref for Seat {
    type Target = Arc<Desk>;

    fn deref(&self) -> &Arc<Desk> {
        &self.0
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Desk")
    }
}

/// A request that is not answered yet.
pub(crate) struct Open {
    /// Where it came in, and its place among those under way.
    pub desk: Seat,
    /// The request.
    pub request: tiny_http::Request,
    /// Its id.
    pub request_id: Box<str>,
    /// The route it takes.
    pub place: Place,
    /// When it came in.
    pub since: Mono,
    /// The lease tokens that the answer repeats.
    pub echo: Vec<Echo>,
}

/// Something to answer.
pub(crate) enum Job {
    /// The answer is ready.
    Ready(Box<Open>, Reply),
    /// The engine has answered; the answer is to be rendered.
    Settled(Box<Open>, Result<Answer, Refusal>, Ask),
}

impl Open {
    /// A request that has just come in; its id is not known yet.
    pub(crate) fn new(desk: &Arc<Desk>, request: tiny_http::Request) -> Open {
        let since = desk.settings.clock.mono();
        let (place, desk) = (Place::NOWHERE, Seat::take(desk));
        Open { desk, request, request_id: Box::default(), place, since, echo: Vec::new() }
    }

    /// The path without its query.
    pub(crate) fn path(&self) -> &str {
        split(self.request.url()).0
    }

    /// The query.
    pub(crate) fn query(&self) -> &str {
        split(self.request.url()).1
    }

    /// The first head of this name, where it is text.
    pub(crate) fn head(&self, name: &'static str) -> Option<&str> {
        head(&self.request, name)
    }

    /// The values of all heads of this name: together they are one list.
    pub(crate) fn heads(&self, name: &'static str) -> impl Iterator<Item = &str> {
        let all = self.request.headers().iter().filter(move |head| head.field.equiv(name));
        all.map(|head| head.value.as_str())
    }

    /// How tasks are shown here.
    pub(crate) fn view(&self, payloads: bool) -> View<'_> {
        View { settings: &self.desk.settings, node: &self.desk.node, payloads }
    }

    /// The answer that tells this problem.
    pub(crate) fn problem(&self, problem: &Problem) -> Reply {
        problem.reply(&Occasion {
            path: self.path(),
            request_id: &self.request_id,
            now: self.desk.settings.clock.now(),
            style: time_style(self.desk.settings.compatibility),
        })
    }
}

fn head<'r>(request: &'r tiny_http::Request, name: &'static str) -> Option<&'r str> {
    let found = request.headers().iter().find(|head| head.field.equiv(name));
    found.map(|head| head.value.as_str())
}

/// Path and query of a target, which may be absolute.
fn split(target: &str) -> (&str, &str) {
    let mut target = target;
    if let Some(rest) = target.strip_prefix("http://").or(target.strip_prefix("https://")) {
        target = rest.find('/').map_or("/", |at| &rest[at..]);
    }
    target.split_once('?').unwrap_or((target, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_split_into_path_and_query() {
        assert_eq!(split("/a/b?c=d?e"), ("/a/b", "c=d?e"));
        assert_eq!(split("http://host:1/a?b"), ("/a", "b"));
        assert_eq!(split("https://host"), ("/", ""));
        assert_eq!(split("*"), ("*", ""));
    }
}
