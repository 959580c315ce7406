//! How the gate ends.

use std::net::TcpStream;
use std::time::Duration;

use super::house::{House, PATIENCE, limits, reply, wait_until};

#[test]
fn stopping_lets_requests_in_flight_finish_and_takes_no_new_ones() {
    let house = House::open(limits());
    let mut idle = house.call();
    let mut busy = house.call();
    busy.send(b"POST /hold HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\na");
    let held = house.held.recv_timeout(PATIENCE).unwrap();
    let (addr, handle) = (house.addr, house.handle);
    let stopper = std::thread::spawn(move || handle.stop(PATIENCE));
    idle.assert_closed();
    wait_until("the port is closed", || TcpStream::connect(addr).is_err());
    reply(held, b"done");
    let answer = busy.answer();
    assert_eq!((answer.text().as_str(), answer.head_value("Connection")), ("done", Some("close")));
    busy.assert_closed();
    stopper.join().unwrap().unwrap();
}

#[test]
fn stopping_waits_no_longer_than_its_budget() {
    let house = House::open(limits());
    let mut busy = house.call();
    busy.send(b"POST /hold HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\na");
    let _held = house.held.recv_timeout(PATIENCE).unwrap();
    house.handle.stop(Duration::from_millis(30)).unwrap();
    busy.read_to_end().unwrap();
}

#[test]
fn a_port_is_free_again_at_once() {
    let house = House::open(limits());
    let mut kept = house.call();
    kept.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(kept.answer().status, 200);
    let addr = house.addr;
    house.handle.stop(PATIENCE).unwrap();
    assert!(std::net::TcpListener::bind(addr).is_ok());
}
