//! `list`: one page of tasks.

use std::io::{self, IsTerminal, Write};

use serde::Deserialize;

use crate::cli::args::{Format, ListArgs};
use crate::cli::client::{Client, Task};
use crate::cli::config::Surroundings;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::{Colour, note, safe, table};

/// A page as the server shows it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    content: Vec<Task>,
    #[serde(default)]
    total_elements: u64,
    #[serde(default)]
    total_pages: u64,
    #[serde(default)]
    number: u64,
}

/// Shows the page.
pub fn run(args: &ListArgs, around: &Surroundings) -> Result<Exit, Failure> {
    let client = Client::new(&args.remote, around)?;
    let answer = client.get("/api/v1/tasks", &query(args))?.good()?;
    let mut out = io::stdout().lock();
    if args.format.chosen() == Format::Json {
        writeln!(out, "{}", answer.body.trim_end())?;
        return Ok(Exit::Done);
    }
    let page: Page = answer.read()?;
    if args.format.chosen() == Format::Name {
        for task in &page.content {
            writeln!(out, "{}", task.id())?;
        }
        return Ok(Exit::Done);
    }
    let colour = Colour::choose(|name| around.variable(name));
    table(&mut out, &rows(&page.content), colour)?;
    if io::stderr().is_terminal() {
        let Page { number, total_pages, total_elements, .. } = page;
        note(&format!("page {number} of {total_pages} (from 0), {total_elements} tasks"));
    }
    Ok(Exit::Done)
}

fn query(args: &ListArgs) -> Vec<(&'static str, String)> {
    let number = |n: Option<u64>| n.map(|n| n.to_string());
    let all = [
        ("status", args.status.clone()),
        ("taskType", args.task_type.clone()),
        ("priority", args.priority.clone()),
        ("page", number(args.page)),
        ("size", number(args.size)),
        ("sort", args.sort.clone()),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

fn rows(tasks: &[Task]) -> Vec<Vec<String>> {
    let head = ["ID", "STATUS", "PRIORITY", "TYPE", "CREATED", "NAME"];
    let mut rows = vec![head.map(String::from).to_vec()];
    for task in tasks {
        let cell = |name: &str, max| safe(&task.field(name).unwrap_or_default(), max);
        rows.push(vec![
            task.id(),
            task.status(),
            cell("priority", 10),
            cell("taskType", 30),
            cell("createdAt", 24),
            cell("taskName", 60),
        ]);
    }
    rows
}
