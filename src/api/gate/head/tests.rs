//! Each case is a head as a client would send it, and what becomes of it.

use proptest::prelude::*;

use super::*;

fn read(raw: &str) -> Result<(Head, String), Refusal> {
    let mut out = Vec::new();
    let head = read_head(raw.as_bytes(), "1.2.3.4", &GateLimits::default(), &mut out)?;
    Ok((head, String::from_utf8(out).unwrap()))
}

/// The status of a 1.1 request with a Host and these further lines; 200 if it is taken.
fn status(lines: &str) -> u16 {
    let raw = format!("POST / HTTP/1.1\r\nHost: x\r\n{lines}\r\n");
    read(&raw).map_or_else(|refusal| refusal.status, |_| 200)
}

#[test]
fn a_head_goes_on_without_what_concerns_this_connection_only() {
    let (head, out) = read(
        "POST /a?b=c HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\n\
         TE: trailers\r\nUpgrade: h2c\r\nx-gate-peer: 9.9.9.9\r\nX-GATE-Probe: 1\r\n\
         Content-Length: 7\r\nExpect: 100-Continue\r\nAccept: */*\r\n\r\n",
    )
    .unwrap();
    assert_eq!(
        out,
        "POST /a?b=c HTTP/1.1\r\nHost: x\r\nAccept: */*\r\nX-Gate-Peer: 1.2.3.4\r\n\
         Content-Length: 7\r\n\r\n"
    );
    assert_eq!(head.framing, Framing::Length(7));
    assert!(head.expects_continue);
    assert_eq!(head.keeping, Keeping::Keep);
}

#[test]
fn a_chunked_body_gets_its_length_filled_in_later() {
    let (head, out) =
        read("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\n\r\n").unwrap();
    assert_eq!(head.framing, Framing::Chunked);
    let mut bytes = out.into_bytes();
    let end = bytes.len();
    set_length(&mut bytes, end, 4711);
    let text = String::from_utf8(bytes).unwrap();
    assert!(text.ends_with("\r\nContent-Length: 000000004711\r\n\r\n"), "{text}");
}

#[test]
fn odd_lengths_and_codings_are_refused() {
    for (lines, expected) in [
        ("Content-Length: 5\r\n", 200),
        ("Content-Length: 0005\r\n", 200),
        ("Content-Length: 5\r\nContent-Length: 5\r\n", 400),
        ("Content-Length: 5\r\nContent-Length: 6\r\n", 400),
        ("Content-Length: 5, 5\r\n", 400),
        ("Content-Length: 5x\r\n", 400),
        ("Content-Length: +5\r\n", 400),
        ("Content-Length: -5\r\n", 400),
        ("Content-Length: 0x5\r\n", 400),
        ("Content-Length: 5 5\r\n", 400),
        ("Content-Length:\r\n", 400),
        ("Content-Length: 16777216\r\n", 200),
        ("Content-Length: 16777217\r\n", 413),
        ("Content-Length: 9223372036854775807\r\n", 413),
        ("Content-Length: 18446744073709551617\r\n", 413),
        ("Content-Length: 99999999999999999999999999999\r\n", 413),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", 400),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400),
        ("Transfer-Encoding: gzip\r\n", 501),
        ("Transfer-Encoding: gzip, chunked\r\n", 501),
        ("Transfer-Encoding: chunked, identity\r\n", 501),
        ("Transfer-Encoding: xchunked\r\n", 501),
        ("Transfer-Encoding:\r\n", 501),
        ("Expect: 200-maybe\r\n", 417),
    ] {
        assert_eq!(status(lines), expected, "{lines:?}");
    }
}

#[test]
fn odd_header_lines_are_refused() {
    for lines in [
        "Host: y\r\n",
        "X : y\r\n",
        " X: y\r\n",
        "X: y\r\n folded\r\n",
        "X\r\n",
        ": y\r\n",
        "X(: y\r\n",
        "Content-Length : 5\r\n",
    ] {
        assert_eq!(status(lines), 400, "{lines:?}");
    }
    assert_eq!(status(&"X: y\r\n".repeat(63)), 200);
    assert_eq!(status(&"X: y\r\n".repeat(64)), 431);
}

#[test]
fn odd_first_lines_are_refused() {
    for (line, expected) in [
        ("GET / HTTP/1.1", 200),
        ("get / HTTP/1.1", 200),
        ("BREW /pot HTTP/1.1", 200),
        ("OPTIONS * HTTP/1.1", 200),
        ("GET http://y:80/z HTTP/1.1", 200),
        ("GET / HTTP/1.0", 200),
        ("GET / HTTP/2.0", 505),
        ("GET / HTTP/1.2", 505),
        ("GET / HTTP/0.9", 505),
        ("GET / HTTP/3", 505),
        ("GET / HTTP/", 400),
        ("GET / http/1.1", 400),
        ("GET /", 400),
        ("GET  / HTTP/1.1", 400),
        ("GET / HTTP/1.1 x", 400),
        (" GET / HTTP/1.1", 400),
        ("G@T / HTTP/1.1", 400),
        ("GET /\t HTTP/1.1", 400),
        ("GET x HTTP/1.1", 400),
        ("GET http:///z HTTP/1.1", 400),
        ("GET ftp://y/z HTTP/1.1", 400),
        ("CONNECT y:443 HTTP/1.1", 400),
    ] {
        let result = read(&format!("{line}\r\nHost: x\r\n\r\n"));
        assert_eq!(result.map_or_else(|refusal| refusal.status, |_| 200), expected, "{line:?}");
    }
}

#[test]
fn the_host_is_required_from_1_1_on_and_must_look_like_one() {
    for (raw, expected) in [
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.0\r\n\r\n", 200),
        ("GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n", 200),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400),
        ("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", 400),
    ] {
        let result = read(raw);
        assert_eq!(result.map_or_else(|refusal| refusal.status, |_| 200), expected, "{raw:?}");
    }
}

#[test]
fn version_1_0_keeps_only_when_asked_and_needs_a_length_for_a_body() {
    let keeping = |lines: &str| read(&format!("GET / HTTP/1.0\r\n{lines}\r\n")).unwrap().0.keeping;
    assert_eq!(keeping(""), Keeping::Close);
    assert_eq!(keeping("Connection: Keep-Alive\r\n"), Keeping::KeepAndSay);
    let typed = "POST / HTTP/1.0\r\nContent-Type: application/json\r\n\r\n";
    assert_eq!(read(typed).unwrap_err().status, 411);
    assert!(read("POST / HTTP/1.0\r\n\r\n").is_ok(), "a POST without any body is fine");
    let coded = "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(read(coded).unwrap_err().status, 400);
}

proptest! {
    #[test]
    fn what_is_written_is_itself_a_valid_head(lines in prop::collection::vec(
        ("[A-Za-z-]{1,20}", "[ -~]{0,30}"), 0..10,
    )) {
        let lines: Vec<String> =
            lines.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let lines = lines.concat();
        if let Ok((head, out)) = read(&format!("GET /x HTTP/1.1\r\nHost: x\r\n{lines}\r\n")) {
            let again = read(&out).expect("the backend's head is valid");
            prop_assert_eq!(again.0.verb, head.verb);
            prop_assert_eq!(again.0.keeping, Keeping::Keep);
        }
    }
}
