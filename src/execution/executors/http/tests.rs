//! Endpoints on loopback, kind and hostile, each a listener of the test's own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use crossbeam_channel::{Receiver, bounded};

use super::*;
use crate::clock::SystemClock;
use crate::domain::{Epoch, LeaseToken, TaskId};
use crate::execution::tests::{Solo, elapsed};

const LONG: Duration = Duration::from_secs(20);

/// A request as it came.
struct Asked {
    head: String,
    body: Vec<u8>,
}

impl Asked {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }
}

fn read(stream: &TcpStream) -> Option<Asked> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let mut asked = Asked { head, body: Vec::new() };
    let length: usize = asked.header("content-length").unwrap_or("0").parse().ok()?;
    asked.body = vec![0; length];
    reader.read_exact(&mut asked.body).ok()?;
    Some(asked)
}

/// An endpoint that answers with what `answer` writes; what it was asked comes out.
fn endpoint(answer: impl Fn(&mut TcpStream) + Send + 'static) -> (SocketAddr, Receiver<Asked>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, told) = bounded(100);
    thread::spawn(move || {
        for stream in listener.incoming().take(100) {
            let mut stream = stream.unwrap();
            if let Some(asked) = read(&stream) {
                let _ = tell.send(asked);
                answer(&mut stream);
            }
        }
    });
    (address, told)
}

fn fixed(answer: &'static str) -> (SocketAddr, Receiver<Asked>) {
    endpoint(move |stream| drop(stream.write_all(answer.as_bytes())))
}

fn setup(address: SocketAddr) -> HttpSetup {
    let mut setup = HttpSetup::new(&format!("http://{address}/hook?x=1")).unwrap();
    setup.allow_private = true;
    setup
}

fn run(setup: HttpSetup, solo: &Solo) -> Outcome {
    match Http::new(setup).run(&solo.attempt()) {
        Doing::Ended(outcome) => outcome,
        other => panic!("{other:?}"),
    }
}

fn failure(setup: HttpSetup, timeout_s: i64) -> Failure {
    match run(setup, &Solo::new(Some("x"), timeout_s)) {
        Outcome::Failed(failure) => failure,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_endpoint_gets_the_payload_signed_and_its_answer_is_the_result() {
    let (address, told) = fixed("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nwell");
    let mut setup = setup(address);
    setup.secret = Some(SigningKey::new(*b"key"));
    setup.add_header("X-Tenant", "blue").unwrap();
    let solo = Solo::new(Some("say \"hi\""), 20);
    assert_eq!(run(setup, &solo), Outcome::Done(Some(Payload::text("well"))));
    let asked = told.recv_timeout(LONG).unwrap();
    assert!(asked.head.starts_with("POST /hook?x=1 HTTP/1.1\r\n"), "{}", asked.head);
    assert_eq!(asked.body, br#""say \"hi\"""#);
    for (name, value) in [
        ("content-type", "application/json"),
        ("task-id", "7"),
        ("task-type", "SOLO"),
        ("task-attempt", "2"),
        ("task-epoch", "4"),
        ("x-tenant", "blue"),
        ("host", &address.to_string()),
    ] {
        assert_eq!(asked.header(name), Some(value), "{name}");
    }
    let signed = asked.header("task-signature").unwrap();
    let at: i64 = signed.strip_prefix("t=").unwrap().split(',').next().unwrap().parse().unwrap();
    assert!((solo.attempt().wall().0 / 1000 - at).abs() <= 20);
    assert_eq!(signed, signature(&SigningKey::new(*b"key"), at, &asked.body));
}

/// The value was computed by `openssl dgst -sha256 -hmac key` over `1700000000.{"a":1}`.
#[test]
fn a_signature_is_what_others_compute() {
    assert_eq!(
        signature(&SigningKey::new(*b"key"), 1_700_000_000, b"{\"a\":1}"),
        "t=1700000000,v1=a438e398bfafc57e4396bb7fc2304422f0f768e965d073ca313cb52e22e6ad03"
    );
}

#[test]
fn json_stays_json_and_no_payload_is_null() {
    let json = "{\"a\": [1, 2]}";
    assert_eq!(body_of(Some(&Payload::json(json))), json.as_bytes());
    assert_eq!(body_of(None), b"null");
    let (address, _told) = fixed(
        "HTTP/1.1 201 Created\r\nContent-Type: application/json; charset=utf-8\r\n\
         Content-Length: 7\r\n\r\n{\"a\":1}",
    );
    let solo = Solo::new(None, 20);
    assert_eq!(run(setup(address), &solo), Outcome::Done(Some(Payload::json("{\"a\":1}"))));
}

#[test]
fn an_answer_decides_whether_and_when_it_is_tried_again() {
    let (address, _told) = fixed("HTTP/1.1 404 Not Found\r\nContent-Length: 7\r\n\r\nno such");
    let failure = self::failure(setup(address), 20);
    assert_eq!(failure.kind, FailureKind::Permanent);
    assert_eq!(failure.message, "the endpoint answered 404: no such");
    let (address, _told) =
        fixed("HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n");
    let failure = self::failure(setup(address), 20);
    assert_eq!((failure.kind, failure.retry_after_ms), (FailureKind::Error, Some(7000)));
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let failure = self::failure(setup(gone), 20);
    assert_eq!(failure.kind, FailureKind::Error);
    assert!(failure.message.contains(&format!("failed to ask {gone}")), "{}", failure.message);
}

#[test]
fn an_endpoint_that_answers_202_goes_on_and_has_what_speaks_for_the_attempt() {
    let (address, told) = fixed("HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n");
    let solo = Solo::new(Some("x"), 20);
    assert_eq!(Http::new(setup(address)).run(&solo.attempt()), Doing::GoesOn);
    let asked = told.recv_timeout(LONG).unwrap();
    let token = LeaseToken::read(asked.header("task-lease-token").unwrap(), &[7; 16]).unwrap();
    assert_eq!(
        (token.id, token.epoch, token.lease_ms),
        (TaskId::new(7).unwrap(), Epoch(4), 20_000)
    );
}

#[test]
fn an_address_inside_the_house_is_not_dialled_unless_it_may_be() {
    let (address, told) = fixed("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0", "2130706433"] {
        let url = format!("http://{host}:{}/", address.port());
        let Ok(setup) = HttpSetup::new(&url) else { continue };
        let failure = self::failure(setup, 20);
        assert!(failure.message.contains("private or reserved"), "{host}: {}", failure.message);
    }
    assert!(told.try_recv().is_err());
}

#[test]
fn a_redirect_is_not_followed_wherever_it_leads() {
    let (inside, told) = fixed("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let (address, _asked) = endpoint(move |stream| {
        let answer = format!(
            "HTTP/1.1 302 Found\r\nLocation: http://{inside}/\r\nContent-Length: 0\r\n\r\n"
        );
        let _ = stream.write_all(answer.as_bytes());
    });
    let failure = self::failure(setup(address), 20);
    assert_eq!(failure.kind, FailureKind::Permanent);
    assert!(failure.message.contains("302, and redirects are not followed"), "{}", failure.message);
    assert!(told.try_recv().is_err());
}

/// One deadline for the whole exchange: neither silence nor a byte now and then extends it.
#[test]
fn an_endpoint_that_never_answers_or_only_byte_by_byte_has_no_more_than_its_time() {
    let drip = |stream: &mut TcpStream, what: &[u8]| {
        let (_keep, never) = bounded::<()>(0);
        for byte in what.iter().cycle().take(600) {
            if stream.write_all(&[*byte]).is_err() {
                return;
            }
            let _ = never.recv_timeout(Duration::from_millis(50));
        }
    };
    let silent = endpoint(move |stream| drop(stream.read(&mut [0])));
    let head =
        endpoint(move |stream| drip(stream, b"HTTP/1.1 200 OK\r\nX-A: b\r\nX-A: bbbbbbbbbbb"));
    let body = endpoint(move |stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 600\r\n\r\n");
        drip(stream, b"x");
    });
    for (address, _told) in [silent, head, body] {
        let from = SystemClock::new();
        let failure = self::failure(setup(address), 1);
        assert_eq!(failure.kind, FailureKind::Timeout, "{}", failure.message);
        let took = elapsed(&from);
        assert!((Duration::from_millis(900)..Duration::from_secs(4)).contains(&took), "{took:?}");
    }
}

#[test]
fn an_endpoint_that_sends_a_hundred_megabytes_is_cut_off() {
    for length in ["Content-Length: 104857600\r\n", ""] {
        let (address, _told) = endpoint(move |stream| {
            let _ = write!(stream, "HTTP/1.1 200 OK\r\n{length}\r\n");
            let block = vec![b'x'; 1 << 20];
            for _ in 0..100 {
                if stream.write_all(&block).is_err() {
                    return;
                }
            }
        });
        let failure = self::failure(setup(address), 20);
        assert_eq!(failure.kind, FailureKind::Permanent);
        assert_eq!(failure.message, "the endpoint answered with more than 65536 bytes");
    }
}

#[test]
fn a_request_under_way_ends_when_its_task_is_cancelled() {
    let (address, told) = endpoint(|stream| drop(stream.read(&mut [0])));
    let solo = Solo::new(Some("x"), 20);
    let from = SystemClock::new();
    let outcome = thread::scope(|scope| {
        let running = scope.spawn(|| run(setup(address), &solo));
        told.recv_timeout(LONG).unwrap();
        solo.cancel();
        running.join().unwrap()
    });
    assert_eq!(outcome, Outcome::Cancelled);
    assert!(elapsed(&from) < Duration::from_secs(10));
    let cancelled_before = Solo::new(Some("x"), 20);
    cancelled_before.cancel();
    assert_eq!(run(setup(address), &cancelled_before), Outcome::Cancelled);
}
