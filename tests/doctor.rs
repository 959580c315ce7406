//! `doctor` on real directories, disks, databases and Redis servers, well ones and others.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use test_servers::{Cluster, RedisServer};

/// What it finds, and the code it ends with.
fn doctor(data: &Path, arguments: &[&str]) -> (Option<i32>, Vec<Value>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_taskscheduler"));
    command.args(["doctor", "--json", "--data"]).arg(data).args(arguments);
    command.env_clear().env("TASK_SCHEDULER_API_LISTEN", "127.0.0.1:0");
    command.current_dir(env!("CARGO_TARGET_TMPDIR"));
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let findings = serde_json::from_slice(&output.stdout);
    let findings: Vec<Value> = findings.unwrap_or_else(|error| panic!("{error}: {said}"));
    for finding in &findings {
        let is_ok = finding["verdict"] == "ok";
        assert_eq!(finding.get("do").is_none(), is_ok, "what is to be done? {finding}");
    }
    (output.status.code(), findings)
}

/// The worst that is said about something.
fn verdict<'f>(findings: &'f [Value], about: &str) -> &'f str {
    let all = findings.iter().filter(|it| it["about"] == about);
    let all: Vec<&str> = all.map(|it| it["verdict"].as_str().unwrap()).collect();
    let worst = ["fail", "warn", "ok"].into_iter().find(|verdict| all.contains(verdict));
    worst.unwrap_or_else(|| panic!("nothing is said about {about}: {findings:?}"))
}

#[test]
fn a_machine_that_is_fit_is_said_to_be_and_nothing_is_left_behind() {
    let folder = tempfile::tempdir().unwrap();
    let (code, findings) = doctor(folder.path(), &[]);
    assert_eq!(code, Some(0), "{findings:?}");
    for about in ["configuration", "store", "space", "disk sync", "pinning", "address", "clock"] {
        assert_ne!(verdict(&findings, about), "fail", "{about}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    // A directory that a start would make.
    assert_eq!(doctor(&folder.path().join("a/b"), &[]).0, Some(0));
    assert!(!folder.path().join("a").exists());
}

#[test]
fn what_would_keep_a_server_from_starting_is_said_with_its_cure() {
    let folder = tempfile::tempdir().unwrap();
    let open = doctor(folder.path(), &["--listen", "0.0.0.0:0"]);
    assert_eq!((open.0, verdict(&open.1, "configuration")), (Some(4), "fail"));
    let odd = doctor(folder.path(), &["--cores", "many"]);
    assert_eq!((odd.0, verdict(&odd.1, "configuration")), (Some(4), "fail"));
    let gone = "postgres://nobody:hidden@127.0.0.1:1/none";
    let (code, findings) = doctor(folder.path(), &["--database-url", gone]);
    assert_eq!((code, verdict(&findings, "store")), (Some(4), "fail"));
    assert!(!format!("{findings:?}").contains("hidden"));
    std::fs::write(folder.path().join("tasks.db"), "this is no database").unwrap();
    let (code, findings) = doctor(folder.path(), &[]);
    assert_eq!((code, verdict(&findings, "store")), (Some(4), "fail"), "{findings:?}");
}

#[test]
fn a_database_that_does_not_sync_and_a_redis_that_evicts_are_told() {
    let cluster = Cluster::start(&["fsync=off", "max_connections=12"]);
    let account = cluster.account();
    let redis = RedisServer::start(&["maxmemory-policy=allkeys-lru"]);
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["--database-url", &account.url(), "--redis-url", &redis.url()];
    let (code, findings) = doctor(folder.path(), &arguments);
    assert_eq!((code, verdict(&findings, "durability")), (Some(4), "fail"), "{findings:?}");
    for about in ["connections", "redis"] {
        assert_eq!(verdict(&findings, about), "warn", "{findings:?}");
    }
    cluster.stop();
    cluster.start_with(&["fsync=on", "max_connections=100", "synchronous_commit=off"]);
    let (code, findings) = doctor(folder.path(), &arguments);
    assert_eq!(code, Some(0), "{findings:?}");
    for about in ["store", "durability", "connections", "distance"] {
        assert_eq!(verdict(&findings, about), "ok", "{findings:?}");
    }
    // It looked and made nothing.
    let made = "SELECT to_regnamespace('taskscheduler') IS NULL";
    assert!(account.connect().query_one(made, &[]).unwrap().get::<_, bool>(0));
}
