//! The fault proxy itself: what it is asked to do to a connection, it does, and no more.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use test_servers::{Fault, Plan, Proxy, Way};

/// A server that gives every byte back, and tells what it was sent.
fn echo() -> (Proxy, Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = Proxy::to(listener.local_addr().unwrap()).unwrap();
    let (tell, told) = channel();
    thread::spawn(move || {
        for client in listener.incoming() {
            let (mut client, tell) = (client.unwrap(), tell.clone());
            thread::spawn(move || {
                let mut piece = [0; 4096];
                while let Ok(read @ 1..) = client.read(&mut piece) {
                    let _ = tell.send(piece[..read].to_vec());
                    let _ = client.write_all(&piece[..read]);
                }
            });
        }
    });
    (proxy, told)
}

fn connect(proxy: &Proxy) -> TcpStream {
    let client = TcpStream::connect(proxy.address()).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    client
}

/// Asks and reads as much as was asked; what came, and whether the connection lives.
fn ask(client: &mut TcpStream, question: &[u8]) -> (Vec<u8>, bool) {
    let sent = client.write_all(question);
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    while answer.len() < question.len() {
        match client.read(&mut piece) {
            Ok(read @ 1..) => answer.extend_from_slice(&piece[..read]),
            Ok(_) | Err(_) => return (answer, false),
        }
    }
    (answer, sent.is_ok())
}

#[test]
fn without_a_plan_everything_passes_and_nothing_is_counted() {
    let (proxy, _told) = echo();
    let mut client = connect(&proxy);
    let long: Vec<u8> = (0..100_000u32).map(|n| n as u8).collect();
    let asking = thread::spawn({
        let (mut client, long) = (client.try_clone().unwrap(), long.clone());
        move || client.write_all(&long)
    });
    let mut back = vec![0; long.len()];
    client.read_exact(&mut back).unwrap();
    asking.join().unwrap().unwrap();
    assert!(back == long);
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.read(&mut back).unwrap(), 0);
    assert_eq!(proxy.injected(), 0);
}

#[test]
fn an_answer_is_cut_after_so_many_bytes_and_the_next_connection_is_whole() {
    let (proxy, _told) = echo();
    proxy.plan(Plan::Next(1, Fault::CutAfter(Way::Answering, 10)));
    let mut client = connect(&proxy);
    assert_eq!(ask(&mut client, b"0123456"), (b"0123456".to_vec(), true));
    assert_eq!(ask(&mut client, b"789abc"), (b"789".to_vec(), false));
    assert_eq!(ask(&mut connect(&proxy), b"0123456789abc"), (b"0123456789abc".to_vec(), true));
    assert_eq!(proxy.injected(), 1);
}

#[test]
fn a_question_arrives_and_its_answer_is_lost() {
    let (proxy, told) = echo();
    proxy.plan(Plan::Next(1, Fault::LoseAnswerTo(b"COMMIT".to_vec())));
    let mut client = connect(&proxy);
    assert!(ask(&mut client, b"BEGIN").1);
    assert_eq!(ask(&mut client, b"xCOMMITx"), (Vec::new(), false));
    let seen: Vec<u8> = told.iter().take(2).flatten().collect();
    assert_eq!(seen, b"BEGINxCOMMITx");
    assert!(ask(&mut connect(&proxy), b"COMMIT").1);
    assert_eq!(proxy.injected(), 1);
}

#[test]
fn a_black_hole_tells_nobody_until_it_is_over() {
    let (proxy, _told) = echo();
    let mut client = connect(&proxy);
    assert!(ask(&mut client, b"a").1);
    proxy.plan(Plan::All(Fault::BlackHole));
    client.write_all(b"b").unwrap();
    client.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let silent = client.read(&mut [0; 1]).unwrap_err().kind();
    assert!(matches!(silent, ErrorKind::WouldBlock | ErrorKind::TimedOut), "{silent}");
    proxy.plan(Plan::Through);
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    assert!(matches!(client.read(&mut [0; 1]), Ok(0) | Err(_)));
    assert!(ask(&mut connect(&proxy), b"c").1);
}

#[test]
fn a_reset_a_half_close_and_a_closed_server_end_connections() {
    let (proxy, _told) = echo();
    let mut client = connect(&proxy);
    assert!(ask(&mut client, b"a").1);
    proxy.plan(Plan::All(Fault::Reset));
    assert_eq!(ask(&mut client, b"b"), (Vec::new(), false));
    proxy.plan(Plan::All(Fault::HalfClose(Way::Answering, 2)));
    assert_eq!(ask(&mut connect(&proxy), b"abc"), (b"ab".to_vec(), false));
    proxy.plan(Plan::Through);
    let mut client = connect(&proxy);
    assert!(ask(&mut client, b"d").1);
    proxy.close_all();
    assert!(!ask(&mut client, b"e").1);
}

#[test]
fn the_same_seed_brings_the_same_faults() {
    let lives = |seed| {
        let (proxy, _told) = echo();
        proxy.plan(Plan::Random { seed, one_in: 6, faults: vec![Fault::Reset] });
        let asked: Vec<bool> = (0..40).map(|_| ask(&mut connect(&proxy), b"q").1).collect();
        assert!(proxy.injected() > 0);
        asked
    };
    assert_eq!(lives(7), lives(7));
    assert_ne!(lives(7), lives(8));
}
