//! The least that a durable start can take here: the commit of one small row by one thread, at
//! 100 a second, on the same file system, with a log that does not grow.

use std::path::Path;
use std::time::Duration;

use crossbeam_channel::bounded;
use rusqlite::Connection;
use taskscheduler::clock::{Clock, SystemClock};

/// How long each of `count` commits took, in microseconds, sorted.
pub fn times_us(folder: &Path, count: usize) -> Vec<u64> {
    let path = folder.join("bare.db");
    let conn = Connection::open(&path).expect("a database");
    conn.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0;
         CREATE TABLE rows (id INTEGER PRIMARY KEY, body TEXT)",
    )
    .expect("settings");
    let log = std::fs::OpenOptions::new().append(true).open(folder.join("bare.db-wal"));
    std::io::Write::write_all(&mut log.expect("a log"), &vec![0; 44 << 20]).expect("room");
    let mut insert = conn.prepare("INSERT INTO rows (body) VALUES (?)").expect("an insert");
    let body = "x".repeat(400);
    let clock = SystemClock::new();
    // Nothing is ever sent here: a wait, to keep the pace.
    let (_keep, pause) = bounded::<()>(0);
    let commit = |_| {
        let _ = pause.recv_timeout(Duration::from_millis(10));
        let from = clock.mono();
        insert.execute([&body]).expect("committed");
        clock.mono().since(from).as_micros() as u64
    };
    let mut times: Vec<u64> = (0..count).map(commit).collect();
    times.sort_unstable();
    times
}
