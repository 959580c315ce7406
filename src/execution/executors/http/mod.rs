//! The http executor: a task is one POST to an endpoint that the configuration names.
//!
//! The body is the payload as JSON; heads tell the task, the attempt and its epoch, and a signature
//! over time and body lets the endpoint know who asks. The whole exchange has one deadline,
//! whatever the endpoint does; redirects are not followed, the answer is bounded, and no address
//! inside the house is dialled unless the configuration says so. Who answers 202 goes on by itself
//! and reports by the lease token that it was given.
//!
//! Each run has a connection of its own, so that cancelling it ends it at once and nothing else.

mod address;
mod answer;
mod guarded;
mod setup;

#[cfg(all(test, not(modelled)))]
mod tests;

use std::io::Read;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use ureq::http::Response;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::unversioned::transport::DefaultConnector;
use ureq::{Agent, Body};

use answer::{Verdict, judge};
use guarded::Guarded;
pub use setup::{HttpSetup, SigningKey};

use crate::domain::{Failure, FailureKind, Form, Outcome, Payload};
use crate::execution::{Attempt, Doing, Handler};

/// Posts each task of its type to an endpoint.
pub struct Http {
    setup: HttpSetup,
    tls: OnceLock<TlsConfig>,
}

impl Http {
    /// How much of an answer that is no success goes into the task's last error.
    const SAID_MAX: u64 = 1024;

    /// A handler for this endpoint.
    pub fn new(setup: HttpSetup) -> Http {
        Http { setup, tls: OnceLock::new() }
    }

    fn agent(&self, time: Duration) -> Agent {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            // Not what the server's environment says: a proxy would dial in our place.
            .proxy(None)
            .timeout_global(Some(time))
            .user_agent("taskscheduler")
            .max_idle_connections(0)
            .tls_config(self.tls.get_or_init(tls).clone())
            .build();
        let resolver = Guarded::new(self.setup.allow_private);
        Agent::with_parts(config, DefaultConnector::default(), resolver)
    }

    fn post(&self, attempt: &Attempt<'_>, agent: &Agent) -> Result<Doing, ureq::Error> {
        let body = body_of(attempt.payload());
        let mut request = agent
            .post(&self.setup.url)
            .header("Content-Type", "application/json")
            .header("Task-Id", attempt.id().to_string())
            .header("Task-Type", header_text(&attempt.spec().task_type))
            .header("Task-Attempt", attempt.number().to_string())
            .header("Task-Epoch", attempt.epoch().0.to_string())
            .header("Task-Lease-Token", attempt.lease_token());
        for (name, value) in &self.setup.headers {
            request = request.header(name, value);
        }
        if let Some(key) = &self.setup.secret {
            let at = attempt.wall().0 / 1000;
            request = request.header("Task-Signature", signature(key, at, &body));
        }
        let response = request.send(&body[..])?;
        self.outcome(attempt, response)
    }

    fn outcome(
        &self,
        attempt: &Attempt<'_>,
        mut response: Response<Body>,
    ) -> Result<Doing, ureq::Error> {
        let status = response.status().as_u16();
        let kind = match judge(status) {
            Verdict::Done => {
                let is_json = response.body().mime_type().is_some_and(|kind| kind.contains("json"));
                let most = self.setup.response_bytes_max as u64;
                let bytes = response.body_mut().with_config().limit(most).read_to_vec()?;
                return Ok(Doing::Ended(Outcome::Done(answer::result_of(&bytes, is_json))));
            }
            Verdict::Again => FailureKind::Error,
            Verdict::Hopeless => FailureKind::Permanent,
            Verdict::Later => return Ok(Doing::GoesOn),
        };
        let after = answer::retry_after_ms(status, response.headers(), attempt.wall());
        let mut said = Vec::new();
        // What it says beside is welcome, but not needed.
        let _ = response.body_mut().as_reader().take(Self::SAID_MAX).read_to_end(&mut said);
        let said = String::from_utf8_lossy(&said);
        let said =
            if said.trim().is_empty() { String::new() } else { format!(": {}", said.trim()) };
        let redirect =
            if (300..400).contains(&status) { ", and redirects are not followed" } else { "" };
        let failure =
            Failure::new(kind, &format!("the endpoint answered {status}{redirect}{said}"));
        Ok(Doing::Ended(Outcome::Failed(Failure { retry_after_ms: after, ..failure })))
    }

    fn failed(&self, error: &ureq::Error) -> Outcome {
        let (kind, text) = match error {
            ureq::Error::Timeout(_) => {
                (FailureKind::Timeout, "the endpoint did not answer in time".into())
            }
            ureq::Error::BodyExceedsLimit(most) => (
                FailureKind::Permanent,
                format!("the endpoint answered with more than {most} bytes"),
            ),
            error => (FailureKind::Error, format!("failed to ask {}: {error}", self.setup.host())),
        };
        Outcome::Failed(Failure::new(kind, &text))
    }
}

impl Handler for Http {
    fn run(&self, attempt: &Attempt<'_>) -> Doing {
        let time = attempt.time_left();
        if time.is_zero() {
            return Doing::Ended(Outcome::Cancelled);
        }
        let agent = self.agent(time);
        let shut = agent.clone();
        let waking = attempt.when_woken(move || shut.clone().shutdown());
        // Looked at after the alarm is set: a wish before that has rung in vain.
        if attempt.cancelled() {
            return Doing::Ended(Outcome::Cancelled);
        }
        let answered = self.post(attempt, &agent);
        drop(waking);
        match answered {
            Ok(doing) => doing,
            Err(_) if attempt.is_unwanted() => Doing::Ended(Outcome::Cancelled),
            Err(error) => Doing::Ended(self.failed(&error)),
        }
    }

    fn executor(&self) -> &'static str {
        "http"
    }
}

/// The payload as JSON, whatever the client sent.
fn body_of(payload: Option<&Payload>) -> Vec<u8> {
    match payload {
        None => b"null".to_vec(),
        Some(Payload { form: Form::Json, bytes }) => bytes.as_bytes().to_vec(),
        Some(Payload { form: Form::Text, bytes }) => {
            serde_json::to_vec(&**bytes).unwrap_or_else(|_| b"null".to_vec())
        }
    }
}

/// `t=<seconds>,v1=<hex>`: HMAC-SHA256 over the seconds, a dot and the body.
fn signature(key: &SigningKey, at_s: i64, body: &[u8]) -> String {
    use std::fmt::Write;
    let mut text = format!("t={at_s},v1=");
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key.bytes()) else { return text };
    mac.update(at_s.to_string().as_bytes());
    mac.update(b".");
    mac.update(body);
    for byte in mac.finalize().into_bytes() {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// A type's name as a head can hold it.
fn header_text(text: &str) -> String {
    let shown = |c: char| if (' '..='~').contains(&c) { c } else { '?' };
    text.chars().map(shown).collect()
}

/// The system's authorities, read once.
fn tls() -> TlsConfig {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        log::warn!("failed to read a certificate authority of the system: {error}");
    }
    let certs: Vec<Certificate<'static>> =
        found.certs.iter().map(|cert| Certificate::from_der(cert).to_owned()).collect();
    TlsConfig::builder()
        .root_certs(RootCerts::Specific(Arc::new(certs)))
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build()
}
