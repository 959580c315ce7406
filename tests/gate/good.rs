//! Clients that do nothing wrong, in all the ways they may.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use taskscheduler::api::gate::{Gate, GateConfig, Listen};
use taskscheduler::clock::SystemClock;

use super::house::{House, PATIENCE, backend, echoing, limits};

#[test]
fn a_kept_connection_serves_request_after_request() {
    let house = House::open(limits());
    let mut caller = house.call();
    for number in 0..50 {
        caller.send(
            format!("POST /{number} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello")
                .as_bytes(),
        );
        assert_eq!(caller.answer().text(), format!("POST /{number} hello"));
    }
    assert_eq!(house.handle.counters().accepted(), 1);
    assert_eq!(house.handle.counters().requests(), 50);
}

#[test]
fn requests_sent_together_are_answered_in_order() {
    let house = House::open(limits());
    let mut caller = house.call();
    let all: Vec<String> = (0..100)
        .map(|number| format!("POST /{number} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab"))
        .collect();
    caller.send(all.concat().as_bytes());
    for number in 0..100 {
        assert_eq!(caller.answer().text(), format!("POST /{number} ab"));
    }
}

#[test]
fn a_chunked_body_arrives_whole() {
    let house = House::open(limits());
    let mut caller = house.call();
    caller.send(b"POST /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    for part in ["4\r\nWi", "ki\r\n5;x=y\r", "\npedia\r\n0\r\nTrailer: z\r\n", "\r\n"] {
        caller.send(part.as_bytes());
    }
    assert_eq!(caller.answer().text(), "POST /c Wikipedia");
    caller.send(b"GET /after HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(caller.answer().text(), "GET /after ");
}

#[test]
fn a_client_that_waits_for_100_is_told_to_go_on() {
    let house = House::open(limits());
    let mut caller = house.call();
    caller
        .send(b"POST /e HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(caller.answer().status, 100);
    caller.send(b"body");
    assert_eq!(caller.answer().text(), "POST /e body");
}

#[test]
fn a_client_that_waits_for_100_is_refused_before_it_sends_too_much() {
    let house = House::open(limits());
    let answer = house.ask(
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\nExpect: 100-continue\r\n\r\n",
    );
    assert_eq!(answer.status, 413);
}

#[test]
fn a_large_body_goes_through() {
    let house = House::open(limits());
    let mut caller = house.call();
    let body = vec![b'z'; 5 << 20];
    caller.send(
        format!("POST /l HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes(),
    );
    caller.send(&body);
    let answer = caller.answer();
    assert_eq!(answer.body.len(), "POST /l ".len() + body.len());
    assert!(answer.body.ends_with(&body));
    house.wait_until("buffers given back", |house| {
        house.handle.counters().buffered_bytes() < 64 << 10
    });
}

#[test]
fn answers_of_every_size_arrive_whole_and_keep_the_connection() {
    let house = House::open(limits());
    let mut caller = house.call();
    for size in [0, 1, 1000, 1024, 65_536, 262_144, 262_145, 3_000_000] {
        for (kind, byte) in [("long", b'x'), ("stream", b'y')] {
            caller.send(format!("GET /{kind}/{size} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes());
            let answer = caller.answer();
            assert_eq!(answer.body.len(), size, "{kind} {size}");
            assert!(answer.body.iter().all(|b| *b == byte), "{kind} {size}");
        }
    }
    assert_eq!(house.handle.counters().accepted(), 1);
}

#[test]
fn an_answer_without_a_body_ends_with_its_head() {
    let house = House::open(limits());
    let mut caller = house.call();
    caller.send(b"HEAD /long/500000 HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(caller.bodiless_answer().head_value("Content-Length"), Some("500000"));
    caller.send(b"GET /gone HTTP/1.1\r\nHost: x\r\n\r\n");
    let gone = caller.answer();
    assert_eq!((gone.status, gone.head_value("Content-Length")), (204, None));
    caller.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(caller.answer().text(), "GET / ");
}

#[test]
fn version_1_0_clients_are_served_with_and_without_keeping() {
    let house = House::open(limits());
    let mut caller = house.call();
    caller.send(b"GET /stream/400000 HTTP/1.0\r\n\r\n");
    let answer = caller.answer();
    assert_eq!(answer.head_value("Transfer-Encoding"), None);
    assert_eq!(answer.body.len(), 400_000);
    let mut keeping = house.call();
    for _ in 0..2 {
        keeping.send(b"GET /stream/5 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        let answer = keeping.answer();
        assert_eq!(answer.head_value("Connection"), Some("keep-alive"));
        assert_eq!(answer.text(), "yyyyy");
    }
}

#[test]
fn a_client_that_asks_for_the_end_gets_it() {
    let house = House::open(limits());
    let mut caller = house.call();
    caller.send(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let answer = caller.answer();
    assert_eq!(answer.head_value("Connection"), Some("close"));
    caller.assert_closed();
}

#[test]
fn a_client_that_ends_its_side_after_asking_is_still_answered() {
    let house = House::open(limits());
    let mut caller = house.call();
    caller.send(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n");
    caller.half_close();
    assert_eq!(caller.answer().text(), "GET /a ");
    assert_eq!(caller.answer().text(), "GET /b ");
    caller.assert_closed();
}

#[test]
fn the_application_sees_the_peer_and_nothing_in_the_gates_name_from_clients() {
    let house = House::open(limits());
    let answer = house.ask(
        b"GET /heads HTTP/1.1\r\nHost: x\r\nX-Gate-Probe: 1\r\nX-Gate-Peer: 6.6.6.6\r\n\
          x-gate-park: t\r\nConnection: close, X-Private\r\nX-Private: 1\r\nAccept: a\r\n\r\n",
    );
    assert_eq!(answer.text(), "Host: x\nAccept: a\nX-Gate-Peer: 127.0.0.1");
}

#[test]
fn a_panic_in_the_application_is_an_answer_and_not_an_end() {
    let house = House::open(limits());
    let mut caller = house.call();
    caller.send(b"GET /panic HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(caller.answer().status, 500);
    assert_eq!(caller.answer().status, 200);
}

#[test]
fn an_answer_before_the_body_was_read_does_not_disturb_what_follows() {
    let house = House::open(limits());
    let mut caller = house.call();
    let body = vec![b'b'; 2 << 20];
    for _ in 0..3 {
        caller.send(
            format!("POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len())
                .as_bytes(),
        );
        caller.send(&body);
        assert_eq!(caller.answer().text(), "early");
    }
    house.assert_serves();
}

#[test]
fn a_unix_socket_is_served_and_its_file_removed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("gate.sock");
    // A file that a killed server left behind is no obstacle.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let config = GateConfig { listen: Listen::Unix(path.clone()), limits: limits() };
    let source = Box::new(backend(&dir, echoing().0));
    let gate = Gate::open(config, Arc::new(SystemClock::new()), source).unwrap();
    let handle = gate.start().unwrap();
    let mut stream = UnixStream::connect(&path).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"GET /u HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("GET /u "), "{answer}");
    handle.stop(PATIENCE).unwrap();
    assert!(!path.exists());
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "the backend's place remains");
}

#[test]
fn a_busy_port_is_an_error_at_once() {
    let house = House::open(limits());
    let dir = tempfile::tempdir().unwrap();
    let config = GateConfig { listen: Listen::Tcp(house.addr), limits: limits() };
    let source = Box::new(backend(&dir, echoing().0));
    let error = Gate::open(config, Arc::new(SystemClock::new()), source).err().unwrap();
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    let other = SocketAddr::from(([127, 0, 0, 1], 0));
    let config = GateConfig { listen: Listen::Tcp(other), limits: limits() };
    let source = Box::new(backend(&dir, echoing().0));
    assert!(Gate::open(config, Arc::new(SystemClock::new()), source).is_ok());
}
