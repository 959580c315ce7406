//! Many connections and much memory: both are bounded, and good clients are served meanwhile.

use std::io::Write;

use super::descriptors::alone;
use super::house::{Caller, House, limits, reply, threads};

#[test]
fn two_thousand_idle_connections_cost_no_threads() {
    // Alone, because the threads of other tests would be counted too.
    if !alone("gate::capacity::two_thousand_idle_connections_cost_no_threads") {
        return;
    }
    let mut wide = limits();
    wide.connections_max = 2100;
    let house = House::open(wide);
    house.assert_serves();
    house.wait_until("the first backend connections", |house| {
        house.handle.counters().backends() >= 16
    });
    let before = threads();
    let idle: Vec<Caller> = (0..2000).map(|_| house.call()).collect();
    house.wait_until("all are in", |house| house.handle.counters().connections() >= 2000);
    assert!(threads() <= before, "{before} threads before, {} now", threads());
    house.assert_serves();
    house.wait_until("no buffers", |house| house.handle.counters().buffered_bytes() == 0);
    assert_eq!(house.handle.counters().evicted(), 0);
    drop(idle);
    house.wait_until("all are gone", |house| house.handle.counters().connections() == 0);
}

#[test]
fn above_the_limit_the_longest_idle_connection_makes_room() {
    let mut few = limits();
    few.connections_max = 10;
    let house = House::open(few);
    let mut callers: Vec<Caller> = Vec::new();
    for number in 1..=10 {
        let mut caller = house.call();
        caller.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(caller.answer().status, 200, "{number}");
        callers.push(caller);
    }
    house.assert_serves();
    callers[0].assert_closed();
    callers[9].send(b"GET /still HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(callers[9].answer().text(), "GET /still ");
    assert_eq!(house.handle.counters().evicted(), 1);
}

#[test]
fn when_all_connections_are_busy_a_new_one_is_told_so() {
    let mut few = limits();
    few.connections_max = 16;
    let house = House::open(few);
    let mut holding: Vec<_> = (0..16).map(|_| house.call()).collect();
    for caller in &mut holding {
        caller.send(b"GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
    }
    house.wait_until("all are held", |house| house.held.len() == 16);
    let mut refused = house.call();
    let answer = refused.answer();
    assert_eq!((answer.status, answer.code().as_str()), (503, "too-many-connections"));
    refused.assert_closed();
    for caller in &mut holding {
        reply(house.held.recv().unwrap(), b"done");
        let _ = caller;
    }
    for caller in &mut holding {
        assert_eq!(caller.answer().text(), "done");
    }
    house.assert_serves();
}

#[test]
fn bodies_share_a_bounded_memory_and_small_requests_pass_meanwhile() {
    let mut small = limits();
    small.buffer_bytes_max = 4 << 20;
    let house = House::open(small);
    let head = "POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n";
    let mut callers: Vec<Caller> = (0..20).map(|_| house.call()).collect();
    for caller in &mut callers {
        caller.send(head.as_bytes());
    }
    // All are announced while there is room, so only what arrives can be counted.
    house.wait_until("all heads are in", |house| {
        house.handle.counters().received_bytes() == 20 * head.len() as u64
    });
    for caller in &mut callers {
        // Fails where the gate has refused already.
        let _ = caller.stream.write_all(&vec![b'b'; 900_000]);
    }
    house.wait_until("some are refused", |house| house.handle.counters().refused(503) >= 10);
    let held = house.handle.counters().buffered_bytes();
    assert!(held <= (4 << 20) + (128 << 10), "{held} bytes");
    assert!(held > 1 << 20, "{held} bytes: those that fit were not taken");
    house.assert_serves();
    let mut small = house.call();
    small.send(b"POST /s HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc");
    assert_eq!(small.answer().text(), "POST /s abc");
    drop(callers);
    house.wait_until("buffers given back", |house| {
        house.handle.counters().buffered_bytes() < 64 << 10
    });
    let body = vec![b'b'; 1_000_000];
    let mut late = house.call();
    late.send(&[head.as_bytes(), &body].concat());
    assert_eq!(late.answer().status, 200, "there is room again");
}

#[test]
fn many_clients_at_once_are_all_served() {
    let house = House::open(limits());
    let mut callers: Vec<Caller> = (0..200).map(|_| house.call()).collect();
    for round in 0..10 {
        for (number, caller) in callers.iter_mut().enumerate() {
            let line = format!("POST /{round}/{number} HTTP/1.1\r\nHost: x\r\n");
            caller.send(format!("{line}Content-Length: 2\r\n\r\nhi").as_bytes());
        }
        for (number, caller) in callers.iter_mut().enumerate() {
            assert_eq!(caller.answer().text(), format!("POST /{round}/{number} hi"));
        }
    }
    assert_eq!(house.handle.counters().rebuilds(), 0);
}

#[test]
fn long_answers_hold_at_most_a_quarter_of_the_backend_connections() {
    let mut few = limits();
    (few.backends_min, few.backends_max) = (8, 8);
    let house = House::open(few);
    let mut readers: Vec<Caller> = (0..4).map(|_| house.call()).collect();
    for caller in &mut readers[..2] {
        caller.send(b"GET /long/30000000 HTTP/1.1\r\nHost: x\r\n\r\n");
        let mut first = [0; 1];
        std::io::Read::read_exact(&mut caller.stream, &mut first).unwrap();
    }
    readers[2].send(b"GET /long/30000000 HTTP/1.1\r\nHost: x\r\n\r\n");
    let answer = readers[2].answer();
    assert_eq!((answer.status, answer.head_value("Retry-After")), (503, Some("1")));
    // What may have changed something is answered, only later.
    readers[3].send(b"POST /long/30000000 HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\na");
    house.assert_serves();
    for caller in readers.drain(..2) {
        caller.reset();
    }
    assert_eq!(readers[1].answer().body.len(), 30_000_000);
}
