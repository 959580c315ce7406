//! What is measured, one function each; every one starts from a fresh server.

use std::time::Duration;

use serde_json::{Value, json};
use taskscheduler::clock::{Clock, SystemClock};

use super::client::{Answers, Load, Pace, Until};
use super::commit;
use super::floor;
use super::library;
use super::node::Node;
use super::report::{Goal, Report, Row};
use super::requests::{batch, due_in, single, stamped};

/// How hard to measure.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// How long each load lasts.
    pub seconds: u64,
}

impl Effort {
    fn until(self) -> Until {
        Until::Passed(Duration::from_secs(self.seconds))
    }
}

pub struct Scenario {
    pub name: &'static str,
    pub what: &'static str,
    pub run: fn(Effort, &mut Report),
}

pub const SCENARIOS: &[Scenario] = &[
    Scenario { name: "singles", what: "one submit a request, 100 connections", run: singles },
    Scenario { name: "batches", what: "batches of 1,000, 8 connections", run: batches },
    Scenario { name: "drain", what: "a stored backlog becomes due at once", run: drain },
    Scenario { name: "latency", what: "submit to start at 100 a second", run: latency },
    Scenario { name: "pace-10k", what: "10,000 tasks a minute", run: pace_10k },
    Scenario { name: "pace-100k", what: "100,000 tasks a minute", run: pace_100k },
    Scenario { name: "memory", what: "100,000 tasks that wait", run: memory },
];

fn closed(
    node: &Node,
    connections: usize,
    until: Until,
    render: &mut dyn FnMut(u64, &mut Vec<u8>),
) -> Answers {
    let address = node.address();
    Load { address, connections, pace: Pace::Closed, until, render }.run()
}

/// Warm-up: connections opened, pages faulted in, the file grown.
fn warm_up(node: &mut Node) -> u64 {
    let answers = closed(node, 16, Until::Sent(2_000), &mut single("LOAD_TEST"));
    assert_eq!(answers.errors(), 0, "{:?}, {} broken", answers.refused, answers.broken);
    node.wait_completed(answers.times_us.len());
    answers.times_us.len()
}

fn singles(effort: Effort, report: &mut Report) {
    let mut node = Node::stock();
    let warm = warm_up(&mut node);
    let clock = SystemClock::new();
    let (began, before) = (clock.mono(), node.usage());
    let answers = closed(&node, 100, effort.until(), &mut single("LOAD_TEST"));
    let done = answers.times_us.len();
    node.wait_completed(warm + done);
    let seconds = clock.mono().since(began).as_secs_f64();
    let after = node.usage();
    let submits = Row::new("singles", "submits/s, tasks run meanwhile", answers.per_second())
        .goal(Goal::AtLeast(25_000.0))
        .answers(&answers)
        .usage(before, after);
    report.add(submits);
    report.add(Row::new("singles", "p99 answer, ms", answers.ms(0.99)));
    let through = Row::new("singles", "submitted, run, completed/s", done as f64 / seconds);
    report.add(through.goal(Goal::AtLeast(20_000.0)).with("seconds", seconds));
    let per_task = (after.cpu_s - before.cpu_s) / done as f64 * 1e6;
    report.add(Row::new("singles", "processor time of the server a task, us", per_task));
    let sample = json!({ "taskName": "sample", "taskType": "LOAD_TEST", "payload": "x" });
    let sample = node.submit(&sample);
    node.stop();
    let floor = floor_singles(effort, report, &sample);
    let ratio = Row::new("singles", "submits of the floor's answers", answers.per_second() / floor);
    report.add(ratio.goal(Goal::AtLeast(0.7)));
    waiting_singles(effort, report);
}

/// The same load on the same HTTP, answered without a store.
fn floor_singles(effort: Effort, report: &mut Report, sample: &str) -> f64 {
    let node = Node::start(|folder| floor::server(folder, sample));
    closed(&node, 16, Until::Sent(2_000), &mut single("LOAD_TEST"));
    let before = node.usage();
    let answers = closed(&node, 100, effort.until(), &mut single("LOAD_TEST"));
    let row = Row::new("singles", "answers/s of the floor, no store", answers.per_second());
    report.add(row.answers(&answers).usage(before, node.usage()));
    answers.per_second()
}

/// The same for a type that nobody serves: the submit alone.
fn waiting_singles(effort: Effort, report: &mut Report) {
    let mut node = Node::stock();
    warm_up(&mut node);
    let before = node.usage();
    let answers = closed(&node, 100, effort.until(), &mut single("NOBODY"));
    let row = Row::new("singles", "submits/s, nobody serves the type", answers.per_second());
    report.add(row.answers(&answers).usage(before, node.usage()));
    node.stop();
}

fn batches(effort: Effort, report: &mut Report) {
    for (task_type, what, goal) in [
        ("NOBODY", "tasks/s, nobody serves the type", Some(Goal::AtLeast(200_000.0))),
        ("LOAD_TEST", "tasks/s, tasks run meanwhile", None),
    ] {
        let mut node = Node::stock();
        let warm = warm_up(&mut node);
        let clock = SystemClock::new();
        let (began, before) = (clock.mono(), node.usage());
        let answers = closed(&node, 8, effort.until(), &mut batch(1_000, task_type, ""));
        let tasks = answers.times_us.len() * 1_000;
        let mut row = Row::new("batches", what, answers.per_second() * 1_000.0)
            .answers(&answers)
            .usage(before, node.usage())
            .with("diskBytesPerTask", node.disk_bytes() / tasks.max(1));
        row.goal = goal;
        report.add(row);
        if task_type == "LOAD_TEST" {
            node.wait_completed(warm + tasks);
            let seconds = clock.mono().since(began).as_secs_f64();
            let rate = tasks as f64 / seconds;
            report.add(Row::new("batches", "submitted, run, completed/s", rate));
        }
        node.stop();
    }
}

fn drain(effort: Effort, report: &mut Report) {
    let backlog = 50_000 * effort.seconds;
    let mut node = Node::stock();
    let warm = warm_up(&mut node);
    // Long enough to store it all first, at a tenth of the rate that is hoped for.
    let (due, due_ms) = due_in(Duration::from_secs(3 + backlog / 20_000));
    let send = Until::Sent(backlog / 1_000);
    let answers = closed(&node, 4, send, &mut batch(1_000, "LOAD_TEST", &due));
    assert_eq!(answers.times_us.len() * 1_000, backlog, "{:?}", answers.refused);
    let clock = SystemClock::new();
    let early = node.count("completedTasks") - warm;
    assert!(early == 0 && clock.now().0 < due_ms, "the backlog was not stored in time");
    let before = node.usage();
    node.wait_completed(warm + backlog);
    let seconds = (clock.now().0 - due_ms) as f64 / 1000.0;
    let row = Row::new("drain", format!("tasks/s of {backlog}"), backlog as f64 / seconds)
        .goal(Goal::AtLeast(150_000.0))
        .usage(before, node.usage())
        .with("seconds", seconds);
    report.add(row);
    node.stop();
}

/// From sending the request to the first line of the handler, both clocks read on this machine.
fn latency(effort: Effort, report: &mut Report) {
    let starts = tempfile::NamedTempFile::new().expect("a file");
    let mut node = Node::start(|data| library::server(data, starts.path()));
    let warm = warm_up(&mut node);
    // At least a thousand starts, so that the 99th percentile rests on ten.
    let until = Until::Passed(Duration::from_secs(effort.seconds.max(10)));
    let address = node.address();
    let render = &mut stamped(library::STAMP);
    let pace = Pace::PerSecond(100);
    let answers = Load { address, connections: 16, pace, until, render }.run();
    node.wait_completed(warm + answers.times_us.len());
    let text = std::fs::read_to_string(starts.path()).expect("the starts");
    let mut waits: Vec<u64> = text.lines().map(|line| line.parse().expect("a time")).collect();
    waits.sort_unstable();
    let quantile = |of: &[u64], q: f64| of[((of.len() - 1) as f64 * q) as usize] as f64 / 1000.0;
    let median = Row::new("latency", "submit to start at 100/s, p50 ms", quantile(&waits, 0.5));
    report.add(median.goal(Goal::AtMost(0.5)).answers(&answers).with("startsUs", waits.clone()));
    let slow = Row::new("latency", "submit to start at 100/s, p99 ms", quantile(&waits, 0.99));
    report.add(slow.goal(Goal::AtMost(1.5)));
    report.add(Row::new("latency", "answer at 100/s, p50 ms", answers.ms(0.5)));
    report.add(Row::new("latency", "answer at 100/s, p99 ms", answers.ms(0.99)));
    node.stop();
    let folder = tempfile::tempdir().expect("a folder");
    let bare = commit::times_us(folder.path(), waits.len().min(1_000));
    report.add(Row::new("latency", "bare commit at 100/s, p50 ms", quantile(&bare, 0.5)));
    report.add(Row::new("latency", "bare commit at 100/s, p99 ms", quantile(&bare, 0.99)));
}

fn paced(node: &mut Node, effort: Effort, per_second: u32) -> Answers {
    let address = node.address();
    let pace = Pace::PerSecond(per_second);
    let render = &mut single("LOAD_TEST");
    Load { address, connections: 16, pace, until: effort.until(), render }.run()
}

fn pace_10k(effort: Effort, report: &mut Report) {
    pace(effort, report, "pace-10k", 10_000);
}

fn pace_100k(effort: Effort, report: &mut Report) {
    pace(effort, report, "pace-100k", 100_000);
}

/// Beside the targets of the system this replaces: 100 ms an answer, 50 ms in the queue, 4 GB.
fn pace(effort: Effort, report: &mut Report, name: &'static str, per_minute: u32) {
    let mut node = Node::stock();
    let before = node.usage();
    let answers = paced(&mut node, effort, per_minute / 60);
    node.wait_completed(answers.times_us.len());
    let metrics = node.get("/api/v1/tasks/metrics");
    let mean = Row::new(name, "mean answer, ms", answers.mean_ms());
    let peak = node.usage().peak_mib;
    report.add(mean.goal(Goal::AtMost(100.0)).answers(&answers).usage(before, node.usage()));
    report.add(Row::new(name, "p99 answer, ms", answers.ms(0.99)));
    let wait = metrics["averageQueueWaitMs"].as_f64().expect("a mean wait");
    let row = Row::new(name, "mean wait in the queue, ms", wait);
    report.add(row.goal(Goal::AtMost(50.0)).with("metrics", without_series(metrics)));
    report.add(Row::new(name, "peak resident memory, MiB", peak).goal(Goal::AtMost(4096.0)));
    node.stop();
}

fn without_series(mut metrics: Value) -> Value {
    if let Some(fields) = metrics.as_object_mut() {
        fields.remove("series");
    }
    metrics
}

fn memory(_: Effort, report: &mut Report) {
    let (later, _) = due_in(Duration::from_hours(1));
    for (task_type, more, what) in [
        ("LOAD_TEST", later.as_str(), "MiB with 100,000 scheduled in an hour"),
        ("NOBODY", "", "MiB with 100,000 of a type that nobody serves"),
    ] {
        let mut node = Node::stock();
        store_and_weigh(&mut node, &mut batch(1_000, task_type, more), what, report);
        node.stop();
    }
    // Queued in the lanes: every core is held, and by more tasks than there are cores.
    let starts = tempfile::NamedTempFile::new().expect("a file");
    let mut node = Node::start(|data| library::server(data, starts.path()));
    let held = std::thread::available_parallelism().map_or(8, usize::from) as u64 + 8;
    closed(&node, 1, Until::Sent(1), &mut batch(held, library::HOLD, ",\"priority\":\"CRITICAL\""));
    node.wait_count("runningTasks", 1);
    let what = "MiB with 100,000 queued behind busy cores";
    store_and_weigh(&mut node, &mut batch(1_000, "LOAD_TEST", ""), what, report);
    assert!(node.count("queuedTasks") >= 100_000, "they are queued");
    // Killed as it is dropped: a clean stop would wait for the tasks that hold the cores.
}

fn store_and_weigh(
    node: &mut Node,
    render: &mut dyn FnMut(u64, &mut Vec<u8>),
    what: &str,
    report: &mut Report,
) {
    let (idle, before) = (node.usage(), node.count("totalTasks"));
    let answers = closed(node, 4, Until::Sent(100), render);
    assert_eq!(answers.errors(), 0, "{:?}", answers.refused);
    assert_eq!(node.count("totalTasks") - before, 100_000, "all are stored");
    let after = node.usage();
    let row = Row::new("memory", what, after.resident_mib).goal(Goal::AtMost(120.0));
    report.add(row.usage(idle, after).with("idleMiB", idle.resident_mib));
}
