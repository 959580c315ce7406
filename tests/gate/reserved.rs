//! With every ordinary backend connection waiting for a frozen store, what must pass still passes.

use std::time::Duration;

use taskscheduler::clock::{Clock, SystemClock};

use super::house::{Caller, House, limits};

/// A gate whose ordinary backend connections are all held by submits, and more wait behind them.
fn frozen() -> (House, Vec<Caller>) {
    let mut few = limits();
    (few.backends_min, few.backends_max) = (4, 12);
    few.backend_wait = Duration::from_mins(1);
    let house = House::open(few);
    let mut callers: Vec<Caller> = (0..40).map(|_| house.call()).collect();
    for caller in &mut callers {
        caller.send(b"POST /hold HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\na");
    }
    house.wait_until("all requests are in and all but the reserved are used", |house| {
        house.handle.counters().requests() == 40
            && house.held.len() == 8
            && house.handle.counters().backends() == 12
    });
    (house, callers)
}

#[test]
fn health_and_metrics_are_answered_within_100_ms() {
    let (house, _callers) = frozen();
    let clock = SystemClock::new();
    for path in [
        "/actuator/health",
        "/actuator/health/readiness",
        "/api/v1/tasks/health",
        "/metrics",
        "/actuator/prometheus",
    ] {
        let promised = Duration::from_millis(100);
        // A busy machine may be late with some answers, a gate that makes them wait with all.
        let ask = |_| {
            let before = clock.mono();
            let answer = house.ask(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes());
            assert_eq!(answer.status, 200);
            clock.mono().since(before)
        };
        assert!((0..20).map(ask).any(|took| took < promised), "{path} is always late");
    }
    assert_eq!(house.held.len(), 8, "no submit used a reserved connection");
}

#[test]
fn reports_of_workers_pass_but_leave_room_for_health() {
    let (house, _callers) = frozen();
    let report = |what: &str| {
        format!("POST /api/v1/leases/{what} HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\na")
    };
    for what in ["heartbeat", "complete", "fail", "release"] {
        assert_eq!(house.ask(report(what).as_bytes()).status, 200, "{what}");
    }
    // Now reports hang too. Two may, the others wait, and health is still answered.
    let mut reporters: Vec<Caller> = (0..5).map(|_| house.call()).collect();
    for caller in &mut reporters {
        caller.send(report("complete?hold").as_bytes());
    }
    house.wait_until("all are in", |house| house.handle.counters().requests() == 49);
    house.wait_until("two are held", |house| house.held.len() == 10);
    assert_eq!(house.ask(b"GET /actuator/health HTTP/1.1\r\nHost: x\r\n\r\n").status, 200);
    assert_eq!(house.held.len(), 10);
}
