//! Real commands, kind and hostile.

use std::ffi::OsString;
use std::time::Duration;

use super::*;
use crate::clock::SystemClock;
use crate::execution::tests::{Solo, elapsed};

const LONG: Duration = Duration::from_secs(20);

fn setup(command: &[&str]) -> ProcessSetup {
    ProcessSetup::new(command.iter().map(OsString::from).collect())
}

fn sh(script: &str) -> ProcessSetup {
    setup(&["/bin/sh", "-c", script])
}

fn run(setup: ProcessSetup, solo: &Solo) -> Outcome {
    match Process::new(setup).run(&solo.attempt()) {
        Doing::Ended(outcome) => outcome,
        other => panic!("{other:?}"),
    }
}

fn result(setup: ProcessSetup, payload: &str) -> String {
    match run(setup, &Solo::new(Some(payload), 20)) {
        Outcome::Done(result) => result.map_or(String::new(), |result| result.bytes.to_string()),
        other => panic!("{other:?}"),
    }
}

fn failure(setup: ProcessSetup) -> (FailureKind, String) {
    match run(setup, &Solo::new(Some("x"), 20)) {
        Outcome::Failed(failure) => (failure.kind, failure.message),
        other => panic!("{other:?}"),
    }
}

/// Whether a process of this number lives; one that nobody has reaped does not.
fn lives(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
    stat.is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().starts_with(" Z"))
}

fn await_death(pid: &str) {
    let from = SystemClock::new();
    while lives(pid) {
        assert!(elapsed(&from) < LONG, "process {pid} lives on");
        std::thread::yield_now();
    }
}

#[test]
fn a_command_gets_the_payload_and_what_it_writes_is_the_result() {
    assert_eq!(result(setup(&["wc", "-w"]), "a bb  ccc\n"), "3");
    assert_eq!(result(setup(&["cat"]), ""), "");
    let all = "ä".repeat(30_000);
    assert_eq!(result(setup(&["cat"]), &all), all);
}

#[test]
fn no_shell_ever_sees_what_a_client_or_the_configuration_says() {
    let hostile = "$(touch /tmp/pwned); `id` | rm -rf / & \"'\\ \n * ${HOME}";
    assert_eq!(result(setup(&["cat"]), hostile), hostile);
    assert_eq!(result(setup(&["printf", "%s", hostile]), "x"), hostile);
}

#[test]
fn the_environment_holds_what_the_task_is_and_nothing_of_the_servers() {
    let mut setup = setup(&["env"]);
    setup.environment = vec![("GREETING".into(), "hello world".into())];
    let text = result(setup, "x");
    let mut lines: Vec<_> =
        text.lines().filter(|line| !line.starts_with("TASK_DEADLINE")).collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "GREETING=hello world",
            "LANG=C.UTF-8",
            "PATH=/usr/local/bin:/usr/bin:/bin",
            "TASK_ATTEMPT=2",
            "TASK_EPOCH=4",
            "TASK_ID=7",
            "TASK_TYPE=SOLO",
        ]
    );
}

#[test]
fn it_has_a_group_of_its_own_and_no_descriptor_of_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let _open = std::fs::File::create(folder.path().join("of-the-server")).unwrap();
    let listing = result(setup(&["ls", "-l", "/proc/self/fd"]), "x");
    assert!(listing.contains("pipe:") && !listing.contains("of-the-server"), "{listing}");
    // After the name in brackets: state, parent, group.
    let stat = result(setup(&["cat", "/proc/self/stat"]), "x");
    let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    assert_eq!(stat.split(' ').next(), fields.get(2).copied());
}

#[test]
fn exit_codes_and_signals_are_told_apart() {
    let (kind, message) = failure(sh("echo why >&2; echo result; exit 3"));
    assert_eq!((kind, message.as_str()), (FailureKind::Error, "exit code 3: why"));
    let (kind, message) = failure(sh("exit 65"));
    assert_eq!((kind, message.as_str()), (FailureKind::Permanent, "exit code 65"));
    let (kind, message) = failure(sh("ulimit -c 0; kill -SEGV $$"));
    assert_eq!((kind, message.as_str()), (FailureKind::Crash, "killed by signal 11"));
    let (kind, message) = failure(setup(&["/no/such/command"]));
    assert_eq!(kind, FailureKind::Error);
    assert!(message.contains("failed to run /no/such/command"), "{message}");
}

#[test]
fn a_flood_of_output_ends_the_command_and_one_of_errors_only_keeps_its_end() {
    let (kind, message) = failure(setup(&["yes"]));
    assert_eq!(kind, FailureKind::Permanent);
    assert_eq!(message, "wrote more than 65536 bytes to its standard output");
    let flood = "head -c 3000000 /dev/zero | tr '\\0' x >&2; echo 'the end' >&2; exit 1";
    let (kind, message) = failure(sh(flood));
    assert_eq!(kind, FailureKind::Error);
    assert!(message.ends_with("xx the end") || message.ends_with("xxthe end"), "{message}");
    assert!(message.len() <= Failure::MESSAGE_MAX);
}

#[test]
fn a_command_that_does_not_read_its_payload_is_not_waited_for() {
    let megabyte = "x".repeat(1 << 20);
    assert_eq!(result(setup(&["true"]), &megabyte), "");
    assert_eq!(result(sh("exec 0<&-; sleep 0.1; echo done"), &megabyte), "done");
    assert_eq!(result(sh("sleep 0.1; echo done"), &megabyte), "done");
}

#[test]
fn what_a_command_leaves_behind_neither_delays_its_end_nor_outlives_it() {
    let from = SystemClock::new();
    let pid = result(sh("sleep 100 & echo $!"), "x");
    assert!(elapsed(&from) < Duration::from_secs(50));
    await_death(&pid);
}

#[test]
fn at_the_deadline_the_whole_group_is_asked_to_end_and_then_made_to() {
    let solo = Solo::new(Some("x"), 1);
    let folder = tempfile::tempdir().unwrap();
    let pids = folder.path().join("pids");
    let script = format!(
        "trap '' TERM; (trap '' TERM; echo $$ >> {0}; exec sleep 100) & sleep 100 & \
         echo $! >> {0}; echo $$ >> {0}; while :; do sleep 0.1; done",
        pids.display()
    );
    let mut setup = sh(&script);
    setup.stop_grace = Duration::from_millis(200);
    let from = SystemClock::new();
    assert_eq!(run(setup, &solo), Outcome::Cancelled);
    assert!(elapsed(&from) >= Duration::from_millis(1200), "no grace");
    for pid in std::fs::read_to_string(pids).unwrap().lines() {
        await_death(pid);
    }
}

#[test]
fn a_command_may_clean_up_when_its_task_is_cancelled() {
    let solo = Solo::new(Some("x"), 20);
    let folder = tempfile::tempdir().unwrap();
    let (ready, clean) = (folder.path().join("ready"), folder.path().join("clean"));
    let script = format!(
        "trap 'echo yes > {}; exit 0' TERM; echo > {}; while :; do sleep 0.05; done",
        clean.display(),
        ready.display()
    );
    let outcome = std::thread::scope(|scope| {
        let running = scope.spawn(|| run(sh(&script), &solo));
        let from = SystemClock::new();
        while !ready.exists() {
            assert!(elapsed(&from) < LONG);
            std::thread::yield_now();
        }
        solo.cancel();
        running.join().unwrap()
    });
    assert_eq!(outcome, Outcome::Cancelled);
    assert_eq!(std::fs::read_to_string(clean).unwrap(), "yes\n");
}

#[test]
fn children_that_fork_without_end_are_all_ended() {
    let solo = Solo::new(Some("x"), 1);
    let folder = tempfile::tempdir().unwrap();
    let pids = folder.path().join("pids");
    // Each generation begins the next before it ends, for as long as it is let.
    let script = format!(
        "echo $$ >> {0}; n=0; while [ $n -lt 400 ]; do (sleep 100) & echo $! >> {0}; \
         n=$((n+1)); done; wait",
        pids.display()
    );
    let mut setup = sh(&script);
    setup.stop_grace = Duration::from_millis(10);
    assert_eq!(run(setup, &solo), Outcome::Cancelled);
    for pid in std::fs::read_to_string(pids).unwrap().lines() {
        await_death(pid);
    }
}

#[test]
fn limits_hold_for_the_command_and_what_it_starts() {
    let mut setup = sh("sleep 0.3; (ulimit -n; ulimit -t; ulimit -v)");
    setup.limits = ProcessLimits {
        descriptors: Some(77),
        cpu_s: Some(33),
        memory_bytes: Some(1 << 30),
        ..ProcessLimits::default()
    };
    assert_eq!(result(setup, "x"), "77\n33\n1048576");
}

/// PROCESS_RUNS=10000 makes it as long as the promise says; a few show the same leak.
#[test]
fn runs_leave_no_descriptor_and_no_zombie() {
    let runs: usize =
        std::env::var("PROCESS_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(200);
    // Other tests of this process open descriptors and start children, so a process of its own.
    if std::env::var_os("PROCESS_RUNS_HERE").is_none() {
        let test = std::env::current_exe().unwrap();
        let name = "execution::executors::process::tests::runs_leave_no_descriptor_and_no_zombie";
        let status = Command::new(test)
            .args(["--exact", name, "--nocapture"])
            .env("PROCESS_RUNS_HERE", "1")
            .env("PROCESS_RUNS", runs.to_string())
            .status();
        assert!(status.unwrap().success());
        return;
    }
    let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let solo = Solo::new(Some("a payload"), 20);
    let endings = ["exit 0", "exit 1", "kill -9 $$", "sleep 100 & echo $!", "cat"];
    let before = descriptors();
    for n in 0..runs {
        run(sh(endings[n % endings.len()]), &solo);
    }
    assert_eq!(descriptors(), before);
    let me = std::process::id();
    let children = std::fs::read_to_string(format!("/proc/{me}/task/{me}/children"));
    let threads = std::fs::read_dir("/proc/self/task").unwrap().filter_map(|thread| {
        let thread = thread.ok()?.file_name().into_string().ok()?;
        std::fs::read_to_string(format!("/proc/{me}/task/{thread}/children")).ok()
    });
    let left: Vec<String> = threads.chain(children).filter(|list| !list.is_empty()).collect();
    assert!(left.is_empty(), "children are left: {left:?}");
}
