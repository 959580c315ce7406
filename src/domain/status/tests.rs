//! The whole table of moves, and what must hold for every walk through it.

use std::fmt::Write;

use proptest::prelude::*;

use super::*;

const NOW: TimeMs = TimeMs(1000);
const LATER: TimeMs = TimeMs(2000);
const HELD: Epoch = Epoch(7);

fn statuses() -> [(&'static str, Status); 12] {
    [
        ("PENDING", Status::Pending),
        ("SCHEDULED (due)", Status::Scheduled { due: NOW }),
        ("SCHEDULED (ahead)", Status::Scheduled { due: LATER }),
        ("QUEUED", Status::Queued),
        ("RUNNING", Status::Running { epoch: HELD }),
        ("RETRYING (due)", Status::Retrying { due: NOW }),
        ("RETRYING (ahead)", Status::Retrying { due: LATER }),
        ("PAUSED (due)", Status::Paused { due: NOW }),
        ("PAUSED (ahead)", Status::Paused { due: LATER }),
        ("COMPLETED", Status::Completed),
        ("FAILED", Status::Failed),
        ("CANCELLED", Status::Cancelled),
    ]
}

fn events() -> [(&'static str, Event); 16] {
    let report = |epoch, verdict| Event::Report { epoch, verdict };
    [
        ("tick", Event::Tick { now: NOW }),
        ("start", Event::Start { epoch: HELD }),
        ("done", report(HELD, Verdict::Done)),
        ("fail, retry", report(HELD, Verdict::RetryAt(LATER))),
        ("fail for good", report(HELD, Verdict::GiveUp)),
        ("stopped by cancel", report(HELD, Verdict::Cancelled)),
        ("stopped by pause", report(HELD, Verdict::Paused)),
        ("stale done", report(Epoch(6), Verdict::Done)),
        ("release", Event::Release),
        ("cancel", Event::Cancel),
        ("pause", Event::Pause { now: NOW }),
        ("resume", Event::Resume { now: NOW }),
        ("hurry", Event::Hurry),
        ("retry", Event::Retry),
        ("retry later", Event::RetryLater { due: LATER }),
        ("poison", Event::Poison),
    ]
}

/// Every legal move; whatever is not here is refused.
const TABLE: &str = "\
PENDING            tick                QUEUED
PENDING            cancel              CANCELLED
PENDING            hurry               QUEUED
SCHEDULED (due)    tick                QUEUED
SCHEDULED (due)    cancel              CANCELLED
SCHEDULED (due)    pause               PAUSED
SCHEDULED (due)    hurry               QUEUED
SCHEDULED (ahead)  cancel              CANCELLED
SCHEDULED (ahead)  pause               PAUSED
SCHEDULED (ahead)  hurry               QUEUED
QUEUED             start               RUNNING
QUEUED             cancel              CANCELLED
QUEUED             pause               PAUSED
QUEUED             poison              FAILED
RUNNING            done                COMPLETED
RUNNING            fail, retry         RETRYING
RUNNING            fail for good       FAILED
RUNNING            stopped by cancel   CANCELLED
RUNNING            stopped by pause    PAUSED
RUNNING            release             QUEUED
RETRYING (due)     tick                QUEUED
RETRYING (due)     cancel              CANCELLED
RETRYING (due)     pause               PAUSED
RETRYING (due)     hurry               QUEUED
RETRYING (due)     retry               QUEUED
RETRYING (ahead)   cancel              CANCELLED
RETRYING (ahead)   pause               PAUSED
RETRYING (ahead)   hurry               QUEUED
RETRYING (ahead)   retry               QUEUED
PAUSED (due)       cancel              CANCELLED
PAUSED (due)       resume              QUEUED
PAUSED (ahead)     cancel              CANCELLED
PAUSED (ahead)     resume              SCHEDULED
FAILED             retry               QUEUED
FAILED             retry later         RETRYING
CANCELLED          retry               QUEUED
";

#[test]
fn the_table_holds_every_legal_move_and_no_other() {
    let mut table = String::new();
    for (from_name, from) in statuses() {
        for (event_name, event) in events() {
            if let Ok(to) = from.on(event) {
                writeln!(table, "{from_name:<18} {event_name:<19} {}", to.kind()).unwrap();
            }
        }
    }
    println!("{table}");
    assert_eq!(table, TABLE);
}

proptest! {
    /// A terminal status is left by a person's retry and by nothing else.
    #[test]
    fn a_terminal_status_stays_unless_a_person_retries(
        steps in prop::collection::vec(0..16usize, 0..200),
    ) {
        let mut status = Status::Queued;
        for step in steps {
            let (_, event) = events()[step];
            let asked = matches!(event, Event::Retry | Event::RetryLater { .. });
            if let Ok(next) = status.on(event) {
                prop_assert!(asked || !status.kind().is_terminal(), "{status:?} left by {event:?}");
                status = next;
            }
        }
    }

    /// Only the claim that runs a task can report on it.
    #[test]
    fn an_older_claim_cannot_speak(held in 1..1000u64, epoch in 0..1000u64) {
        let report = Event::Report { epoch: Epoch(epoch), verdict: Verdict::Done };
        let answer = Status::Running { epoch: Epoch(held) }.on(report);
        prop_assert_eq!(answer.is_ok(), held == epoch);
    }
}
