//! Clients that send anything and leave at any time.

use std::io::{Read, Write};

use super::house::{House, limits, reply};

/// Pseudo-random numbers, the same in every run.
struct Seeded(u64);

impl Seeded {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}

const GOOD: &[u8] = b"POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n\
    5\r\nhello\r\n3\r\nabc\r\n0\r\n\r\nGET /y HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi";

/// Sends `bytes`, ends its side, and reads until the gate ends too.
fn send_and_leave(house: &House, bytes: &[u8]) -> Vec<u8> {
    let mut caller = house.call();
    // The gate may close at any byte.
    let _ = caller.stream.write_all(bytes);
    let _ = caller.stream.shutdown(std::net::Shutdown::Write);
    let mut answer = Vec::new();
    match caller.stream.read_to_end(&mut answer) {
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
            panic!("no end after {:?}", String::from_utf8_lossy(bytes))
        }
        _ => answer,
    }
}

#[test]
fn random_bytes_end_in_a_refusal_or_in_nothing() {
    let house = House::open(limits());
    let mut seeded = Seeded(0x5eed);
    for round in 0..300 {
        let length = 1 + seeded.below(600);
        let bytes: Vec<u8> = (0..length).map(|_| seeded.next() as u8).collect();
        let answer = send_and_leave(&house, &bytes);
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 4"), "round {round}");
    }
    house.assert_serves();
    assert_eq!(house.handle.counters().rebuilds(), 0);
}

#[test]
fn good_requests_with_bytes_changed_never_reach_the_backend_half() {
    let house = House::open(limits());
    let mut seeded = Seeded(0xbad);
    for round in 0..500 {
        let mut bytes = GOOD.to_vec();
        for _ in 0..=seeded.below(3) {
            let at = seeded.below(bytes.len());
            match seeded.below(3) {
                0 => bytes[at] = seeded.next() as u8,
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, b"\r\n:;, 0\0"[seeded.below(8)]),
            }
        }
        let answer = send_and_leave(&house, &bytes);
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 "), "round {round}");
        if round % 50 == 0 {
            house.assert_serves();
        }
    }
    // A request that reached the backend malformed would have cost a connection or a rebuild.
    assert_eq!(house.handle.counters().refused(502), 0);
    assert_eq!(house.handle.counters().rebuilds(), 0);
    house.wait_until("all are gone", |house| house.handle.counters().connections() == 0);
}

#[test]
fn connections_reset_after_every_byte_leave_nothing_behind() {
    let house = House::open(limits());
    for end in 0..=GOOD.len() {
        let mut caller = house.call();
        caller.send(&GOOD[..end]);
        caller.reset();
    }
    house.assert_serves();
    house.wait_until("all are gone", |house| house.handle.counters().connections() == 0);
    house.wait_until("buffers given back", |house| house.handle.counters().buffered_bytes() == 0);
}

#[test]
fn a_client_that_resets_while_its_request_runs_costs_only_that_answer() {
    let house = House::open(limits());
    for _ in 0..30 {
        let mut caller = house.call();
        caller.send(b"POST /hold HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\na");
        let held = house.held.recv_timeout(super::house::PATIENCE).unwrap();
        caller.reset();
        house.wait_until("it is gone", |house| house.handle.counters().connections() == 0);
        reply(held, b"nobody reads this");
        house.assert_serves();
        house.wait_until("the good one too", |house| house.handle.counters().connections() == 0);
    }
    assert!(house.handle.counters().backends() <= 16, "each orphan was used again");
}

#[test]
fn requests_whose_clients_left_count_until_they_are_answered() {
    let mut few = limits();
    (few.backends_min, few.backends_max, few.backends_reserved) = (2, 2, 0);
    let wait = few.backend_wait;
    let (house, clock) = House::still(few);
    for number in 1..=2 {
        let mut caller = house.call();
        caller.send(b"POST /hold HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\na");
        house.wait_until("it is held", |house| house.held.len() == number);
        caller.reset();
    }
    house.wait_until("both are gone", |house| house.handle.counters().connections() == 0);
    let get = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut third = house.call();
    third.send(get);
    house.wait_until("it is in", |house| house.handle.counters().requests() == 3);
    clock.advance(wait);
    assert_eq!(third.answer().status, 503, "leaving made room for more at once than allowed");
    for held in house.held.try_iter() {
        reply(held, b"nobody reads this");
    }
    assert_eq!(house.ask(get).status, 200);
}

#[test]
fn a_client_that_resets_in_a_long_answer_leaves_nothing_behind() {
    let house = House::open(limits());
    for path in ["/long/9000000", "/stream/9000000"] {
        for _ in 0..5 {
            let mut caller = house.call();
            caller.send(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes());
            caller.stream.read_exact(&mut [0; 1000]).unwrap();
            caller.reset();
        }
    }
    house.wait_until("all are gone", |house| house.handle.counters().connections() == 0);
    house.wait_until("buffers given back", |house| house.handle.counters().buffered_bytes() == 0);
    house.assert_serves();
}

#[test]
fn a_flood_of_pipelined_requests_is_not_collected() {
    let house = House::open(limits());
    let mut caller = house.call();
    caller.stream.set_write_timeout(Some(std::time::Duration::from_millis(200))).unwrap();
    let many = b"GET /hold HTTP/1.1\r\nHost: x\r\n\r\n".repeat(10_000);
    // Nobody answers the first, so at some point nothing more is taken.
    while caller.stream.write_all(&many).is_ok() {}
    assert_eq!(house.held.len(), 1);
    assert!(house.handle.counters().buffered_bytes() < 256 << 10);
    house.assert_serves();
}
