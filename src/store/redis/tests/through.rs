//! A whole store with the second level over it: what a commit leaves in Redis, and what a reader
//! finds, while Redis is flushed, killed and full.

use std::sync::Arc;
use std::time::Duration;

use super::server::Server;
use super::{clock, level2, until};
use crate::domain::{
    Band, Before, Change, ChangeKind, Holding, Status, StatusKind, Task, TaskId, TimeMs,
};
use crate::store::memory::MemoryDisk;
use crate::store::redis::tests::sample::ended_at;
use crate::store::redis::{Courier, CourierStep, Level2, Leveled, LeveledReader, ReadCounts};
use crate::store::{Bands, Batch, ClaimAsk, Committed, Fate, PruneAsk, Reader, Store, Taker, Unit};

const TTL: Duration = Duration::from_secs(2);

/// A node's store and reader over one server.
struct House {
    level2: Arc<Level2>,
    store: Leveled,
    reader: LeveledReader,
    courier: Courier,
    counts: Arc<ReadCounts>,
    seq: u64,
}

impl House {
    fn on(disk: &MemoryDisk, server: &Server) -> House {
        let level2 = Arc::new(level2(server, TTL));
        until("documents are believed", || level2.is_trusted());
        let beneath = disk.open();
        let (counts, over) = (Arc::default(), Some(Arc::clone(&level2)));
        let reader = LeveledReader::over(beneath.reader().unwrap(), over, Arc::clone(&counts));
        let (store, courier) = Leveled::over(Box::new(beneath), Arc::clone(&level2));
        House { level2, store, reader, courier, counts, seq: 0 }
    }

    fn commit(&mut self, changes: Vec<Change>) -> Committed {
        self.seq += 1;
        let units = changes.into_iter().map(|change| Unit { changes: vec![change], key: None });
        let batch =
            Batch { seq: self.seq, now: clock().now(), units: units.collect(), ..Batch::default() };
        let committed = self.store.commit(&batch).expect("whatever Redis does");
        assert!(committed.fates.iter().all(|fate| *fate == Fate::Applied));
        committed
    }

    /// Brings what waits.
    fn bring(&mut self) {
        until("everything is brought", || {
            assert_eq!(self.courier.step(), CourierStep::Ran);
            self.store.is_brought()
        });
    }

    fn insert(&mut self, number: u64, holding: Holding) -> Task {
        let mut task = ended_at(number, clock().now());
        task.state.status = Status::Queued;
        (task.state.completed_at, task.state.version) = (None, 1);
        self.commit(vec![Change { task: task.clone(), kind: ChangeKind::Insert(holding) }]);
        task
    }

    fn end(&mut self, task: &Task) -> Task {
        let mut over = task.clone();
        over.state.status = Status::Failed;
        over.state.version += 1;
        over.state.completed_at = Some(clock().now());
        self.commit(vec![Change { task: over.clone(), kind: ChangeKind::Finish(before(task)) }]);
        over
    }

    fn retry(&mut self, task: &Task) -> Task {
        let mut again = task.clone();
        again.state.status = Status::Queued;
        again.state.version += 1;
        again.state.epoch = task.state.epoch.next();
        again.state.completed_at = None;
        let kind = ChangeKind::Revive(before(task), Holding::Held);
        self.commit(vec![Change { task: again.clone(), kind }]);
        again
    }

    fn find(&mut self, id: TaskId) -> Option<Task> {
        self.reader.find(id).unwrap()
    }

    fn reads(&self) -> (u64, u64) {
        (self.counts.redis(), self.counts.store())
    }
}

fn before(task: &Task) -> Before {
    Before { status: task.state.status.kind(), epoch: task.state.epoch }
}

#[test]
fn an_ended_task_is_read_from_redis_and_a_retried_or_deleted_one_never() {
    let (disk, server) = (MemoryDisk::new(), Server::start(&[]));
    let mut house = House::on(&disk, &server);
    let queued = house.insert(1, Holding::Held);
    assert_eq!(house.find(queued.id).as_ref(), Some(&queued));
    let failed = house.end(&queued);
    house.bring();
    assert_eq!(house.find(queued.id).as_ref(), Some(&failed));
    assert_eq!(house.reads(), (1, 1));
    let again = house.retry(&failed);
    assert_eq!(house.find(queued.id).as_ref(), Some(&again));
    let failed = house.end(&again);
    house.bring();
    assert_eq!(house.find(queued.id).as_ref(), Some(&failed));
    assert_eq!(house.reads(), (2, 2));
    let ask = PruneAsk {
        statuses: vec![StatusKind::Failed],
        ended_before: TimeMs(clock().now().0 + 1),
        limit: 10,
    };
    assert_eq!(house.store.prune(&ask), Ok(1));
    assert_eq!(house.find(queued.id), None);
}

#[test]
fn a_document_under_way_when_its_task_is_retried_is_never_seen() {
    let (disk, server) = (MemoryDisk::new(), Server::start(&[]));
    let mut house = House::on(&disk, &server);
    let queued = house.insert(1, Holding::Held);
    let failed = house.end(&queued);
    let again = house.retry(&failed);
    house.bring();
    assert_eq!(house.find(queued.id), Some(again));
}

#[test]
fn free_tasks_become_hints_of_startable_types_only() {
    let (disk, server) = (MemoryDisk::new(), Server::start(&[]));
    let mut house = House::on(&disk, &server);
    house.store.startable_for_tests(&["NOOP"]);
    let first = house.insert(1, Holding::Free);
    house.insert(2, Holding::Held);
    house.bring();
    assert_eq!(house.level2.take_hints(&[(Band::Medium, 9)]).0.concat(), [first.id]);
    house.store.startable_for_tests(&[]);
    house.insert(3, Holding::Free);
    house.bring();
    assert_eq!(house.level2.take_hints(&[(Band::Medium, 9)]).0.concat(), []);
    assert_eq!(house.level2.vitals().counted.notices_sent, 2);
}

/// Many lives of tasks while the server meets one fault after the other: every read says what the
/// store says.
fn every_read_is_true_while(fault: impl Fn(&mut Server, u64)) -> (u64, u64) {
    let (disk, mut server) = (MemoryDisk::new(), Server::start(&[]));
    let mut house = House::on(&disk, &server);
    for round in 1..=120 {
        let queued = house.insert(round, Holding::Held);
        let mut ended = house.end(&queued);
        for step in 0..3 {
            fault(&mut server, round * 3 + step);
            if (round + step) % 2 == 0 {
                house.courier.step();
            }
            let stored = disk.tasks().into_iter().find(|task| task.id == queued.id);
            assert_eq!(house.find(queued.id), stored, "round {round}, step {step}");
            if (round + step) % 3 == 0 {
                let again = house.retry(&ended);
                assert_eq!(house.find(queued.id).as_ref(), Some(&again), "round {round}");
                ended = house.end(&again);
            }
        }
    }
    house.reads()
}

#[test]
fn every_read_is_true_while_redis_is_flushed_again_and_again() {
    let (redis, store) = every_read_is_true_while(|server, step| {
        if step % 7 == 0 {
            server.tell(&["FLUSHALL"]);
        }
    });
    assert!(redis > 20 && store > 20, "{redis} reads from Redis, {store} from the store");
}

#[test]
fn every_read_is_true_while_redis_is_killed_frozen_and_full() {
    every_read_is_true_while(|server, step| match step {
        50 => server.kill(),
        120 => server.restart(),
        150 => server.freeze(),
        200 => server.thaw(),
        220 => drop(server.tell(&["CONFIG", "SET", "maxmemory", "1"])),
        300 => drop(server.tell(&["CONFIG", "SET", "maxmemory", "0"])),
        _ => {}
    });
}

impl House {
    /// Claims free tasks of the middle band, with or without hints, and says which came.
    fn claim(&mut self, limit: u32) -> Vec<u64> {
        self.seq += 1;
        let now = clock().now();
        let ask = ClaimAsk {
            bands: Bands::One(Band::Medium),
            limit,
            bytes_max: usize::MAX,
            due_by: now.plus_ms(2000),
            types: ["NOOP".into()].into(),
            taker: Taker::Node,
        };
        let batch = Batch { seq: self.seq, now, claims: vec![ask], ..Batch::default() };
        let committed = self.store.commit(&batch).unwrap();
        committed.claimed[0].tasks.iter().map(|task| task.id.get()).collect()
    }

    /// Free tasks with these numbers, and their hints in Redis.
    fn free(&mut self, numbers: std::ops::RangeInclusive<u64>) {
        // The first claim is a plain one, and tells which types are started here.
        assert!(self.claim(10).is_empty());
        for number in numbers {
            self.insert(number, Holding::Free);
        }
        self.bring();
    }

    fn hints(&self) -> (u64, u64) {
        let counted = self.level2.vitals().counted;
        (counted.hints_taken, counted.hints_claimed)
    }
}

#[test]
fn claims_take_hints_and_confirm_them_in_the_store() {
    let (disk, server) = (MemoryDisk::new(), Server::start(&[]));
    let mut house = House::on(&disk, &server);
    house.free(1..=6);
    assert_eq!(house.claim(2), [1, 2]);
    assert_eq!(house.hints(), (2, 2));
    // Ids that are held, ended or never were are passed over, and others fill their place.
    let key = house.level2.hints_key(Band::Medium);
    server.tell(&["ZADD", &key, "0", "1", "0", "999", "0", "77"]);
    let claimed = house.claim(4);
    assert!(claimed.starts_with(&[3]) && claimed.len() == 4, "{claimed:?}");
    assert_eq!(house.hints().0, 6);
}

#[test]
fn what_redis_forgets_or_never_heard_of_is_claimed_all_the_same() {
    let (disk, server) = (MemoryDisk::new(), Server::start(&[]));
    let mut house = House::on(&disk, &server);
    house.free(1..=2);
    server.tell(&["FLUSHALL"]);
    assert_eq!(house.claim(10), [1, 2], "the hints were lost");
    house.free(3..=4);
    // A node that dies between taking its hints and confirming them.
    assert_eq!(house.level2.take_hints(&[(Band::Medium, 10)]).0.concat().len(), 2);
    assert_eq!(house.claim(10), [3, 4]);
    // Hints of others that fill every claim do not keep the oldest waiting for longer than a plain
    // claim takes to come.
    house.free(5..=2000);
    let key = house.level2.hints_key(Band::Medium);
    server.tell(&["ZREM", &key, "5"]);
    let mut claims = Vec::new();
    until("the one without a hint is claimed", || {
        claims.extend(house.claim(1));
        claims.contains(&5) || claims.len() >= 1900
    });
    // The hints themselves last for four times as long.
    assert!(claims.contains(&5) && claims.len() < 250, "{claims:?}");
}
