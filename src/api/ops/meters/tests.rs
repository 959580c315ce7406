//! The document and the measures, held against each other; and Boot's way of telling one.

use std::collections::BTreeMap;
use std::sync::Arc;

use prometheus::proto::{MetricFamily, MetricType};
use serde_json::{Value, json};

use super::{boot, collect};
use crate::api::ops::slots::tests::troubled;
use crate::api::settings::ApiSettings;
use crate::api::traffic::{Place, Traffic};
use crate::clock::ManualClock;
use crate::domain::{BandMap, TimeMs};
use crate::engine::{CoreVitals, DiskVitals, LevelReads, Measures, Phase, StoreVitals, Vitals};
use crate::metrics::{DURATIONS_US, Histogram};
use crate::persistence::{Books, Row, View};
use crate::queue::Counts;
use crate::store::redis::{Counted, Level2Vitals};
use crate::store::{Connections, Durability};

/// A node of which everything can be told.
fn families() -> Vec<MetricFamily> {
    let mut books = Books::default();
    books.types.push("MAIL".into());
    let row = Row { submitted: 3, retried: [2, 0, 1, 0, 0, 0, 0], ..Row::default() };
    books.rows.insert(0, BandMap::from_fn(|_| row));
    books.type_run_us.insert(0, 1_500_000);
    books.wait[1].add(300);
    let vitals = Vitals {
        node: "n1".into(),
        nodes: 1,
        phase: Phase::Serving,
        store: StoreVitals {
            is_up: true,
            description: "SQLite".into(),
            durability: Durability::Disk,
        },
        disk: Some(DiskVitals { free_bytes: 2, total_bytes: 3, limit_bytes: 1 }),
        queue_depth: BandMap::default(),
        oldest_ready_at: None,
        mailbox: 0,
        mailbox_max: 10,
        priority_bound: 0,
        level2: Some(Level2Vitals {
            is_up: true,
            description: "redis://r:6379/0".into(),
            why: None,
            counted: Counted::default(),
            took: Histogram::new(DURATIONS_US),
            connections: 3,
            idle: 1,
        }),
        reads: LevelReads::default(),
        cores: vec![CoreVitals::default()],
        slots: troubled(),
    };
    let measures = Measures {
        vitals,
        view: View::default(),
        books: Arc::new(books),
        cores: vec![Counts { taken: 5, ..Counts::default() }, Counts::default()],
        reads: Histogram::new(DURATIONS_US),
        reads_waiting: 0,
        connections: Some(Connections { busy: 1, idle: 2 }),
    };
    let traffic = Traffic::new(&["UNKNOWN", "/api/v1/tasks"]);
    traffic.add(Place(1), &tiny_http::Method::Post, 201, 2_000);
    let pool = Arc::new(rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap());
    let clock = ManualClock::at(TimeMs(0));
    let settings = ApiSettings::new(Arc::new(|_: &str| None), pool, clock);
    let settings = ApiSettings { gate: Some(Arc::default()), ..settings };
    collect::collect(&measures, &traffic, &settings)
}

/// Name, kind and labels, as the document's table says it.
type Listed = BTreeMap<String, (String, Vec<String>)>;

#[test]
fn the_document_and_a_scrape_name_the_same_measures() {
    let measured: Listed = families()
        .iter()
        .map(|family| {
            let kind = match family.get_field_type() {
                MetricType::COUNTER => "counter",
                MetricType::HISTOGRAM => "histogram",
                _ => "gauge",
            };
            let row = family.get_metric().first().unwrap_or_else(|| panic!("{}", family.name()));
            let labels = row.get_label().iter().map(|label| label.name().to_owned()).collect();
            (family.name().to_owned(), (kind.to_owned(), labels))
        })
        .collect();
    let document = include_str!("../../../../tuning/metrics.md");
    let listed: Listed = document
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .map(|line| {
            let cells: Vec<&str> = line.split(" | ").collect();
            let labels = cells[2].split('`').skip(1).step_by(2).map(str::to_owned).collect();
            (cells[0].trim_end_matches('`').to_owned(), (cells[1].to_owned(), labels))
        })
        .collect();
    assert!(listed.len() > 50, "the table was not understood");
    assert_eq!(measured, listed);
}

#[test]
fn names_say_their_unit_and_whether_they_only_grow() {
    for family in families() {
        let name = family.name();
        let grows = family.get_field_type() == MetricType::COUNTER;
        assert_eq!(name.ends_with("_total"), grows, "{name}");
        for word in ["_ms", "_us", "_millis", "_minutes", "_kb", "_mb"] {
            assert!(!name.contains(word), "{name}");
        }
        assert!(family.help().ends_with('.') || name.starts_with("process_"), "{name}");
    }
}

fn told(name: &str, filter: &[(&str, &str)]) -> Option<Value> {
    let filter = filter.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let body = boot::one(&families(), name, &filter).ok()?;
    Some(serde_json::from_slice(&body).unwrap())
}

#[test]
fn a_measure_is_told_as_boot_tells_it_summed_over_the_tags_not_given() {
    let whole = told("taskscheduler.tasks.submitted", &[]).unwrap();
    assert_eq!(whole["measurements"], json!([{"statistic": "COUNT", "value": 15}]));
    let bands = json!(["CRITICAL", "HIGH", "MEDIUM", "LOW", "BULK"]);
    let tags = json!([{"tag": "band", "values": bands}, {"tag": "type", "values": ["MAIL"]}]);
    assert_eq!(whole["availableTags"], tags);
    let high = told("taskscheduler_tasks_submitted_total", &[("band", "HIGH")]).unwrap();
    assert_eq!(high["measurements"][0]["value"], 3);
    let requests = told("http.server.requests", &[]).unwrap();
    assert_eq!(requests["baseUnit"], "seconds");
    assert_eq!(requests["measurements"][1], json!({"statistic": "TOTAL_TIME", "value": 0.002}));
    assert_eq!(told("taskscheduler.tasks.submitted", &[("band", "NONE")]), None);
    assert_eq!(told("jvm.memory.used", &[]), None);
}
