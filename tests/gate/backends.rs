//! Backends that die, hang or talk nonsense, made by the tests themselves.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use taskscheduler::api::gate::BackendSource;
use tempfile::TempDir;

use super::house::{Caller, House, limits};

/// What a backend does with its n-th request of all; false ends the connection.
type Script = Arc<dyn Fn(&mut UnixStream, usize) -> bool + Send + Sync>;
/// Whether, and how, the n-th backend answers probes.
type Probing = fn(backend: usize) -> &'static [u8];

/// A source of scripted backends.
struct Scripted {
    dir: TempDir,
    made: usize,
    script: Script,
    probing: Probing,
    seen: Arc<AtomicUsize>,
    unprobed: Arc<AtomicUsize>,
    /// The most connections that waited for an answer to their probe together.
    most_unprobed: Arc<AtomicUsize>,
}

const SERVED: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";
const FINE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine";

impl Scripted {
    fn new(script: impl Fn(&mut UnixStream, usize) -> bool + Send + Sync + 'static) -> Scripted {
        Scripted {
            dir: tempfile::tempdir().unwrap(),
            made: 0,
            script: Arc::new(script),
            probing: |_| SERVED,
            seen: Arc::default(),
            unprobed: Arc::default(),
            most_unprobed: Arc::default(),
        }
    }
}

impl BackendSource for Scripted {
    fn fresh(&mut self) -> io::Result<PathBuf> {
        let (number, path) = (self.made, self.dir.path().join(self.made.to_string()));
        self.made += 1;
        let listener = UnixListener::bind(&path)?;
        let answer_to_probe = (self.probing)(number);
        let (script, seen) = (Arc::clone(&self.script), Arc::clone(&self.seen));
        let unprobed = Arc::clone(&self.unprobed);
        let most_unprobed = Arc::clone(&self.most_unprobed);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let together = unprobed.fetch_add(1, Ordering::SeqCst) + 1;
                most_unprobed.fetch_max(together, Ordering::SeqCst);
                let (script, seen) = (Arc::clone(&script), Arc::clone(&seen));
                let unprobed = Arc::clone(&unprobed);
                std::thread::spawn(move || {
                    serve(stream, answer_to_probe, &script, &seen, &unprobed);
                });
            }
        });
        Ok(path)
    }
}

fn serve(
    mut stream: UnixStream,
    to_probe: &[u8],
    script: &Script,
    seen: &AtomicUsize,
    unprobed: &AtomicUsize,
) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    while let Some(is_probe) = read_request(&mut reader) {
        if is_probe {
            unprobed.fetch_sub(1, Ordering::SeqCst);
            stream.write_all(to_probe).unwrap();
        } else if !script(&mut stream, seen.fetch_add(1, Ordering::SeqCst)) {
            return;
        }
    }
}

/// Reads one request; whether it was a probe, or none if the gate has closed.
fn read_request(reader: &mut BufReader<UnixStream>) -> Option<bool> {
    let (mut length, mut is_probe) = (0, false);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line == "\r\n" {
            break;
        }
        is_probe |= line.starts_with("X-Gate-Probe: ");
        if let Some(digits) = line.strip_prefix("Content-Length: ") {
            length = digits.trim_end().parse().unwrap();
        }
    }
    io::copy(&mut reader.take(length), &mut io::sink()).ok()?;
    Some(is_probe)
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
const POST: &[u8] = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi";

#[test]
fn a_get_is_sent_again_when_its_backend_dies_before_answering() {
    let source = Scripted::new(|stream, n| n > 0 && stream.write_all(FINE).is_ok());
    let seen = Arc::clone(&source.seen);
    let house = House::before(limits(), Box::new(source));
    assert_eq!(house.ask(GET).text(), "fine");
    assert_eq!(seen.load(Ordering::SeqCst), 2);
}

#[test]
fn a_get_is_sent_again_only_once() {
    let source = Scripted::new(|_, _| false);
    let seen = Arc::clone(&source.seen);
    let house = House::before(limits(), Box::new(source));
    let answer = house.ask(GET);
    assert_eq!((answer.status, answer.code().as_str()), (502, "backend-lost"));
    assert_eq!(seen.load(Ordering::SeqCst), 2);
}

#[test]
fn a_post_is_not_sent_again_and_its_outcome_is_called_unknown() {
    let source = Scripted::new(|stream, n| n > 0 && stream.write_all(FINE).is_ok());
    let seen = Arc::clone(&source.seen);
    let house = House::before(limits(), Box::new(source));
    let mut caller = house.call();
    caller.send(POST);
    let answer = caller.answer();
    assert_eq!((answer.status, answer.code().as_str()), (502, "outcome-unknown"));
    assert_eq!(seen.load(Ordering::SeqCst), 1);
    caller.send(POST);
    assert_eq!(caller.answer().text(), "fine", "the connection goes on");
}

#[test]
fn a_client_is_reset_when_its_backend_dies_in_the_middle_of_the_answer() {
    for head in ["Content-Length: 1000000", "Content-Length: 100", "Transfer-Encoding: chunked"] {
        let part = format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n32\r\nhalf");
        let source = Scripted::new(move |stream, _| {
            stream.write_all(part.as_bytes()).unwrap();
            false
        });
        let house = House::before(limits(), Box::new(source));
        let mut caller = house.call();
        caller.send(GET);
        caller.assert_reset();
        house.wait_until("it is counted", |house| house.handle.counters().resets() == 1);
    }
}

#[test]
fn nonsense_from_the_backend_is_not_passed_on() {
    for nonsense in ["HTTP/1.1 100 Continue\r\n\r\n", "hello\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n"] {
        let source = Scripted::new(move |stream, _| stream.write_all(nonsense.as_bytes()).is_ok());
        let house = House::before(limits(), Box::new(source));
        assert_eq!(house.ask(POST).code(), "outcome-unknown", "{nonsense:?}");
    }
}

#[test]
fn a_backend_that_does_not_answer_its_probe_well_is_rebuilt() {
    let probings: [Probing; 2] = [
        |backend| if backend == 0 { b"hello\r\n\r\n" } else { SERVED },
        |backend| if backend == 0 { FINE } else { SERVED },
    ];
    for probing in probings {
        let mut source = Scripted::new(|stream, _| stream.write_all(FINE).is_ok());
        source.probing = probing;
        let mut patient = limits();
        patient.probe_deadline = super::house::PATIENCE;
        patient.backend_wait = super::house::PATIENCE;
        let house = House::before(patient, Box::new(source));
        assert_eq!(house.ask(POST).text(), "fine");
        assert_eq!(house.handle.counters().rebuilds(), 1);
    }
}

/// How often it is rebuilt is left open: on a busy machine a good backend may be late as well.
#[test]
fn a_backend_that_does_not_answer_its_probe_at_all_is_rebuilt() {
    let mut source = Scripted::new(|stream, _| stream.write_all(FINE).is_ok());
    source.probing = |backend| if backend == 0 { b"" } else { SERVED };
    let mut patient = limits();
    patient.probe_deadline = Duration::from_millis(50);
    patient.backend_wait = super::house::PATIENCE;
    let house = House::before(patient, Box::new(source));
    assert_eq!(house.ask(POST).text(), "fine");
    assert!(house.handle.counters().rebuilds() >= 1);
}

/// A source whose first backend is gone before the gate has used it.
struct FirstGone(Scripted, bool);

impl BackendSource for FirstGone {
    fn fresh(&mut self) -> io::Result<PathBuf> {
        if std::mem::replace(&mut self.1, false) {
            let path = self.0.dir.path().join("gone");
            drop(UnixListener::bind(&path)?);
            return Ok(path);
        }
        self.0.fresh()
    }
}

#[test]
fn a_backend_that_is_gone_is_rebuilt() {
    let source = Scripted::new(|stream, _| stream.write_all(FINE).is_ok());
    let mut patient = limits();
    patient.backend_wait = super::house::PATIENCE;
    let house = House::before(patient, Box::new(FirstGone(source, true)));
    assert_eq!(house.ask(POST).text(), "fine");
}

#[test]
fn a_backend_connection_that_died_while_idle_costs_no_request() {
    // Each connection ends after its first answer, once the client has that answer.
    let (tell, may_end) = crossbeam_channel::bounded::<()>(0);
    let (has_ended, ended) = crossbeam_channel::bounded::<()>(0);
    let source = Scripted::new(move |stream, _| {
        stream.write_all(FINE).unwrap();
        may_end.recv().unwrap();
        stream.shutdown(std::net::Shutdown::Both).unwrap();
        has_ended.send(()).unwrap();
        false
    });
    let house = House::before(limits(), Box::new(source));
    let mut caller = house.call();
    for _ in 0..20 {
        caller.send(POST);
        assert_eq!(caller.answer().text(), "fine");
        tell.send(()).unwrap();
        ended.recv().unwrap();
    }
    assert_eq!(house.handle.counters().refused(502), 0);
}

#[test]
fn connections_are_opened_one_at_a_time_however_many_are_needed() {
    let source = Scripted::new(|stream, _| stream.write_all(FINE).is_ok());
    let most_unprobed = Arc::clone(&source.most_unprobed);
    let house = House::before(limits(), Box::new(source));
    let mut callers: Vec<Caller> = (0..100).map(|_| house.call()).collect();
    for _ in 0..5 {
        for caller in &mut callers {
            caller.send(POST);
        }
        for caller in &mut callers {
            assert_eq!(caller.answer().text(), "fine");
        }
    }
    assert_eq!(house.handle.counters().rebuilds(), 0);
    assert!(house.handle.counters().backends() >= 16);
    assert_eq!(most_unprobed.load(Ordering::SeqCst), 1);
}
