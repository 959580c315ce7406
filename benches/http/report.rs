//! The table people read and the raw figures that are kept.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use taskscheduler::clock::{Clock, SystemClock};

use super::client::Answers;
use super::machine::Usage;

pub struct Report {
    /// What its file is called after.
    name: &'static str,
    facts: Value,
    rows: Vec<Row>,
}

/// One line of the table.
pub struct Row {
    pub scenario: &'static str,
    /// What the figure is of, with its unit.
    pub what: String,
    pub figure: f64,
    /// The goal, if there is one.
    pub goal: Option<Goal>,
    /// Everything else that was measured.
    pub raw: Map<String, Value>,
}

#[derive(Debug, Clone, Copy)]
pub enum Goal {
    AtLeast(f64),
    AtMost(f64),
}

impl Goal {
    fn is_met(self, figure: f64) -> bool {
        match self {
            Goal::AtLeast(least) => figure >= least,
            Goal::AtMost(most) => figure <= most,
        }
    }

    fn text(self) -> String {
        match self {
            Goal::AtLeast(least) => format!(">= {}", number(least)),
            Goal::AtMost(most) => format!("<= {}", number(most)),
        }
    }
}

impl Row {
    pub fn new(scenario: &'static str, what: impl Into<String>, figure: f64) -> Row {
        Row { scenario, what: what.into(), figure, goal: None, raw: Map::new() }
    }

    pub fn goal(mut self, goal: Goal) -> Row {
        self.goal = Some(goal);
        self
    }

    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Row {
        self.raw.insert(key.to_owned(), value.into());
        self
    }

    /// The answers' times and errors.
    pub fn answers(self, answers: &Answers) -> Row {
        let refused: Map<String, Value> =
            answers.refused.iter().map(|(code, n)| (code.to_string(), json!(n))).collect();
        self.with("answers", answers.times_us.len())
            .with("seconds", answers.elapsed.as_secs_f64())
            .with("meanMs", answers.mean_ms())
            .with("p50Ms", answers.ms(0.5))
            .with("p90Ms", answers.ms(0.9))
            .with("p99Ms", answers.ms(0.99))
            .with("p999Ms", answers.ms(0.999))
            .with("maxMs", answers.times_us.max() as f64 / 1000.0)
            .with("refused", refused)
            .with("broken", answers.broken)
    }

    /// What the server's process used between two looks.
    pub fn usage(self, before: Usage, after: Usage) -> Row {
        self.with("peakMiB", after.peak_mib)
            .with("residentMiB", after.resident_mib)
            .with("threads", after.threads)
            .with("serverCpuSeconds", after.cpu_s - before.cpu_s)
    }
}

impl Report {
    pub fn new(name: &'static str, facts: Value) -> Report {
        println!("{}", serde_json::to_string_pretty(&facts).expect("facts are JSON"));
        println!("| scenario | what | figure | goal | |");
        println!("|---|---|---|---|---|");
        Report { name, facts, rows: Vec::new() }
    }

    /// Prints the row at once: a run takes minutes, and an abort must not lose all of it.
    pub fn add(&mut self, row: Row) {
        let goal = row.goal.map_or(String::new(), Goal::text);
        let met = row.goal.map_or("", |g| if g.is_met(row.figure) { "met" } else { "missed" });
        println!("| {} | {} | {} | {goal} | {met} |", row.scenario, row.what, number(row.figure));
        self.rows.push(row);
    }

    /// Writes the raw figures below `folder`; returns where.
    pub fn keep(&self, folder: &Path) -> PathBuf {
        let now = SystemClock::new().now().0;
        let time = jiff::Timestamp::from_millisecond(now).expect("a time of this age");
        let rows: Vec<Value> = self.rows.iter().map(row_json).collect();
        let all = json!({ "time": time.to_string(), "machine": self.facts, "rows": rows });
        let second = time.strftime("%Y%m%d-%H%M%S");
        let commit = self.facts["commit"].as_str().unwrap_or("unknown");
        let path = folder.join(format!("{}-{second}-{commit}.json", self.name));
        fs::create_dir_all(folder).expect("a folder for the results");
        let text = serde_json::to_string_pretty(&all).expect("figures are JSON");
        fs::write(&path, text + "\n").expect("a file for the results");
        path
    }
}

fn row_json(row: &Row) -> Value {
    json!({
        "scenario": row.scenario,
        "what": row.what,
        "figure": row.figure,
        "goal": row.goal.map(Goal::text),
        "raw": row.raw,
    })
}

/// Three digits that count: 25,312 or 0.482.
fn number(value: f64) -> String {
    if value.abs() < 100.0 {
        return format!("{value:.2}");
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) && digit.is_ascii_digit() {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
