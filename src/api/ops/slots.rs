//! The types whose runs block, and their breakers, as JSON.

use crate::api::json::Json;
use crate::domain::{Band, BreakerState};
use crate::engine::SlotVitals;
use crate::queue::LineLook;

/// Writes the threads and what each type does.
pub(super) fn write(json: &mut Json, slots: &SlotVitals) {
    let crew = &slots.crew;
    json.open().key("threads").number(crew.threads as u64);
    json.key("threadsMax").number(crew.threads_max as u64);
    json.key("running").number(crew.running as u64);
    json.key("stuck").number(crew.stuck as u64);
    json.key("types").open_array();
    for line in &slots.lines {
        json.open().key("taskType").text(&line.name).key("limit").number(line.limit as u64);
        json.key("running").number(line.running as u64);
        json.key("waiting").number(waiting(line));
        json.key("started").number(line.started).key("busyMs").number(line.busy_us / 1000);
        json.close();
    }
    json.close_array().close();
}

/// Writes where each breaker stands.
pub(super) fn write_breakers(json: &mut Json, slots: &SlotVitals) {
    json.open_array();
    for breaker in &slots.breakers {
        json.open().key("name").text(&breaker.name);
        json.key("state").text(match breaker.state {
            BreakerState::Closed => "CLOSED",
            BreakerState::Open { .. } => "OPEN",
            BreakerState::HalfOpen { .. } => "HALF_OPEN",
        });
        match breaker.state {
            BreakerState::Open { until_us } => {
                let left_us = until_us.saturating_sub(slots.now.0);
                json.key("openForMs").number(left_us.div_ceil(1000));
            }
            BreakerState::HalfOpen { trials_left } => {
                json.key("trialsLeft").number(trials_left.into());
            }
            BreakerState::Closed => {}
        }
        if let Some(percent) = breaker.failures_percent {
            json.key("failuresPercent").fraction((percent * 100.0).round() / 100.0);
        }
        json.key("opened").number(breaker.opened).close();
    }
    json.close_array();
}

/// How many tasks of a type wait in memory.
pub(super) fn waiting(line: &LineLook) -> u64 {
    Band::ALL.into_iter().map(|band| line.waiting[band] as u64).sum()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::clock::Mono;
    use crate::domain::BandMap;
    use crate::queue::{BreakerLook, CrewLook};

    /// No type that blocks.
    pub(in crate::api::ops) fn none() -> SlotVitals {
        let crew = CrewLook { threads: 0, threads_max: 4, running: 0, stuck: 0 };
        SlotVitals { crew, lines: Vec::new(), breakers: Vec::new(), now: Mono(0) }
    }

    /// One type whose breaker is open, and a host whose breaker tries.
    pub(in crate::api::ops) fn troubled() -> SlotVitals {
        let breaker = |name: &str, state, failures_percent, opened| BreakerLook {
            name: name.into(),
            state,
            failures_percent,
            opened,
        };
        let line = LineLook {
            name: "MAIL".into(),
            limit: 2,
            running: 1,
            waiting: BandMap::from_fn(|_| 2),
            started: 9,
            busy_us: 1_500_000,
        };
        SlotVitals {
            crew: CrewLook { threads: 3, threads_max: 4, running: 1, stuck: 0 },
            lines: vec![line],
            breakers: vec![
                breaker("MAIL", BreakerState::Open { until_us: 8_000_000 }, None, 1),
                breaker("a.example:443", BreakerState::HalfOpen { trials_left: 2 }, Some(50.0), 3),
                breaker("CALM", BreakerState::Closed, Some(0.0), 0),
            ],
            now: Mono(1_000_000),
        }
    }

    #[test]
    fn threads_types_and_breakers_are_told() {
        let mut json = Json::default();
        json.open().key("pool");
        write(&mut json, &troubled());
        write_breakers(json.key("breakers"), &troubled());
        json.close();
        let told: serde_json::Value = serde_json::from_slice(&json.into_bytes()).unwrap();
        let expected = serde_json::json!({
            "pool": {
                "threads": 3, "threadsMax": 4, "running": 1, "stuck": 0,
                "types": [{"taskType": "MAIL", "limit": 2, "running": 1, "waiting": 10,
                    "started": 9, "busyMs": 1500}],
            },
            "breakers": [
                {"name": "MAIL", "state": "OPEN", "openForMs": 7000, "opened": 1},
                {"name": "a.example:443", "state": "HALF_OPEN", "trialsLeft": 2,
                    "failuresPercent": 50, "opened": 3},
                {"name": "CALM", "state": "CLOSED", "failuresPercent": 0, "opened": 0},
            ],
        });
        assert_eq!(told, expected);
    }
}
