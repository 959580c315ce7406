//! Submitting a file of tasks, slice by slice.
//!
//! Each slice is all or nothing. With `--key` each has a key of its own, made of that key and the
//! slice's number, so the same file sent again after an interruption makes no task twice.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;

use serde_json::value::RawValue;

use crate::cli::args::Format;
use crate::cli::client::{Client, NDJSON, Task};
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::note;

/// How many tasks go in one request: enough for full speed, few enough for a quick answer.
const SLICE_TASKS: usize = 1000;
/// How many bytes go in one request; servers take 16 MiB by default.
const SLICE_BYTES: usize = 8 * 1024 * 1024;
/// No server takes a longer task.
const LINE_BYTES_MAX: u64 = 2 * 1024 * 1024;

/// Submits every line of the file.
pub fn run(
    client: &Client,
    path: &Path,
    key: Option<&str>,
    format: Format,
) -> Result<Exit, Failure> {
    let named =
        |error: io::Error| Failure::new(Exit::Usage, format!("{}: {error}", path.display()));
    let mut lines: Lines = if path == Path::new("-") {
        Lines::new(Box::new(BufReader::new(io::stdin())))
    } else {
        Lines::new(Box::new(BufReader::new(File::open(path).map_err(named)?)))
    };
    let mut printer = Printer::new(format);
    let mut slices = 0;
    loop {
        let slice = lines.next_slice()?;
        if slice.numbers.is_empty() {
            break;
        }
        slices += 1;
        let key = key.map(|key| format!("{key}-{slices}"));
        let sent = send(client, &slice, key.as_deref()).and_then(|tasks| printer.print(&tasks));
        if let Err(failure) = sent {
            printer.end()?;
            return Err(after(printer.accepted, failure));
        }
    }
    printer.end()?;
    Ok(Exit::Done)
}

/// Says how much had been accepted before the failure: that stays.
fn after(accepted: u64, failure: Failure) -> Failure {
    match failure {
        Failure::Said { exit, message } if accepted > 0 => {
            let message = format!("{message}\n  the {accepted} tasks before it have been accepted");
            Failure::new(exit, message)
        }
        other => other,
    }
}

fn send(client: &Client, slice: &Slice, key: Option<&str>) -> Result<Vec<Box<RawValue>>, Failure> {
    let answer = client.post("/api/v1/tasks/batch", NDJSON, key, &slice.body)?;
    let wrong = answer.wrong_indexes();
    match answer.good() {
        Ok(answer) => answer.read(),
        Err(Failure::Said { exit, message }) => {
            let line = |index: &usize| slice.numbers.get(*index).map(u64::to_string);
            let mut lines: Vec<String> = wrong.iter().filter_map(line).take(20).collect();
            lines.dedup();
            let first = slice.numbers.first().copied().unwrap_or(0);
            let place = if lines.is_empty() {
                format!("the tasks from line {first}")
            } else {
                format!("line {}", lines.join(", "))
            };
            Err(Failure::new(exit, format!("{place}: {message}")))
        }
        Err(gone) => Err(gone),
    }
}

/// Some lines that go in one request.
struct Slice {
    body: Vec<u8>,
    /// The number of each line in the file, from 1.
    numbers: Vec<u64>,
}

/// The lines of a file; blank ones are counted and left out.
struct Lines {
    from: Box<dyn BufRead>,
    number: u64,
    /// A line that did not fit into the last slice.
    held: Option<Vec<u8>>,
}

impl Lines {
    fn new(from: Box<dyn BufRead>) -> Lines {
        Lines { from, number: 0, held: None }
    }

    fn next_slice(&mut self) -> Result<Slice, Failure> {
        let mut slice = Slice { body: Vec::new(), numbers: Vec::new() };
        while slice.numbers.len() < SLICE_TASKS {
            let line = match self.held.take() {
                Some(line) => line,
                None => match self.next_line()? {
                    Some(line) => line,
                    None => break,
                },
            };
            if !slice.body.is_empty() && slice.body.len() + line.len() > SLICE_BYTES {
                self.held = Some(line);
                break;
            }
            slice.body.extend_from_slice(&line);
            slice.body.push(b'\n');
            slice.numbers.push(self.number);
        }
        Ok(slice)
    }

    fn next_line(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        loop {
            let mut line = Vec::new();
            let read = self.from.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
            if read == 0 {
                return Ok(None);
            }
            self.number += 1;
            if read as u64 == LINE_BYTES_MAX && line.last() != Some(&b'\n') {
                let message = format!("line {} is longer than 2 MiB", self.number);
                return Err(Failure::new(Exit::Usage, message));
            }
            let line = line.trim_ascii();
            if !line.is_empty() {
                return Ok(Some(line.to_vec()));
            }
        }
    }
}

/// Prints what was accepted, slice by slice; in JSON as one array.
struct Printer {
    format: Format,
    accepted: u64,
    ids: Option<(String, String)>,
}

impl Printer {
    fn new(format: Format) -> Printer {
        Printer { format, accepted: 0, ids: None }
    }

    fn print(&mut self, tasks: &[Box<RawValue>]) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        for raw in tasks {
            match self.format {
                Format::Json => {
                    let before = if self.accepted == 0 { "[" } else { "," };
                    write!(out, "{before}{}", raw.get())?;
                }
                Format::Name => writeln!(out, "{}", id_of(raw)?)?,
                Format::Table => {
                    let id = id_of(raw)?;
                    let first = self.ids.take().map_or_else(|| id.clone(), |(first, _)| first);
                    self.ids = Some((first, id));
                }
            }
            self.accepted += 1;
        }
        Ok(())
    }

    fn end(&self) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        match (self.format, &self.ids) {
            (Format::Json, _) => writeln!(out, "{}]", if self.accepted == 0 { "[" } else { "" })?,
            (Format::Name, _) => note(&format!("{} tasks accepted", self.accepted)),
            (Format::Table, Some((first, last))) => {
                writeln!(out, "{} tasks accepted, ids {first} to {last}", self.accepted)?;
            }
            (Format::Table, None) => writeln!(out, "no tasks accepted")?,
        }
        Ok(())
    }
}

fn id_of(raw: &RawValue) -> Result<String, Failure> {
    let task: Result<Task, _> = serde_json::from_str(raw.get());
    Ok(task.map_err(|error| Failure::new(Exit::Failed, error.to_string()))?.id())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slices(text: &str) -> Vec<(String, Vec<u64>)> {
        let mut lines = Lines::new(Box::new(io::Cursor::new(text.to_owned())));
        let mut slices = Vec::new();
        loop {
            let slice = lines.next_slice().unwrap();
            if slice.numbers.is_empty() {
                return slices;
            }
            slices.push((String::from_utf8(slice.body).unwrap(), slice.numbers));
        }
    }

    #[test]
    fn blank_lines_are_left_out_and_numbers_are_those_of_the_file() {
        assert_eq!(slices("\n{\"a\":1}\r\n\n {} "), [("{\"a\":1}\n{}\n".into(), vec![2, 4])]);
        assert!(slices("").is_empty());
    }

    #[test]
    fn a_long_file_goes_in_slices_bounded_in_tasks_and_bytes() {
        let many = slices(&"{}\n".repeat(2500));
        assert_eq!(many.iter().map(|(_, n)| n.len()).collect::<Vec<_>>(), [1000, 1000, 500]);
        let long = format!("{}\n", "x".repeat(1024 * 1024 - 10));
        let lens: Vec<usize> =
            slices(&long.repeat(10)).iter().map(|(body, _)| body.len()).collect();
        assert!(lens.len() == 2 && lens[0] <= SLICE_BYTES + 1, "{lens:?}");
    }
}
