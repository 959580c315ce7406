//! The release binary on its port: submits one by one and in batches, and how soon they start.

use std::time::Duration;

use taskscheduler::clock::{Clock, SystemClock};

use super::ground::{closed, ground, node_on, warm_up};
use crate::Effort;
use crate::http::client::{Load, Pace, Until};
use crate::http::library;
use crate::http::node::Node;
use crate::http::report::{Goal, Report, Row};
use crate::http::requests::{batch, single, stamped};

pub fn singles(effort: Effort, report: &mut Report) {
    let (_cluster, account) = ground();
    let mut node = node_on(&account, &[]);
    let warm = warm_up(&mut node);
    let until = Until::Passed(Duration::from_secs(effort.seconds));
    let clock = SystemClock::new();
    let (began, before) = (clock.mono(), node.usage());
    let answers = closed(&node, 100, until, &mut single("LOAD_TEST"));
    let done = answers.times_us.len();
    node.wait_completed(warm + done);
    let seconds = clock.mono().since(began).as_secs_f64();
    let after = node.usage();
    let submits = Row::new("singles", "submits/s, tasks run meanwhile", answers.per_second());
    report.add(submits.goal(Goal::AtLeast(18_000.0)).answers(&answers).usage(before, after));
    report.add(Row::new("singles", "p99 answer, ms", answers.ms(0.99)));
    let through = Row::new("singles", "submitted, run, completed/s", done as f64 / seconds);
    report.add(through.goal(Goal::AtLeast(15_000.0)).with("seconds", seconds));
    let before = node.usage();
    let answers = closed(&node, 100, until, &mut single("NOBODY"));
    let row = Row::new("singles", "submits/s, nobody serves the type", answers.per_second());
    report.add(row.answers(&answers).usage(before, node.usage()));
    node.stop();
}

pub fn batches(effort: Effort, report: &mut Report) {
    let until = Until::Passed(Duration::from_secs(effort.seconds));
    for (task_type, what, goal) in [
        ("NOBODY", "tasks/s, nobody serves the type", Some(Goal::AtLeast(90_000.0))),
        ("LOAD_TEST", "tasks/s, tasks run meanwhile", None),
    ] {
        let (_cluster, account) = ground();
        let mut node = node_on(&account, &[]);
        let warm = warm_up(&mut node);
        let clock = SystemClock::new();
        let (began, before) = (clock.mono(), node.usage());
        let answers = closed(&node, 8, until, &mut batch(1_000, task_type, ""));
        let tasks = answers.times_us.len() * 1_000;
        let mut row = Row::new("batches", what, answers.per_second() * 1_000.0)
            .answers(&answers)
            .usage(before, node.usage());
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

/// From sending the request to the first line of the handler, both clocks read on this machine.
pub fn latency(effort: Effort, report: &mut Report) {
    let (_cluster, account) = ground();
    let starts = tempfile::NamedTempFile::new().expect("a file");
    let mut node = Node::start(|data| {
        let mut command = library::server(data, starts.path());
        command.env(library::DATABASE, account.url());
        command
    });
    let warm = warm_up(&mut node);
    // At least a thousand starts, so that the 99th percentile rests on ten.
    let until = Until::Passed(Duration::from_secs(effort.seconds.max(10)));
    let render = &mut stamped(library::STAMP);
    let (address, pace) = (node.address(), Pace::PerSecond(100));
    let answers = Load { address, connections: 16, pace, until, render }.run();
    node.wait_completed(warm + answers.times_us.len());
    let text = std::fs::read_to_string(starts.path()).expect("the starts");
    let mut waits: Vec<u64> = text.lines().map(|line| line.parse().expect("a time")).collect();
    waits.sort_unstable();
    let quantile = |q: f64| waits[((waits.len() - 1) as f64 * q) as usize] as f64 / 1000.0;
    let median = Row::new("latency", "submit to start at 100/s, p50 ms", quantile(0.5));
    report.add(median.goal(Goal::AtMost(1.0)).answers(&answers).with("startsUs", waits.clone()));
    let slow = Row::new("latency", "submit to start at 100/s, p99 ms", quantile(0.99));
    report.add(slow.goal(Goal::AtMost(4.0)));
    report.add(Row::new("latency", "answer at 100/s, p50 ms", answers.ms(0.5)));
    report.add(Row::new("latency", "answer at 100/s, p99 ms", answers.ms(0.99)));
    node.stop();
}
