//! The door behind the gate: whether a well-formed request may be carried out.
//!
//! Three questions: does it come under a name that this server goes by (a page that rebinds its
//! name to 127.0.0.1 does not), was it made by a page of somebody else (browsers say so), and may
//! its bearer do this. The first two protect a server without tokens, whose only wall is that it
//! listens on this machine; a token is nothing that a browser adds by itself.

use std::borrow::Cow;

use tiny_http::Method;

use super::access::{Scope, Verdict};
use super::desk::Open;
use super::problem::{self, Problem};
use super::reply::{Head, Reply};

/// Lets a request in, or says why not.
pub(super) fn admit(open: &Open, needs: Option<Scope>) -> Result<(), Problem> {
    let settings = &open.desk.settings;
    if settings.access.is_open() {
        let host = open.head("Host").unwrap_or_default();
        if !settings.callers.knows_host(host) {
            let detail = "this server does not go by the name in Host; api.allowed-hosts adds one";
            return Err(Problem::new(problem::HOST, detail));
        }
        let looks = matches!(open.request.method(), Method::Get | Method::Head | Method::Options);
        if !looks && is_foreign(open) {
            let detail = "a page of another origin may not do this; api.cors-origins allows one";
            return Err(Problem::new(problem::ORIGIN, detail));
        }
        return Ok(());
    }
    let Some(scope) = needs else { return Ok(()) };
    match settings.access.check(open.head("Authorization"), scope) {
        Verdict::Granted => Ok(()),
        Verdict::Unknown => {
            let detail = "send a token of this server as Authorization: Bearer";
            Err(Problem::new(problem::WHO, detail))
        }
        Verdict::Forbidden => {
            let detail = format!("the token is not good for {}", scope.name());
            Err(Problem { allow: scope.name(), ..Problem::new(problem::MAY_NOT, detail) })
        }
    }
}

/// Whether a page that is not of this server made the request. Programs send none of these heads.
fn is_foreign(open: &Open) -> bool {
    let Some(origin) = open.head("Origin") else { return false };
    if matches!(open.head("Sec-Fetch-Site"), Some("same-origin" | "none")) {
        return false;
    }
    let place = origin.split_once("://").map_or(origin, |(_, place)| place);
    // A page cannot send the second of these to a stranger without asking first.
    let own = ["Host", "X-Forwarded-Host"].into_iter().filter_map(|name| open.head(name));
    let same = own.into_iter().any(|host| host.eq_ignore_ascii_case(place));
    !same && open.desk.settings.callers.welcome(origin).is_none()
}

/// The answer to `OPTIONS`: what the path knows, and whether the page that asks may use it.
pub(super) fn options(open: &Open, allow: &'static str) -> Reply {
    let mut reply = Reply { allow, ..Reply::empty(204) };
    let asks = open.head("Access-Control-Request-Method").is_some();
    let origin = open.head("Origin");
    let welcome = origin.is_some_and(|it| open.desk.settings.callers.welcome(it).is_some());
    if asks && welcome {
        let heads: [Head; 3] = [
            ("Access-Control-Allow-Methods", Cow::Borrowed(allow)),
            ("Access-Control-Allow-Headers", Cow::Borrowed(SENDABLE)),
            ("Access-Control-Max-Age", Cow::Borrowed("600")),
        ];
        reply.heads.extend(heads);
    }
    reply
}

/// What a page may send.
const SENDABLE: &str = "Authorization, Content-Type, Idempotency-Key, If-None-Match, X-Request-Id";
