//! What is found in which state of things.

use std::time::Duration;

use super::machine::{descriptors, processors};
use super::stores::{database_findings, redis_finding};
use super::{Finding, Verdict, disk};
use crate::engine::Disk;
use crate::execution::{CoreWish, choose};
use crate::store::migration::Schema;
use crate::store::postgres::Look;
use crate::store::redis::Greeting;

fn worst(findings: &[Finding]) -> Verdict {
    // Whoever finds something also says what to do.
    assert!(findings.iter().all(|it| it.cure.is_some() == (it.verdict > Verdict::Ok)));
    findings.iter().map(|finding| finding.verdict).max().unwrap()
}

#[test]
fn a_disk_is_slow_too_quick_or_as_it_should_be() {
    let of = |us: u64| disk::speed(&[Duration::from_micros(us); 9]).verdict;
    assert_eq!([of(2), of(400), of(50_000)], [Verdict::Warn, Verdict::Ok, Verdict::Warn]);
    let gib = |free: u64| Disk { free_bytes: free << 30, total_bytes: 100 << 30 };
    let of = |free: u64| disk::space(&gib(free)).verdict;
    assert_eq!([of(4), of(8), of(50)], [Verdict::Fail, Verdict::Warn, Verdict::Ok]);
}

#[test]
fn more_cores_than_are_granted_and_parts_of_one_are_told() {
    let of = |wish: CoreWish, allowed: usize, quota: Option<f64>| {
        let allowed: Vec<usize> = (0..allowed).collect();
        worst(&processors(&choose(&wish, &allowed, quota), allowed.len(), quota))
    };
    assert_eq!(of(CoreWish::AllButOne, 4, None), Verdict::Ok);
    assert_eq!(of(CoreWish::AllButOne, 4, Some(2.0)), Verdict::Ok);
    assert_eq!(of(CoreWish::AllButOne, 4, Some(1.5)), Verdict::Warn);
    assert_eq!(of(CoreWish::Count(9), 4, None), Verdict::Warn);
    assert_eq!(of(CoreWish::AllButOne, 1, None), Verdict::Warn);
}

#[test]
fn few_descriptors_are_told() {
    let of = |limit| descriptors(limit, 1024).verdict;
    assert_eq!([of(Some(1024)), of(Some(20_000)), of(None)], {
        [Verdict::Warn, Verdict::Ok, Verdict::Ok]
    });
}

#[test]
fn a_database_is_judged_by_what_it_keeps_grants_and_how_far_it_is() {
    let good = || Look {
        version: "15.1".into(),
        unsafe_settings: Vec::new(),
        synchronous_commit: "on".into(),
        connections_max: 100,
        connections: 20,
        may_make_schema: true,
        round_trip: Duration::from_micros(300),
        clock_ahead_ms: -3,
        schema: Schema::default(),
    };
    let of = |look: &Look| worst(&database_findings(look, 10));
    assert_eq!(of(&good()), Verdict::Ok);
    assert_eq!(of(&Look { synchronous_commit: "off".into(), ..good() }), Verdict::Ok);
    assert_eq!(of(&Look { unsafe_settings: vec!["fsync"], ..good() }), Verdict::Fail);
    assert_eq!(of(&Look { may_make_schema: false, ..good() }), Verdict::Fail);
    assert_eq!(of(&Look { connections: 90, ..good() }), Verdict::Warn);
    assert_eq!(of(&Look { round_trip: Duration::from_millis(9), ..good() }), Verdict::Warn);
    assert_eq!(of(&Look { clock_ahead_ms: -5000, ..good() }), Verdict::Warn);
}

#[test]
fn a_redis_that_evicts_is_told() {
    let of = |policy: &str| {
        let told = format!("maxmemory:1048576\r\nmaxmemory_policy:{policy}\r\n");
        redis_finding(&Greeting::read("redis_version:7.0\r\n", "role:master\r\n", &told))
    };
    assert_eq!(of("noeviction").verdict, Verdict::Ok);
    let found = of("allkeys-lru");
    assert_eq!(found.verdict, Verdict::Warn);
    assert!(found.found.contains("allkeys-lru") && found.found.contains("1 MiB"), "{found:?}");
}
