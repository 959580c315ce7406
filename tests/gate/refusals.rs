//! Every status the gate gives for a request it does not accept.

use super::house::{Caller, House, limits};

/// The request is refused with `status` as a problem document, and the connection ends.
fn assert_refused(house: &House, bytes: &[u8], status: u16) {
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(120)]).into_owned();
    let before = house.handle.counters().refused(status);
    let mut caller = house.call();
    caller.send(bytes);
    let answer = caller.answer();
    assert_eq!(answer.status, status, "{shown:?}: {}", answer.text());
    assert_eq!(answer.head_value("Content-Type"), Some("application/problem+json"));
    assert_eq!(answer.head_value("Connection"), Some("close"));
    let document: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(document["status"], status);
    for field in ["type", "title", "detail", "code", "error", "timestamp", "requestId"] {
        assert!(document[field].is_string(), "{field} in {document}");
    }
    assert_eq!(answer.head_value("X-Request-Id"), document["requestId"].as_str());
    for field in ["type", "title", "detail", "code", "error", "timestamp"] {
        assert!(document[field].is_string(), "{field} in {document}");
    }
    caller.assert_closed();
    assert_eq!(house.handle.counters().refused(status), before + 1, "{shown:?}");
}

/// A POST with these header lines and this body.
fn post(lines: &str, body: &str) -> Vec<u8> {
    format!("POST / HTTP/1.1\r\nHost: x\r\n{lines}\r\n{body}").into_bytes()
}

#[test]
fn bad_framing_is_refused_and_the_next_client_is_served() {
    let house = House::open(limits());
    let chunked = "Transfer-Encoding: chunked\r\n";
    for (bytes, status) in [
        (post("Content-Length: 3\r\nContent-Length: 3\r\n", "abc"), 400),
        (post("Content-Length: 3\r\nContent-Length: 4\r\n", "abc"), 400),
        (post("Content-Length: 3x\r\n", "abc"), 400),
        (post("Content-Length: +3\r\n", "abc"), 400),
        (post("Content-Length: -3\r\n", "abc"), 400),
        (post("Content-Length: 3, 3\r\n", "abc"), 400),
        (post("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), 400),
        (post("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", "0\r\n\r\n"), 400),
        (post("Transfer-Encoding: gzip\r\n", ""), 501),
        (post("Transfer-Encoding: chunked, gzip\r\n", ""), 501),
        (post("Transfer-Encoding: \x0bchunked\r\n", ""), 400),
        (post(&format!("{chunked}{chunked}"), "0\r\n\r\n"), 400),
        (post(chunked, "x\r\n"), 400),
        (post(chunked, "-1\r\n"), 400),
        (post(chunked, "3\r\nabcd\r\n"), 400),
        (post(chunked, "3\nabc\n"), 400),
        (post(chunked, &format!("3;{}", "e".repeat(300))), 400),
        (post(chunked, "ffffffffffffffff\r\n"), 413),
        (post(chunked, "0000000000000003\r\nabc\r\n"), 400),
        (post(chunked, "fffffffffffffff\r\n"), 413),
        (post("Content-Length: 16777217\r\n", ""), 413),
        (post("Content-Length: 999999999999999\r\n", ""), 413),
        (post("Content-Length: 9223372036854775807\r\n", ""), 413),
        (post("Content-Length: 18446744073709551617\r\n", ""), 413),
        (post("Expect: a-miracle\r\n", ""), 417),
        (post("Content-Length : 3\r\n", "abc"), 400),
        (post("X: a\r\n b\r\n", ""), 400),
        (post("X: a\0b\r\n", ""), 400),
        (post("X: a\u{e4}\r\n", ""), 400),
        (post("Host: y\r\n", ""), 400),
    ] {
        assert_refused(&house, &bytes, status);
    }
    house.assert_serves();
}

#[test]
fn odd_first_lines_and_hosts_are_refused() {
    let house = House::open(limits());
    for (text, status) in [
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        ("GET / HTTP/1.1\nHost: x\n\n", 400),
        ("GET /\r\n\r\n", 400),
        ("hello\r\n\r\n", 400),
        ("GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505),
        ("GET / HTTP/1.2\r\nHost: x\r\n\r\n", 505),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        ("POST / HTTP/1.0\r\nContent-Type: text/plain\r\n\r\n", 411),
        ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    ] {
        assert_refused(&house, text.as_bytes(), status);
    }
    // The first bytes of a TLS handshake: refused at once, though no line ever ends.
    assert_refused(&house, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400);
    house.assert_serves();
}

#[test]
fn large_heads_are_refused_as_soon_as_they_are_large() {
    let house = House::open(limits());
    let line = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(9000));
    assert_refused(&house, line.as_bytes(), 414);
    assert_refused(&house, &post(&"X: y\r\n".repeat(64), ""), 431);
    assert_refused(&house, &post(&format!("X: {}\r\n", "y".repeat(17_000)), ""), 431);
    house.assert_serves();
}

#[test]
fn a_64_mib_header_costs_no_memory() {
    let house = House::open(limits());
    let caller = house.call();
    let mut writing = caller.stream.try_clone().unwrap();
    let writer = std::thread::spawn(move || {
        use std::io::Write;
        let piece = vec![b'a'; 1 << 20];
        // Fails once the gate has closed, which is the point.
        writing
            .write_all(b"GET / HTTP/1.1\r\nX: ")
            .and_then(|()| (0..64).try_for_each(|_| writing.write_all(&piece)))
    });
    let mut reading = Caller::over(caller.stream);
    assert_eq!(reading.answer().status, 431);
    assert!(writer.join().unwrap().is_err(), "all 64 MiB were taken");
    assert!(house.handle.counters().buffered_bytes() < 1 << 20);
    house.assert_serves();
}

#[test]
fn a_refusal_of_head_has_no_body() {
    let (house, clock) = House::still(limits());
    let mut caller = house.call();
    caller.send(b"HEAD /hold HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n");
    house.wait_until("it is held", |house| house.held.len() == 1);
    clock.advance(limits().answer_deadline);
    assert_eq!(caller.bodiless_answer().status, 504);
    assert_eq!(caller.answer().text(), "GET / ");
}
