//! A server that is slow, frozen, full, killed, demoted, flushed or lying costs speed and nothing
//! else, and each call ends in time.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use super::server::Server;
use super::{PATIENCE, clock, level2, of, settings, timed, until};
use crate::domain::{Band, TimeMs};
use crate::store::Incarnation;
use crate::store::redis::hints::{HINTS_MAX, Hint};
use crate::store::redis::tests::sample::{ended, id};
use crate::store::redis::{Level2, Level2Error, Listener, Notice};

const TTL: Duration = Duration::from_secs(30);

/// What a call may take at most, on a machine where others work as well.
const BOUND: Duration = Duration::from_secs(2);

fn ping(level2: &Level2) -> Result<String, Level2Error> {
    level2.call(|line| redis::cmd("PING").query(line))
}

fn hint(number: u64) -> Hint {
    Hint { id: id(number), band: Band::Low, due: clock().now() }
}

#[test]
fn a_frozen_server_is_noticed_in_time_left_alone_and_taken_up_again() {
    let server = Server::start(&[]);
    let level2 = level2(&server, TTL);
    server.freeze();
    let (took, answer) = timed(|| ping(&level2));
    assert!(matches!(answer, Err(Level2Error::Unreachable(_))), "{answer:?}");
    assert!(took < BOUND, "{took:?}");
    let (took, answers) = timed(|| (0..1000).map(|_| ping(&level2)).collect::<Vec<_>>());
    assert!(answers.iter().all(|answer| *answer == Err(Level2Error::Resting)));
    assert!(took < PATIENCE, "a thousand calls of a dead server took {took:?}");
    let (took, ()) = timed(|| {
        until("a trial is made", || {
            level2.tend();
            level2.vitals().counted.failures >= 2
        });
    });
    assert!(took < BOUND && !level2.is_up(), "{took:?}");
    server.thaw();
    until("it is up again", || {
        level2.tend();
        level2.is_up()
    });
    assert_eq!(ping(&level2).as_deref(), Ok("PONG"));
}

#[test]
fn an_answer_that_comes_after_the_deadline_is_never_taken_for_another() {
    let server = Server::start(&[]);
    let level2 = level2(&server, TTL);
    server.freeze();
    let late = level2.call(|line| redis::cmd("PING").arg("late").query::<String>(line));
    assert!(late.is_err());
    server.thaw();
    until("it is up again", || {
        level2.tend();
        level2.is_up()
    });
    for n in 0..20 {
        let said = level2.call(|line| redis::cmd("PING").arg(n).query::<String>(line));
        assert_eq!(said, Ok(n.to_string()));
    }
}

#[test]
fn a_killed_server_is_taken_up_again_after_its_restart() {
    let mut server = Server::start(&[]);
    let level2 = level2(&server, TTL);
    server.kill();
    assert!(ping(&level2).is_err() && !level2.is_up());
    assert!(level2.vitals().why.is_some());
    server.restart();
    until("it is up again", || {
        level2.tend();
        level2.is_up()
    });
    let life = level2.life().unwrap();
    level2.put_documents(&life, &[ended(1)], clock().now());
    assert_eq!(level2.vitals().counted.documents_put, 1);
}

#[test]
fn a_full_server_refuses_writes_and_stays_in_use() {
    let server = Server::start(&["--maxmemory-policy", "noeviction"]);
    let level2 = level2(&server, TTL);
    let life = level2.life().unwrap();
    server.tell(&["CONFIG", "SET", "maxmemory", "1"]);
    level2.put_documents(&life, &[ended(1)], clock().now());
    level2.put_hints(&[hint(1)], clock().now());
    let counted = level2.vitals().counted;
    assert_eq!((counted.documents_put, counted.hints_put), (0, 0));
    assert!(counted.odd_answers >= 2 && level2.is_up());
    server.tell(&["CONFIG", "SET", "maxmemory", "0"]);
    level2.put_hints(&[hint(1)], clock().now());
    assert_eq!(level2.take_hints(&[(Band::Low, 9)]).0.concat(), [id(1)]);
}

#[test]
fn a_server_that_becomes_a_replica_is_left_until_it_leads_again() {
    let server = Server::start(&[]);
    let primary = Server::start(&[]);
    let level2 = level2(&server, TTL);
    server.tell(&["REPLICAOF", "127.0.0.1", &primary.port.to_string()]);
    level2.put_hints(&[hint(1)], clock().now());
    assert!(!level2.is_up());
    level2.tend();
    until("it is a trial later", || {
        level2.tend();
        level2.vitals().counted.failures >= 2
    });
    assert!(!level2.is_up() && level2.vitals().why.unwrap().contains("replica"));
    server.tell(&["REPLICAOF", "NO", "ONE"]);
    until("it is up again", || {
        level2.tend();
        level2.is_up()
    });
}

#[test]
fn forgotten_scripts_are_brought_again() {
    let server = Server::start(&[]);
    let level2 = level2(&server, TTL);
    let life = level2.life().unwrap();
    for n in 1..=3 {
        level2.put_documents(&life, &[ended(n)], clock().now());
        level2.hide_before(TimeMs(clock().now().0 - 1), clock().now());
        server.tell(&["SCRIPT", "FLUSH"]);
    }
    let counted = level2.vitals().counted;
    assert_eq!((counted.documents_put, counted.failures), (3, 0));
}

#[test]
fn hints_come_earliest_first_once_and_never_more_than_there_may_be() {
    let server = Server::start(&[]);
    let level2 = level2(&server, TTL);
    let now = clock().now();
    let at = |number: u64| Hint { due: TimeMs(now.0 + 20_000 - number as i64), ..hint(number) };
    let all: Vec<Hint> = (1..=12_000).map(at).collect();
    for some in all.chunks(3000) {
        level2.put_hints(some, now);
    }
    let kept: i64 = server.ask(redis::cmd("ZCARD").arg(level2.hints_key(Band::Low)));
    assert_eq!(kept, HINTS_MAX);
    let first = level2.take_hints(&[(Band::High, 5), (Band::Low, 3)]).0.concat();
    assert_eq!(first, [12_000, 11_999, 11_998].map(id));
    assert_eq!(level2.take_hints(&[(Band::Low, 1)]).0.concat(), [id(11_997)]);
    // What nobody took for longer than anything may stay goes with the next.
    level2.put_hints(&[hint(1)], TimeMs(now.0 + 60_000));
    let kept: i64 = server.ask(redis::cmd("ZCARD").arg(level2.hints_key(Band::Low)));
    assert_eq!(kept, 0);
    server.tell(&["SET", &level2.hints_key(Band::Low), "a text"]);
    level2.put_hints(&[hint(1)], now);
    assert_eq!(level2.take_hints(&[(Band::Low, 1)]).0.concat(), []);
    assert!(level2.is_up());
}

#[test]
fn a_listener_outlives_a_freeze_and_a_restart_and_says_when_it_may_have_missed_something() {
    let mut server = Server::start(&[]);
    let level2 = Arc::new(level2(&server, TTL));
    let teller = of(settings(server.port, TTL, 77));
    let mut listener = Listener::new(Arc::clone(&level2));
    let short = Duration::from_millis(20);
    let connect = |listener: &mut Listener| {
        until("it listens", || {
            level2.tend();
            listener.step(short).is_ok_and(|heard| heard == Some(Notice::Free))
        });
    };
    connect(&mut listener);
    teller.tell(&[Notice::Wish(Incarnation(7))]);
    level2.tell(&[Notice::Wish(Incarnation(8))]);
    let mut heard = Vec::new();
    until("a notice arrives", || {
        heard.extend(listener.step(short).unwrap());
        !heard.is_empty()
    });
    until("nothing else arrives", || listener.step(PATIENCE).unwrap().is_none());
    assert_eq!(heard, [Notice::Wish(Incarnation(7))], "its own are not for itself");
    server.freeze();
    until("the silence is noticed", || listener.step(short).is_err());
    assert!(!listener.is_listening());
    server.thaw();
    connect(&mut listener);
    server.kill();
    until("the end is noticed", || listener.step(short).is_err());
    server.restart();
    assert!(ping(&level2).is_err() || level2.is_up());
    connect(&mut listener);
}

/// Something on a port that does with each connection what `serve` does.
fn liar(serve: impl Fn(std::net::TcpStream) + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let serve = Arc::new(serve);
    std::thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let serve = Arc::clone(&serve);
            std::thread::spawn(move || serve(socket));
        }
    });
    port
}

#[test]
fn a_server_that_speaks_nonsense_trickles_or_never_ends_is_left_in_time() {
    let lies: [&'static [u8]; 9] = [
        b"",
        b"\0\0\0\0",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"$99999999999\r\n",
        b"*1000000000\r\n",
        b"$-5\r\n:x\r\n",
        b"+OK\r\n+OK\r\n+OK\r\n+OK\r\n",
        b"*2\r\n$3\r\nabc\r\n$-1\r\n",
        b"-WRONGPASS no\r\n-ERR no\r\n",
    ];
    for lie in lies {
        let port = liar(move |mut socket| {
            let _ = socket.write_all(lie);
            let _ = socket.read_to_end(&mut Vec::new());
        });
        let level2 = Level2::new(settings(port, TTL, 1), clock());
        let (took, ()) = timed(|| level2.tend());
        assert!(took < BOUND && !level2.is_up(), "{lie:?}: {took:?}");
    }
    let endless: [&'static [u8]; 2] = [b"*1\r\n", b"$1000000000\r\n"];
    for start in endless {
        let port = liar(move |mut socket| {
            let _ = socket.write_all(start);
            while socket.write_all(&start.repeat(20_000)).is_ok() {}
        });
        let level2 = Level2::new(settings(port, TTL, 1), clock());
        let (took, ()) = timed(|| level2.tend());
        assert!(took < BOUND && !level2.is_up(), "{start:?}: {took:?}");
    }
    let port = liar(|mut socket| {
        let (_keep, never) = crossbeam_channel::bounded::<()>(0);
        while socket.write_all(b"+").is_ok() {
            let _ = never.recv_timeout(Duration::from_millis(20));
        }
    });
    let level2 = Level2::new(settings(port, TTL, 1), clock());
    let (took, ()) = timed(|| level2.tend());
    assert!(took < BOUND && !level2.is_up(), "one byte at a time: {took:?}");
}
