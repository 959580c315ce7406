//! What is printed on standard output, and how.

use std::io::{self, IsTerminal, Write};

/// Whether words are coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// Only on a terminal that can, and only if nobody objects.
    On,
    /// Never.
    Off,
}

impl Colour {
    /// Decides for standard output; `variable` reads the environment.
    pub fn choose<'v>(variable: impl Fn(&str) -> Option<&'v str>) -> Colour {
        let unwanted = variable("NO_COLOR").is_some() || variable("TERM") == Some("dumb");
        if !unwanted && io::stdout().is_terminal() { Colour::On } else { Colour::Off }
    }

    /// A status in its colour.
    pub fn status(self, status: &str) -> String {
        let code = match status {
            "COMPLETED" | "UP" => 32,
            "FAILED" | "DOWN" => 31,
            "RETRYING" => 33,
            "RUNNING" => 36,
            _ => 0,
        };
        if code == 0 { status.into() } else { self.paint(status, code) }
    }

    /// A word in the colour that terminals know by this code.
    pub fn paint(self, word: &str, code: u8) -> String {
        match self {
            Colour::Off => word.into(),
            Colour::On => format!("\x1b[{code}m{word}\x1b[0m"),
        }
    }
}

/// A text from the server made safe for a terminal: no control characters, and not too long.
pub fn safe(text: &str, chars_max: usize) -> String {
    let shown = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    let mut safe: String = text.chars().map(shown).take(chars_max).collect();
    if text.chars().nth(chars_max).is_some() {
        safe.pop();
        safe.push('…');
    }
    safe
}

/// Prints rows in columns as wide as their widest cell; the last column is left ragged. The
/// column called STATUS is coloured.
pub fn table(out: &mut impl Write, rows: &[Vec<String>], colour: Colour) -> io::Result<()> {
    let Some(head) = rows.first() else { return Ok(()) };
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    for row in rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let padding = widths[column].saturating_sub(cell.chars().count());
            let is_status = head[column] == "STATUS";
            line.push_str(&if is_status { colour.status(cell) } else { cell.clone() });
            if column + 1 < row.len() {
                line.push_str(&" ".repeat(padding + 2));
            }
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// Says something about the output to the person who reads it; never part of the data.
pub fn note(message: &str) {
    // Nobody left to tell is no reason to fail.
    let _ = writeln!(io::stderr(), "{message}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_the_last_one_is_ragged() {
        let rows = [vec!["ID".into(), "NAME".into()], vec!["1000".into(), "ä".into()]];
        let mut out = Vec::new();
        table(&mut out, &rows, Colour::Off).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "ID    NAME\n1000  ä\n");
    }

    #[test]
    fn a_task_name_cannot_steer_the_terminal() {
        assert_eq!(safe("a\x1b[31mb\nc", 20), "a\u{fffd}[31mb\u{fffd}c");
        assert_eq!(safe("abcdef", 4), "abc…");
        assert_eq!(safe("abcd", 4), "abcd");
    }

    #[test]
    fn colour_stands_only_where_it_says_something() {
        assert_eq!(Colour::On.status("FAILED"), "\x1b[31mFAILED\x1b[0m");
        assert_eq!(Colour::On.status("QUEUED"), "QUEUED");
        assert_eq!(Colour::Off.status("FAILED"), "FAILED");
    }
}
