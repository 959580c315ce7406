//! Few descriptors, and none at all. Limits are of the whole process, so these tests run again
//! alone in a child.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use rustix::process::{Resource, Rlimit, setrlimit};
use socket2::{Domain, Socket, Type};

use super::house::{Caller, House, limits};

const CHILD: &str = "GATE_TEST_CHILD";

/// True in a child process that runs only the test `name`. Otherwise runs that child, asserts that
/// it passes, and is false.
pub fn alone(name: &str) -> bool {
    if std::env::var_os(CHILD).is_some() {
        return true;
    }
    let output = child(name).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}{errors}");
    assert!(text.contains("1 passed"), "no test of that name: {text}");
    false
}

fn child(name: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture", "--test-threads", "1"]).env(CHILD, "1");
    command
}

fn limit_descriptors(count: u64) {
    let limit = Rlimit { current: Some(count), maximum: Some(count) };
    setrlimit(Resource::Nofile, limit).unwrap();
}

/// In a child: a server with 128 descriptors that says its port and lives until its input ends.
#[test]
fn serving_with_128_descriptors() {
    if std::env::var_os(CHILD).is_some() {
        limit_descriptors(128);
        let house = House::open(limits());
        println!("PORT {}", house.addr.port());
        std::io::stdout().flush().unwrap();
        std::io::stdin().read_line(&mut String::new()).unwrap();
        assert_eq!(house.handle.counters().rebuilds(), 0, "the backend ran out of descriptors");
        house.assert_serves();
        return;
    }
    let mut server = child("gate::descriptors::serving_with_128_descriptors")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(server.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut lines = lines.inspect(|line| eprintln!("{line}"));
    // The harness prints the test's name on the same line first.
    let port = lines.find_map(|line| Some(line.split_once("PORT ")?.1.parse().unwrap())).unwrap();
    drive(SocketAddr::from(([127, 0, 0, 1], port)));
    server.stdin.take().unwrap().write_all(b"\n").unwrap();
    assert!(lines.any(|line| line.contains("1 passed")));
    assert!(server.wait().unwrap().success());
}

/// Three hundred idle connections come and are closed for others; good clients are served.
fn drive(addr: SocketAddr) {
    let idle: Vec<Caller> = (0..300).map(|_| Caller::to(addr)).collect();
    let mut callers: Vec<Caller> = (0..30).map(|_| Caller::to(addr)).collect();
    for caller in &mut callers {
        caller.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(caller.answer().status, 200);
    }
    for _ in 0..20 {
        for caller in &mut callers {
            caller.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\na");
        }
        for caller in &mut callers {
            assert_eq!(caller.answer().status, 200);
        }
    }
    drop(idle);
}

#[test]
fn a_moment_without_descriptors_is_survived() {
    if !alone("gate::descriptors::a_moment_without_descriptors_is_survived") {
        return;
    }
    limit_descriptors(256);
    let house = House::open(limits());
    house.assert_serves();
    house.wait_until("the first backend connections", |house| {
        house.handle.counters().backends() >= 16
    });
    // Made now, connected later: then there are no descriptors for sockets either.
    let made: Vec<Socket> =
        (0..20).map(|_| Socket::new(Domain::IPV4, Type::STREAM, None).unwrap()).collect();
    let mut hoard = Vec::new();
    let mut refused = 0;
    for socket in made {
        // Each time anew: what the server closes meanwhile comes free.
        while let Ok(file) = File::open("/dev/null") {
            hoard.push(file);
        }
        socket.connect(&house.addr.into()).unwrap();
        let mut caller = Caller::over(socket.into());
        // Refused, served, or closed to make room for the next; never left hanging.
        let _ = caller.stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        match caller.try_answer(false) {
            Ok(answer) => refused += usize::from(answer.status == 503),
            Err(error) => assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock),
        }
    }
    assert!(refused > 0, "nobody was told");
    drop(hoard);
    for _ in 0..5 {
        house.assert_serves();
    }
}
