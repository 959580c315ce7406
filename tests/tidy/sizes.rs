//! Sizes: files, functions, lines.

use super::source::{Finding, Source};

pub const FILE_LINES_MAX: usize = 600;
pub const FUNCTION_LINES_MAX: usize = 70;
pub const LINE_COLUMNS_MAX: usize = 100;

pub fn long_files(source: &Source) -> Vec<Finding> {
    let lines = source.text.lines().count();
    if lines <= FILE_LINES_MAX {
        return Vec::new();
    }
    vec![Finding { line: lines, what: format!("{lines} lines") }]
}

pub fn long_lines(source: &Source) -> Vec<Finding> {
    let long = |(n, line): (usize, &str)| {
        let columns = line.chars().count();
        (columns > LINE_COLUMNS_MAX)
            .then(|| Finding { line: n + 1, what: format!("{columns} columns") })
    };
    source.text.lines().enumerate().filter_map(long).collect()
}

/// From the line of `fn` to the line of its closing brace, both counted.
pub fn long_functions(source: &Source) -> Vec<Finding> {
    let mut found = Vec::new();
    for at in source.find(&["fn"]).filter(|at| source.word(at + 1) != "(") {
        // Over the brackets of the signature, which may hold marks of their own.
        let mut open = at;
        while !matches!(source.word(open), "{" | ";" | "") {
            open = match source.word(open) {
                "(" | "[" => source.closing(open) + 1,
                _ => open + 1,
            };
        }
        if source.word(open) != "{" {
            continue;
        }
        let last = &source.tokens[source.closing(open)];
        let lines = last.line - source.tokens[at].line + 1;
        if lines > FUNCTION_LINES_MAX {
            let name = source.word(at + 1);
            found.push(source.finding(at, format!("`{name}` has {lines} lines")));
        }
    }
    found
}
