//! What a failing disk does to a store: never a false success.
//!
//! A fault of the whole process (a limit on file sizes, an injected error, a full file system) is
//! met by a copy of this test program, started under that fault: the ignored test at the end. It
//! writes down every commit that said it was stored; the parent then looks for each of them.

use std::path::Path;
use std::process::{Command, Output};

use super::{Disk, SqliteStore, options};
use crate::domain::{Payload, StatusKind};
use crate::store::conformance::NOW;
use crate::store::conformance::sample::{Sample, batch, finish, id, insert};
use crate::store::{Cure, Fate, Store, StoreError, Unit};

/// A task with a payload, so that a few of them fill something.
fn bulky(number: u64) -> Unit {
    insert(&Sample::new(number).spec(|spec| spec.payload = Some(Payload::text(&"x".repeat(9000)))))
}

#[test]
fn a_full_database_refuses_and_takes_outcomes_again() {
    let disk = Disk::new();
    let mut store = disk.store();
    store.conn.pragma_update(None, "max_page_count", 200).unwrap();
    let mut stored = 0;
    let error = loop {
        match store.commit(&batch(vec![bulky(stored + 1), bulky(1000 + stored)])) {
            Ok(committed) => assert_eq!(committed.fates, [Fate::Applied, Fate::Applied]),
            Err(error) => break error,
        }
        stored += 1;
    };
    assert_eq!(error.cure(), Cure::RefuseInserts, "{error}");
    assert!(stored > 10);
    let counted: u64 = store.reader().unwrap().counts().unwrap().iter().map(|c| c.tasks).sum();
    assert_eq!(counted, 2 * stored, "a refused batch was counted");
    // Outcomes free as much as they take.
    for number in 1..=stored {
        let mut task = Sample::new(number).task();
        let end = finish(&mut task, StatusKind::Completed, NOW);
        assert_eq!(store.commit(&batch(vec![end])).unwrap().fates, [Fate::Applied]);
    }
    assert_eq!(store.commit(&batch(vec![bulky(5000)])).unwrap().fates, [Fate::Applied]);
}

/// Runs the child under `fault`, and checks its ledger. `None`: this machine cannot do that.
fn meet(program: &str, fault: &[&str], disk: &Disk) -> Option<String> {
    let myself = std::env::current_exe().unwrap();
    let output = Command::new(program)
        .args(fault)
        .arg(&myself)
        .args(["--exact", "store::sqlite::tests::faults::child_that_meets_a_fault"])
        .args(["--ignored", "--nocapture", "--test-threads", "1"])
        .env("STORE_FAULT_DIR", disk.path().join("data"))
        .env("STORE_FAULT_LEDGER", disk.path().join("ledger"))
        .output();
    let Ok(Output { stdout, stderr, .. }) = output else {
        println!("skipped: {program} cannot be started here");
        return None;
    };
    let said = String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr);
    let ended = said.lines().find_map(|line| line.split_once("the fault: ")).map(|(_, e)| e);
    let Some(ended) = ended.map(str::to_owned) else {
        assert!(!said.contains("panicked"), "{said}");
        println!("skipped: {program} does not work here: {said}");
        return None;
    };
    Some(ended)
}

/// Looks for every acknowledged task, on a disk that works again, and says how many there are.
fn acknowledged(disk: &Disk) -> usize {
    let ledger = std::fs::read_to_string(disk.path().join("ledger")).unwrap();
    let acknowledged: Vec<u64> = ledger.lines().map(|line| line.parse().unwrap()).collect();
    let store = SqliteStore::open(&disk.path().join("data"), options()).unwrap();
    let mut reader = store.reader().unwrap();
    for number in &acknowledged {
        assert!(reader.find(id(*number)).unwrap().is_some(), "task {number} was lost");
    }
    acknowledged.len()
}

#[test]
fn a_failed_write_stops_the_store_and_loses_nothing() {
    let disk = Disk::new();
    // No file may grow beyond 600 KiB; the write that would fails instead of killing.
    let limit = "trap '' XFSZ; ulimit -f 600; exec \"$0\" \"$@\"";
    let Some(error) = meet("bash", &["-c", limit], &disk) else { return };
    assert!(error.starts_with("Broken"), "{error}");
    assert!(acknowledged(&disk) > 5);
}

#[test]
fn a_failed_sync_stops_the_store_and_loses_nothing() {
    let disk = Disk::new();
    let trace = disk.path().join("trace");
    let inject = "--inject=fsync,fdatasync:error=EIO:when=40+";
    let strace = ["-f", "-e", "trace=fsync,fdatasync", inject, "-o", trace.to_str().unwrap()];
    let Some(error) = meet("strace", &strace, &disk) else { return };
    assert!(error.starts_with("Broken"), "{error}");
    assert!(acknowledged(&disk) > 5);
    // The sync that failed was the last: it is never tried again on the same data.
    let trace = std::fs::read_to_string(trace).unwrap();
    assert_eq!(trace.lines().filter(|line| line.contains("INJECTED")).count(), 1, "{trace}");
}

#[test]
fn a_full_file_system_refuses_and_takes_more_once_there_is_room() {
    let disk = Disk::new();
    std::fs::create_dir(disk.path().join("data")).unwrap();
    // A file system of its own, seen by the child alone; its ledger lies outside.
    let mount =
        "mount -t tmpfs -o size=3m,mode=700 tmpfs \"$STORE_FAULT_DIR\" && exec \"$0\" \"$@\"";
    let Some(error) = meet("unshare", &["-rm", "sh", "-c", mount], &disk) else { return };
    assert!(error.starts_with("Full"), "{error}");
}

#[test]
#[ignore = "started by the tests above, under a fault"]
fn child_that_meets_a_fault() {
    use std::io::Write;
    let Ok(dir) = std::env::var("STORE_FAULT_DIR") else { return };
    let dir = Path::new(&dir);
    let mut ledger = std::fs::File::options()
        .create(true)
        .append(true)
        .open(std::env::var("STORE_FAULT_LEDGER").unwrap())
        .unwrap();
    let filler = dir.join("filler");
    let mut store = SqliteStore::open(dir, options()).unwrap();
    std::fs::write(&filler, vec![7; 300 * 1024]).unwrap();
    let mut next = 1;
    let error = loop {
        match store.commit(&batch(vec![bulky(next)])) {
            Ok(committed) => {
                assert_eq!(committed.fates, [Fate::Applied]);
                writeln!(ledger, "{next}").unwrap();
            }
            Err(error) => break error,
        }
        next += 1;
        assert!(next < 5000, "no fault came");
    };
    println!("the fault: {error:?}");
    match error.cure() {
        Cure::StopServer => {
            // However often it is asked, it never says yes again.
            for _ in 0..3 {
                let again = store.commit(&batch(vec![bulky(next)]));
                assert!(matches!(again, Err(StoreError::Broken(_))), "{again:?}");
                assert!(store.take_ids(1).is_err());
            }
        }
        Cure::RefuseInserts => {
            assert!(store.commit(&batch(vec![bulky(next)])).is_err(), "it is still full");
            std::fs::remove_file(&filler).unwrap();
            assert!(store.commit(&batch(vec![bulky(next)])).is_ok(), "there is room again");
            drop(store);
            let store = SqliteStore::open(dir, options()).unwrap();
            let mut reader = store.reader().unwrap();
            for number in 1..=next {
                assert!(reader.find(id(number)).unwrap().is_some(), "task {number} was lost");
            }
        }
        other => panic!("{other:?} after {error}"),
    }
}
