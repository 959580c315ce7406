//! Slow clients and slow applications: each ends in its time, and only they.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use taskscheduler::clock::ManualClock;
use taskscheduler::domain::TimeMs;

use super::house::{Caller, House, PATIENCE, limits, reply};

const SECOND: Duration = Duration::from_secs(1);

/// A gate with the usual deadlines and a clock that stands still.
fn still_house() -> (House, Arc<ManualClock>) {
    House::still(limits())
}

/// A client that has sent `bytes`, which the gate has read.
fn begun(house: &House, bytes: &[u8]) -> Caller {
    let mut caller = house.call();
    caller.send(bytes);
    house.wait_until("bytes in a buffer", |house| house.handle.counters().buffered_bytes() > 0);
    caller
}

#[test]
fn a_head_must_be_complete_in_its_time_even_if_bytes_keep_coming() {
    let (house, clock) = still_house();
    let mut caller = begun(&house, b"GET / HTTP/1.1\r\nX: ");
    for _ in 0..9 {
        clock.advance(SECOND);
        caller.send(b"y");
    }
    house.assert_serves();
    assert_eq!(house.handle.counters().refused(408), 0);
    clock.advance(SECOND);
    assert_eq!(caller.answer().status, 408);
    caller.assert_closed();
}

#[test]
fn a_body_that_trickles_ends_within_a_minute() {
    let (house, clock) = still_house();
    let head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n";
    let mut caller = begun(&house, head);
    for _ in 0..60 {
        clock.advance(SECOND);
        // Fails once the gate has given up.
        let _ = caller.stream.write_all(b"z");
    }
    assert_eq!(caller.answer().status, 408);
    house.assert_serves();
}

#[test]
fn a_large_body_may_take_long_if_it_keeps_coming() {
    let (house, clock) = still_house();
    let piece = vec![b'z'; 300 << 10];
    let head = format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", 6 * piece.len());
    let mut caller = begun(&house, head.as_bytes());
    for number in 1..=5 {
        caller.send(&piece);
        house.wait_until("the piece was read", |house| {
            house.handle.counters().received_bytes() >= number * piece.len() as u64
        });
        clock.advance(30 * SECOND);
        // A request of somebody else goes through two loops, so the deadlines were looked at.
        house.assert_serves();
        house.assert_serves();
    }
    caller.send(&piece);
    assert_eq!(caller.answer().status, 200);
}

#[test]
fn idle_connections_end_without_a_word_after_a_minute() {
    let (house, clock) = still_house();
    let mut fresh = house.call();
    let mut kept = house.call();
    kept.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(kept.answer().status, 200);
    clock.advance(59 * SECOND);
    kept.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(kept.answer().status, 200, "not idle long enough");
    clock.advance(60 * SECOND);
    fresh.assert_closed();
    kept.assert_closed();
}

#[test]
fn idle_connections_end_sooner_when_there_are_many() {
    let clock = ManualClock::at(TimeMs::ZERO);
    let mut few = limits();
    few.connections_max = 4;
    let house = House::with_clock(few, clock.clone());
    let mut callers: Vec<_> = (0..4).map(|_| house.call()).collect();
    house.wait_until("all are in", |house| house.handle.counters().connections() == 4);
    clock.advance(15 * SECOND);
    callers[0].assert_closed();
    assert!(house.handle.counters().evicted() == 0, "the deadline, not the limit, ended it");
}

#[test]
fn a_client_that_stops_reading_its_answer_is_reset() {
    let mut short = limits();
    short.write_stall = Duration::from_millis(50);
    let house = House::open(short);
    let mut caller = house.call();
    caller.send(b"GET /long/50000000 HTTP/1.1\r\nHost: x\r\n\r\n");
    house.wait_until("a reset", |house| house.handle.counters().resets() == 1);
    house.wait_until("buffers given back", |house| house.handle.counters().buffered_bytes() == 0);
    caller.assert_reset();
    house.assert_serves();
}

#[test]
fn a_client_that_reads_its_answer_too_slowly_is_reset() {
    let mut short = limits();
    short.answer_window = Duration::from_millis(50);
    short.answer_rate_min = 1 << 40;
    let house = House::open(short);
    let mut caller = house.call();
    caller.send(b"GET /long/50000000 HTTP/1.1\r\nHost: x\r\n\r\n");
    house.wait_until("a reset", |house| house.handle.counters().resets() == 1);
    caller.assert_reset();
}

#[test]
fn a_client_that_keeps_reading_is_not_reset() {
    let mut short = limits();
    short.write_stall = PATIENCE;
    let house = House::open(short);
    let mut caller = house.call();
    caller.send(b"GET /long/20000000 HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(caller.answer().body.len(), 20_000_000);
    assert_eq!(house.handle.counters().resets(), 0);
}

#[test]
fn a_late_answer_is_504_and_says_whether_something_may_have_happened() {
    let (house, clock) = still_house();
    let late = limits().answer_deadline;
    let mut caller = house.call();
    caller.send(b"POST /hold HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\na");
    house.wait_until("it is held", |house| house.held.len() == 1);
    clock.advance(late);
    let answer = caller.answer();
    assert_eq!((answer.status, answer.code().as_str()), (504, "outcome-unknown"));
    caller.send(b"GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
    house.wait_until("it is held too", |house| house.held.len() == 2);
    clock.advance(late);
    let answer = caller.answer();
    assert_eq!((answer.status, answer.code().as_str()), (504, "timeout"));
    assert!(answer.text().contains(r#""path":"/hold""#), "{}", answer.text());
    // The late answers go nowhere; the connection they came on serves again.
    for _ in 0..2 {
        reply(house.held.recv_timeout(PATIENCE).unwrap(), b"too late");
    }
    caller.send(b"GET /now HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(caller.answer().text(), "GET /now ");
}

#[test]
fn a_request_that_finds_no_backend_in_time_is_503_and_surely_not_carried_out() {
    let mut few = limits();
    (few.backends_min, few.backends_max, few.backends_reserved) = (2, 2, 0);
    let wait = few.backend_wait;
    let (house, clock) = House::still(few);
    let mut holding: Vec<_> = (0..2).map(|_| house.call()).collect();
    for caller in &mut holding {
        caller.send(b"GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
    }
    house.wait_until("both are held", |house| house.held.len() == 2);
    let mut caller = house.call();
    caller.send(b"POST /hold HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\na");
    house.wait_until("it is in", |house| house.handle.counters().requests() == 3);
    clock.advance(wait);
    let answer = caller.answer();
    assert_eq!((answer.status, answer.head_value("Retry-After")), (503, Some("1")));
    for _ in &holding {
        reply(house.held.recv_timeout(PATIENCE).unwrap(), b"done");
    }
    for holder in &mut holding {
        assert_eq!(holder.answer().text(), "done");
    }
    caller.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(caller.answer().text(), "GET / ", "the same connection goes on");
    assert!(house.held.is_empty(), "the refused request was never seen");
}
