//! One core, step by step, with a clock that stands still unless told otherwise.

use std::sync::Arc;
use std::time::Duration;

use super::{NOW, Stage, happened};
use crate::domain::{Failure, FailureKind, Outcome, Payload, TimeMs};
use crate::execution::{Attempt, Doing, Mail, Step};
use crate::persistence::Happened;

fn outcome(task_type: &str, payload: Option<Payload>, attempt: u32) -> Outcome {
    match happened(Stage::new(1), task_type, payload, attempt) {
        Happened::Ended(_, outcome) => outcome,
        other => panic!("{other:?}"),
    }
}

fn outcome_of(stage: Stage) -> Outcome {
    match happened(stage, "MINE", None, 1) {
        Happened::Ended(_, outcome) => outcome,
        other => panic!("{other:?}"),
    }
}

fn failure(outcome: Outcome) -> (FailureKind, String) {
    match outcome {
        Outcome::Failed(failure) => (failure.kind, failure.message),
        other => panic!("{other:?}"),
    }
}

#[test]
fn builtin_types_do_what_their_names_say() {
    let json = |text| Some(Payload::json(text));
    assert_eq!(outcome("NOOP", None, 1), Outcome::Done(None));
    assert_eq!(outcome("LOAD_TEST", json("[1]"), 1), Outcome::Done(None));
    assert_eq!(outcome("ECHO", json("[1]"), 1), Outcome::Done(json("[1]")));
    let fails = |attempt| outcome("FAIL", json(r#"{"times": 2}"#), attempt);
    assert_eq!(failure(fails(1)).0, FailureKind::Error);
    assert_eq!(failure(fails(2)).0, FailureKind::Error);
    assert_eq!(fails(3), Outcome::Done(None));
    let sleeps = happened(Stage::new(1), "SLEEP", json(r#"{"ms": 1500}"#), 1);
    let Happened::Sleeps { at, waited_us, until } = sleeps else { panic!("{sleeps:?}") };
    assert_eq!((at, waited_us, until), (NOW, 20_000, NOW.plus_ms(1500)));
}

#[test]
fn a_builtin_type_with_a_bad_payload_fails_for_good_and_says_how_it_must_look() {
    let text = |text| Some(Payload::text(text));
    for (task_type, payload, says) in [
        ("SLEEP", None, r#"{"ms": 1000}"#),
        ("SLEEP", text("soon"), r#"{"ms": 1000}"#),
        ("SLEEP", text(r#"{"ms": -1}"#), "invalid value"),
        ("SLEEP", text(r#"{"ms": 3600001}"#), "at most 3600000 ms"),
        ("FAIL", text(r#"{"time": 1}"#), "unknown field `time`"),
    ] {
        let (kind, message) = failure(outcome(task_type, payload, 1));
        assert_eq!(kind, FailureKind::Permanent, "{message}");
        assert!(message.contains(says), "{message}");
    }
}

#[test]
fn a_closure_is_a_handler_and_knows_its_attempt() {
    let stage = Stage::new(1).with("MINE", |attempt: &Attempt<'_>| {
        assert_eq!((attempt.id().get(), attempt.number(), attempt.epoch().0), (1, 1, 4));
        assert_eq!(attempt.spec().name.as_ref(), "test");
        assert_eq!(attempt.time_left(), Duration::from_secs(10));
        assert!(!attempt.cancelled());
        Ok::<_, Failure>(Payload::text("well"))
    });
    assert_eq!(outcome_of(stage), Outcome::Done(Some(Payload::text("well"))));
}

#[test]
fn a_panic_ends_the_attempt_and_nothing_else() {
    let bad = |_: &Attempt<'_>| -> () { panic!("no {}", "way") };
    let mut stage = Stage::new(1).with("MINE", bad);
    for task_type in ["MINE", "NOOP"] {
        stage.push(task_type);
    }
    let mut core = stage.core();
    while core.step() != Step::Idle {}
    let ends = stage.reported().into_iter().map(|report| match report.what {
        Happened::Ended(_, outcome) => outcome,
        other => panic!("{other:?}"),
    });
    let ends: Vec<Outcome> = ends.collect();
    let message = "the handler panicked: no way";
    assert_eq!(ends[0], Outcome::Failed(Failure::new(FailureKind::Panic, message)));
    assert_eq!(ends[1], Outcome::Done(None));
}

/// What was thrown can itself panic when it is dropped; that must not end the core.
#[test]
fn a_panic_inside_a_panic_ends_the_attempt_and_nothing_else() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("again");
        }
    }
    let bad = |_: &Attempt<'_>| -> () { std::panic::panic_any(Bomb) };
    let stage = Stage::new(1).with("MINE", bad);
    let (kind, message) = failure(outcome_of(stage));
    assert_eq!(kind, FailureKind::Panic);
    assert_eq!(message, "the handler panicked: it gave no message");
}

#[test]
fn what_ends_after_its_deadline_has_timed_out_whatever_it_says() {
    let stage = Stage::new(1);
    let clock = Arc::clone(&stage.clock);
    let stage = stage.with("MINE", move |attempt: &Attempt<'_>| {
        clock.advance(Duration::from_secs(11));
        assert!(attempt.cancelled() && attempt.time_left().is_zero());
    });
    let (kind, message) = failure(outcome_of(stage));
    assert_eq!((kind, message.as_str()), (FailureKind::Timeout, "took longer than 10 s"));
}

#[test]
fn a_report_says_when_the_attempt_started_how_long_it_took_and_how_long_it_had_waited() {
    let stage = Stage::new(1);
    let clock = Arc::clone(&stage.clock);
    let stage = stage.with("MINE", move |_: &Attempt<'_>| clock.advance(Duration::from_millis(7)));
    let Happened::Ended(run, _) = happened(stage, "MINE", None, 1) else { panic!("no end") };
    assert_eq!((run.started_at, run.took_us, run.waited_us), (NOW, 7000, 20_000));
}

#[test]
fn a_handler_that_is_asked_to_stop_is_cancelled_and_one_that_is_not_has_failed() {
    let stops = |ask: bool| {
        let stage = Stage::new(1);
        let entrance = Arc::clone(&stage.entrance);
        outcome_of(stage.with("MINE", move |attempt: &Attempt<'_>| {
            if ask {
                assert!(entrance.board().ask_stop(attempt.id(), attempt.epoch()));
            }
            assert_eq!(attempt.cancelled(), ask);
            Outcome::Cancelled
        }))
    };
    assert_eq!(stops(true), Outcome::Cancelled);
    assert_eq!(failure(stops(false)).0, FailureKind::Error);
}

#[test]
fn what_stops_because_the_server_ends_is_not_reported() {
    let stage = Stage::new(1);
    let halt = stage.halt.clone();
    let mut stage = stage.with("MINE", move |attempt: &Attempt<'_>| {
        halt.ask();
        assert!(attempt.cancelled());
        Outcome::Cancelled
    });
    stage.push("MINE");
    let mut core = stage.core();
    assert_eq!((core.step(), core.step()), (Step::Ran, Step::Idle));
    assert!(stage.reported().is_empty());
}

#[test]
fn a_ticket_for_a_type_without_handler_fails_and_may_be_retried() {
    assert_eq!(failure(outcome("NOBODY", None, 1)).0, FailureKind::Error);
}

#[test]
fn a_withdrawn_ticket_never_reaches_its_handler() {
    let mut stage =
        Stage::new(1).with("MINE", |_: &Attempt<'_>| -> () { unreachable!("it was withdrawn") });
    let ticket = stage.ticket("MINE", None, 1);
    stage.entrance.push(Arc::clone(&ticket));
    assert!(ticket.withdraw());
    let mut core = stage.core();
    assert_eq!((core.step(), core.step()), (Step::SkippedWithdrawn, Step::Idle));
    assert!(stage.reported().is_empty());
}

#[test]
fn reports_go_in_full_blocks_or_after_a_millisecond_or_when_there_is_nothing_to_do() {
    let mut stage = Stage::new(1);
    stage.push_all("NOOP", Mail::BLOCK + 3);
    let mut core = stage.core();
    (0..Mail::BLOCK).for_each(|_| assert_eq!(core.step(), Step::Ran));
    assert!(stage.reports.1.is_empty());
    assert_eq!(core.step(), Step::Ran);
    assert_eq!(stage.next_block().len(), Mail::BLOCK);
    // The next run notices, and the step after it sends both.
    stage.clock.advance(Duration::from_millis(1));
    (0..2).for_each(|_| assert_eq!(core.step(), Step::Ran));
    assert_eq!(stage.next_block().len(), 2);
    assert!(stage.reports.1.is_empty());
    assert_eq!(core.step(), Step::Idle);
    assert_eq!(stage.next_block().len(), 1);
}

#[test]
fn a_run_that_may_last_holds_up_no_report() {
    let stage = Stage::new(1);
    let reports = stage.reports.1.clone();
    let mut stage = stage.with("MINE", move |_: &Attempt<'_>| {
        assert_eq!(reports.len(), 1, "the report of the task before waits here");
    });
    for task_type in ["NOOP", "MINE"] {
        stage.push(task_type);
    }
    let mut core = stage.core();
    while core.step() != Step::Idle {}
    let ends = stage.reported();
    let is_well = |happened: &Happened| matches!(happened, Happened::Ended(_, Outcome::Done(_)));
    assert!(ends.len() == 2 && ends.iter().all(|report| is_well(&report.what)), "{ends:?}");
}

#[test]
fn a_core_whose_reports_are_not_taken_takes_no_tickets_and_loses_nothing() {
    let mut stage = Stage::new(1);
    stage.reports = crossbeam_channel::bounded(1);
    let total = 4 * Mail::BLOCK;
    stage.push_all("NOOP", total);
    let mut core = stage.core();
    while core.step() != Step::MailFull {}
    // One block in the channel, one in the core.
    let waiting = stage.entrance.waiting();
    assert_eq!(waiting, 2 * Mail::BLOCK);
    assert_eq!(core.step(), Step::MailFull);
    assert!(!core.wait_for_mail(Duration::from_millis(1)));
    assert_eq!(stage.entrance.waiting(), waiting);
    let mut ids = Vec::new();
    loop {
        ids.extend(stage.reported().iter().map(|report| report.id.get()));
        match core.step() {
            Step::Idle => break,
            Step::MailFull | Step::Ran => {}
            other => panic!("{other:?}"),
        }
    }
    ids.extend(stage.reported().iter().map(|report| report.id.get()));
    assert_eq!(ids, (1..=total as u64).collect::<Vec<_>>());
}

#[test]
fn a_library_handler_may_sleep_without_a_core_too() {
    let stage =
        Stage::new(1).with("MINE", |_: &Attempt<'_>| Doing::SleepFor(Duration::from_secs(3)));
    let Happened::Sleeps { until, .. } = happened(stage, "MINE", None, 1) else { panic!() };
    assert_eq!(until, TimeMs(NOW.0 + 3000));
}
