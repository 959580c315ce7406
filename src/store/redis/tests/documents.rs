//! Documents: never one that is no longer true, and none longer than it may last.

use std::time::Duration;

use super::server::Server;
use super::{clock, level2, of, settings, until};
use crate::domain::{Epoch, Status, Task, TimeMs};
use crate::store::redis::Level2;
use crate::store::redis::documents::Burial;
use crate::store::redis::tests::sample::{ended, ended_at, id};

const TTL: Duration = Duration::from_secs(2);

/// A second level whose documents are believed.
fn trusted(server: &Server) -> Level2 {
    let level2 = level2(server, TTL);
    until("documents are believed", || level2.is_trusted());
    level2
}

fn put(level2: &Level2, task: &Task) {
    let life = level2.life().unwrap();
    level2.put_documents(&life, std::slice::from_ref(task), clock().now());
}

/// The same task after a retry and another end.
fn ended_again(task: &Task) -> Task {
    let mut again = task.clone();
    again.state.epoch = task.state.epoch.next();
    again.state.version += 3;
    again.state.status = Status::Failed;
    again
}

fn retry_of(task: &Task) -> Burial {
    Burial { id: task.id, epoch: task.state.epoch, version: task.state.version + 1 }
}

#[test]
fn an_ended_task_is_found_until_its_time_is_over_and_then_nothing_of_it_is_left() {
    let server = Server::start(&[]);
    let level2 = trusted(&server);
    let task = ended(7);
    put(&level2, &task);
    assert_eq!(level2.find_document(id(7)), Some(task));
    assert_eq!(level2.find_document(id(8)), None);
    // One that ended earlier lasts as much less, however late it is put.
    let now = clock().now();
    put(&level2, &ended_at(8, TimeMs(now.0 - 1500)));
    put(&level2, &ended_at(9, TimeMs(now.0 - 2500)));
    assert!(!server.keys().contains(&level2.key("done:9")));
    let left: i64 = server.ask(redis::cmd("PTTL").arg(level2.key("done:8")));
    assert!((1..=500).contains(&left), "{left} ms");
    until("both are over", || server.keys() == [level2.key("life")]);
}

#[test]
fn a_retry_ends_a_document_also_one_that_is_put_too_late() {
    let server = Server::start(&[]);
    let level2 = trusted(&server);
    let task = ended(7);
    let life = level2.life().unwrap();
    put(&level2, &task);
    level2.bury(&[retry_of(&task)]);
    assert_eq!(level2.find_document(id(7)), None);
    level2.put_documents(&life, std::slice::from_ref(&task), clock().now());
    assert_eq!(level2.find_document(id(7)), None, "the late one was let in");
    let again = ended_again(&task);
    put(&level2, &again);
    assert_eq!(level2.find_document(id(7)), Some(again));
    assert_eq!(level2.vitals().counted.odd_answers, 0);
}

#[test]
fn a_deletion_ends_the_documents_before_it_also_those_that_are_put_too_late() {
    let server = Server::start(&[]);
    let level2 = trusted(&server);
    let now = clock().now();
    let (old, young) = (ended_at(1, TimeMs(now.0 - 100)), ended_at(2, now));
    put(&level2, &old);
    level2.hide_before(now, now);
    // The line never goes back, whoever deletes less.
    level2.hide_before(TimeMs(now.0 - 200), now);
    put(&level2, &old);
    put(&level2, &young);
    assert_eq!(level2.find_document(id(1)), None);
    assert_eq!(level2.find_document(id(2)), Some(young));
    level2.hide_before(TimeMs(now.0 - 3_600_000), now);
    assert_eq!(level2.vitals().counted.failures, 0);
}

#[test]
fn a_flush_between_retry_and_late_document_lets_nothing_in() {
    let server = Server::start(&[]);
    let level2 = trusted(&server);
    let task = ended(7);
    let life = level2.life().unwrap();
    level2.bury(&[retry_of(&task)]);
    server.tell(&["FLUSHALL"]);
    level2.put_documents(&life, std::slice::from_ref(&task), clock().now());
    assert_eq!(level2.find_document(id(7)), None);
    assert_ne!(level2.life().unwrap(), life, "a flush begins another life");
    put(&level2, &ended_again(&task));
    assert!(level2.find_document(id(7)).is_some());
}

#[test]
fn a_server_restarted_from_an_old_snapshot_is_not_believed() {
    let mut server = Server::start(&[]);
    let level2 = trusted(&server);
    let task = ended(7);
    let life = level2.life().unwrap();
    put(&level2, &task);
    server.tell(&["SAVE"]);
    level2.bury(&[retry_of(&task)]);
    server.kill();
    server.restart();
    assert!(server.keys().contains(&level2.key("done:7")), "the old document is back");
    assert_eq!(level2.find_document(id(7)), None, "the end of the former run is noticed");
    until("it is connected again", || {
        level2.tend();
        level2.is_up()
    });
    assert_eq!(level2.find_document(id(7)), None);
    level2.put_documents(&life, &[ended(8)], clock().now());
    assert!(!server.keys().contains(&level2.key("done:8")), "of the run that is over");
    assert!(!level2.is_trusted());
    until("it is believed again", || {
        level2.tend();
        level2.is_trusted()
    });
    assert_eq!(level2.find_document(id(7)), None);
}

#[test]
fn a_node_that_just_started_believes_no_document() {
    let server = Server::start(&[]);
    let first = trusted(&server);
    put(&first, &ended(7));
    let second = of(settings(server.port, TTL, 2));
    assert_eq!(second.find_document(id(7)), None);
    assert!(first.find_document(id(7)).is_some());
}

#[test]
fn a_word_that_was_not_heard_makes_this_node_believe_nothing() {
    let server = Server::start(&["--maxmemory-policy", "noeviction"]);
    let level2 = trusted(&server);
    let task = ended(7);
    put(&level2, &task);
    server.tell(&["CONFIG", "SET", "maxmemory", "1"]);
    level2.bury(&[retry_of(&task)]);
    assert!(!level2.is_trusted());
    assert!(!server.keys().contains(&level2.key("done:7")), "deleting needs no memory");
}

#[test]
fn whatever_stands_in_a_place_of_ours_is_no_document() {
    let server = Server::start(&[]);
    let level2 = trusted(&server);
    let task = ended(7);
    let key = level2.key("done:7");
    put(&level2, &task);
    let good: Vec<u8> = server.ask(redis::cmd("GET").arg(&key));
    let other = level2.key("done:8");
    let _: redis::Value = server.ask(redis::cmd("SET").arg(&other).arg(&good));
    assert_eq!(level2.find_document(id(8)), None, "the document of another task");
    let mut cut = good.clone();
    cut.truncate(good.len() - 1);
    for garbage in [&b""[..], b"x", b"1 2 ", b"9 9 retrie", &cut, &[0xff; 300]] {
        let _: redis::Value = server.ask(redis::cmd("SET").arg(&key).arg(garbage));
        assert_eq!(level2.find_document(id(7)), None, "{garbage:?}");
    }
    for wrong in [&["LPUSH", &key, "1"][..], &["HSET", &key, "a", "b"], &["ZADD", &key, "1", "a"]] {
        server.tell(&["DEL", &key]);
        server.tell(wrong);
        assert_eq!(level2.find_document(id(7)), None);
        put(&level2, &task);
        assert_eq!(level2.find_document(id(7)).as_ref(), Some(&task), "a put mends the key");
    }
    let line = level2.key("deleted-before");
    server.tell(&["SET", &line, "nonsense"]);
    assert_eq!(level2.find_document(id(7)), None, "where the line is unknown nothing is certain");
    level2.hide_before(TimeMs(task.state.completed_at.unwrap().0 - 1), clock().now());
    assert!(level2.find_document(id(7)).is_some());
    server.tell(&["DEL", &level2.key("life")]);
    server.tell(&["LPUSH", &level2.key("life"), "x"]);
    put(&level2, &ended(9));
    assert_eq!(level2.find_document(id(9)), None);
    assert_ne!(task.state.epoch, Epoch(0));
}
