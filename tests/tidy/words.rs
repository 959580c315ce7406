//! Names that say nothing, and escapes from the compiler's own rules.

use super::source::{Finding, Source};

/// Words that may stand nowhere in a name.
const EMPTY_WORDS: &[&str] =
    &["manager", "util", "utils", "common", "helper", "helpers", "misc", "stuff"];
/// Words that may be part of a name but not all of it.
const EMPTY_NAMES: &[&str] = &["data", "info"];
/// Files that may hold `unsafe`, each with its reason in its header.
const UNSAFE_FILES: &[&str] = &["benches/engine.rs"];

const DEFINERS: &[&str] =
    &["mod", "struct", "enum", "trait", "type", "fn", "const", "static", "union", "macro_rules"];

pub fn empty_names(source: &Source) -> Vec<Finding> {
    let mut found = Vec::new();
    for part in source.path.split('/') {
        let name = part.strip_suffix(".rs").unwrap_or(part);
        if is_empty_name(name, true) {
            found.push(Finding { line: 1, what: format!("the path part `{part}`") });
        }
    }
    for at in 1..source.tokens.len() {
        let definer = source.word(at - 1);
        let holds_things = !matches!(definer, "fn" | "const" | "static");
        if DEFINERS.contains(&definer) && is_empty_name(source.word(at), holds_things) {
            found.push(source.finding(at, format!("the name `{}`", source.word(at))));
        }
    }
    found
}

/// `holds_things` is true for modules and types, which must not be called just `data` either.
fn is_empty_name(name: &str, holds_things: bool) -> bool {
    let words = words_of(name);
    let whole = words.len() == 1 && EMPTY_NAMES.contains(&words[0].as_str());
    (whole && holds_things) || words.iter().any(|word| EMPTY_WORDS.contains(&word.as_str()))
}

/// The words of a name in either case: `LaneTable` and `lane_table` are `lane`, `table`.
fn words_of(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut begin = true;
    let shouts = !name.chars().any(char::is_lowercase);
    for c in name.chars() {
        if !c.is_alphanumeric() {
            begin = true;
            continue;
        }
        if begin || (c.is_uppercase() && !shouts) {
            words.push(String::new());
        }
        begin = false;
        words.last_mut().expect("a word was begun").extend(c.to_lowercase());
    }
    words
}

pub fn silenced_lints(source: &Source) -> Vec<Finding> {
    let mut found = Vec::new();
    for row in [&["#", "[", "allow"][..], &["#", "!", "[", "allow"]] {
        for at in source.find(row) {
            found.push(source.finding(at, "`allow` hides; use `expect` with its reason"));
        }
    }
    for at in source.find(&["expect", "("]) {
        let attribute = at >= 2 && source.word(at - 1) == "[" || source.word(at.max(1) - 1) == ",";
        let in_attribute = attribute && matches!(source.word(at.max(2) - 2), "#" | "!" | ")");
        let end = source.closing(at + 1);
        if in_attribute && !(at..end).any(|at| source.word(at) == "reason") {
            found.push(source.finding(at, "`expect` without its reason"));
        }
    }
    found
}

pub fn unfinished_code(source: &Source) -> Vec<Finding> {
    let mut found = Vec::new();
    for word in ["todo", "unimplemented", "dbg"] {
        for at in source.find(&[word, "!"]) {
            found.push(source.finding(at, format!("`{word}!`")));
        }
    }
    for row in [&["#", "[", "ignore"][..], &["#", "[", "should_panic", "]"]] {
        for at in source.find(row) {
            found.push(source.finding(at, format!("`{}`", row[2])));
        }
    }
    found
}

pub fn unsafe_code(source: &Source) -> Vec<Finding> {
    if UNSAFE_FILES.contains(&source.path.as_str()) {
        return Vec::new();
    }
    source.find(&["unsafe"]).map(|at| source.finding(at, "`unsafe`")).collect()
}

pub fn unbounded_queues(source: &Source) -> Vec<Finding> {
    let mut found = Vec::new();
    if !source.is_product() {
        return found;
    }
    for row in [&["unbounded", "("][..], &["mpsc", "::", "channel"]] {
        for at in source.find(row) {
            found.push(source.finding(at, "a queue without a limit"));
        }
    }
    found
}

/// The file opens by saying what it owns; `lib.rs` does it with the page it includes.
pub fn headless_files(source: &Source) -> Vec<Finding> {
    let first = source.text.lines().next().unwrap_or_default();
    if first.starts_with("//! ") || first.starts_with("#![doc = include_str!(") {
        return Vec::new();
    }
    vec![Finding { line: 1, what: format!("opens with `{first}`") }]
}
