//! What a failing disk does to the embedded store: never a false success, and nothing is lost.
//!
//! A fault of the whole process (a limit on file sizes, an injected error, a full file system) is
//! met by a second copy of this program, started under that fault: each test is both the copy and
//! the one that starts it. The copy writes down every commit that said it was stored; the other
//! then looks for each of them.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use taskscheduler::clock::SystemClock;
use taskscheduler::domain::{
    Change, ChangeKind, Draft, Epoch, Holding, Limits, Payload, State, Status, Suspicion, Task,
    TaskId, TimeMs,
};
use taskscheduler::store::sqlite::{Migrate, Options, SqliteStore};
use taskscheduler::store::{Batch, Cure, Fate, Store, StoreError, Unit};

const NOW: TimeMs = TimeMs(1_764_000_000_000);

#[test]
fn a_failed_write_stops_the_store_and_loses_nothing() {
    if is_the_copy() {
        return;
    }
    let ground = tempfile::tempdir().unwrap();
    // No file may grow beyond 600 KiB; the write that would fails instead of killing.
    let limit = "trap '' XFSZ; ulimit -f 600; exec \"$0\" \"$@\"";
    let myself = "a_failed_write_stops_the_store_and_loses_nothing";
    let Some(error) = meet("bash", &["-c", limit], ground.path(), myself) else { return };
    assert!(error.starts_with("Broken"), "{error}");
    assert!(acknowledged(ground.path()) > 5);
}

#[test]
fn a_failed_sync_stops_the_store_and_is_never_tried_again() {
    if is_the_copy() {
        return;
    }
    let ground = tempfile::tempdir().unwrap();
    let trace = ground.path().join("trace");
    let inject = "--inject=fsync,fdatasync:error=EIO:when=40+";
    let strace = ["-f", "-e", "trace=fsync,fdatasync", inject, "-o", trace.to_str().unwrap()];
    let myself = "a_failed_sync_stops_the_store_and_is_never_tried_again";
    let Some(error) = meet("strace", &strace, ground.path(), myself) else { return };
    assert!(error.starts_with("Broken"), "{error}");
    assert!(acknowledged(ground.path()) > 5);
    let trace = std::fs::read_to_string(trace).unwrap();
    assert_eq!(trace.lines().filter(|line| line.contains("INJECTED")).count(), 1, "{trace}");
}

#[test]
fn a_full_file_system_refuses_and_takes_more_once_there_is_room() {
    if is_the_copy() {
        return;
    }
    let ground = tempfile::tempdir().unwrap();
    std::fs::create_dir(ground.path().join("data")).unwrap();
    // A file system of its own, seen by the copy alone.
    let mount =
        "mount -t tmpfs -o size=6m,mode=700 tmpfs \"$STORE_FAULT/data\" && exec \"$0\" \"$@\"";
    let myself = "a_full_file_system_refuses_and_takes_more_once_there_is_room";
    let unshare = ["-rm", "sh", "-c", mount];
    let Some(error) = meet("unshare", &unshare, ground.path(), myself) else { return };
    assert!(error.starts_with("Full"), "{error}");
}

/// Runs this test again under a fault and tells the error that ended it. `None`: this machine
/// cannot do that.
fn meet(program: &str, fault: &[&str], ground: &Path, test: &str) -> Option<String> {
    let output = Command::new(program)
        .args(fault)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads", "1"])
        .env("STORE_FAULT", ground)
        .output();
    let Ok(Output { stdout, stderr, .. }) = output else {
        println!("skipped: {program} cannot be started here");
        return None;
    };
    let said = String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr);
    assert!(!said.contains("panicked"), "{said}");
    let error = said.lines().find_map(|line| line.split_once("the fault: "));
    if error.is_none() {
        println!("skipped: {program} does not work here: {said}");
    }
    error.map(|(_, error)| error.to_owned())
}

/// Looks for every acknowledged task, on a disk that works again, and says how many there are.
fn acknowledged(ground: &Path) -> usize {
    let ledger = std::fs::read_to_string(ground.join("ledger")).unwrap();
    let acknowledged: Vec<u64> = ledger.lines().map(|line| line.parse().unwrap()).collect();
    assert_stored(&ground.join("data"), &acknowledged);
    acknowledged.len()
}

fn assert_stored(dir: &Path, numbers: &[u64]) {
    let store = open(dir);
    let mut reader = store.reader().unwrap();
    for number in numbers {
        let found = reader.find(TaskId::new(*number).unwrap()).unwrap();
        assert!(found.is_some(), "task {number} was lost");
    }
}

fn open(dir: &Path) -> SqliteStore {
    let options = Options { migrate: Migrate::Apply, clock: Arc::new(SystemClock::new()) };
    SqliteStore::open(dir, options).unwrap()
}

/// Under a fault: commits until it strikes, and sees that no later commit lies. `false`: there is
/// no fault, this is the process that starts one.
fn is_the_copy() -> bool {
    let Ok(ground) = std::env::var("STORE_FAULT") else { return false };
    let ground = Path::new(&ground);
    let dir = ground.join("data");
    let mut ledger = std::fs::File::create(ground.join("ledger")).unwrap();
    let mut store = open(&dir);
    // More than the store will take, so that once it is gone there is room even for a start, which
    // needs some.
    let filler = dir.join("filler");
    std::fs::create_dir(&filler).unwrap();
    for part in 0..30 {
        std::fs::write(filler.join(part.to_string()), vec![7; 100 * 1024]).unwrap();
    }
    // Where there is no room for the whole log, none of it is kept.
    store.lay_out_log();
    let log = std::fs::metadata(dir.join("tasks.db-wal")).unwrap().len();
    assert!(!(1 << 20..40 << 20).contains(&log), "{log}");
    let mut next = 1;
    let error = loop {
        match store.commit(&bulky(next)) {
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
        Cure::StopServer => never_again(store, next),
        Cure::RefuseInserts => {
            assert!(store.commit(&bulky(next)).is_err(), "it is still full");
            std::fs::remove_dir_all(&filler).unwrap();
            assert!(store.commit(&bulky(next)).is_ok(), "there is room again");
            drop(store);
            assert_stored(&dir, &(1..=next).collect::<Vec<_>>());
        }
        other => panic!("{other:?} after {error}"),
    }
    true
}

/// However often it is asked, it never says yes again.
fn never_again(mut store: SqliteStore, next: u64) {
    for _ in 0..3 {
        let again = store.commit(&bulky(next));
        assert!(matches!(again, Err(StoreError::Broken(_))), "{again:?}");
        assert!(store.take_ids(1).is_err());
    }
}

/// A batch of one task with a payload, so that a few of them fill something.
fn bulky(number: u64) -> Batch {
    let draft = Draft {
        name: Some("bulky".into()),
        task_type: Some("NOOP".into()),
        payload: Some(Payload::text(&"x".repeat(9000))),
        ..Draft::default()
    };
    let submission = draft.check(&Limits::default()).unwrap();
    let state = State {
        status: Status::Queued,
        epoch: Epoch(1),
        retries: 0,
        version: 1,
        updated_at: NOW,
        ready_at: NOW,
        run: None,
        last_error: None,
        result: None,
        completed_at: None,
        leased_until: None,
        worker: None,
        progress: None,
        cancel_requested: false,
        suspicion: Suspicion::None,
    };
    let spec = Arc::new(submission.into_spec("NOOP".into(), NOW));
    let task = Task { id: TaskId::new(number).unwrap(), spec, state };
    let change = Change { task, kind: ChangeKind::Insert(Holding::Held) };
    let units = vec![Unit { changes: vec![change], key: None }];
    Batch { seq: number, now: NOW, units, ..Batch::default() }
}
