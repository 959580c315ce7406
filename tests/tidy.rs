//! The house rules as a test: floors, sizes, words and what may be depended on.
//!
//! Each rule is one entry of a table with samples that it must catch and samples that it must let
//! pass, so a rule that has gone blind fails here before it lets anything through.
//! Absent on purpose: what the compiler, clippy or rustfmt already say.

mod tidy {
    pub mod circles;
    pub mod dependencies;
    pub mod floors;
    pub mod rules;
    pub mod sizes;
    pub mod source;
    pub mod words;
}

use std::path::Path;

use tidy::rules::{RULES, Sample};
use tidy::source::{Source, read_tree};
use tidy::{circles, dependencies};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn house() -> Vec<Source> {
    let sources = read_tree(root(), &["src", "tests", "benches"]);
    assert!(sources.len() > 20, "the rules saw only {} files", sources.len());
    sources
}

#[test]
fn every_file_keeps_every_rule() {
    let mut found = Vec::new();
    for source in house() {
        for rule in RULES {
            for finding in (rule.check)(&source) {
                let at = format!("{}:{}", source.path, finding.line);
                found.push(format!("{at}: {} [{}: {}]", finding.what, rule.name, rule.why));
            }
        }
    }
    assert!(found.is_empty(), "{} breaches:\n{}", found.len(), found.join("\n"));
}

#[test]
fn every_rule_catches_its_bad_samples_and_no_good_one() {
    for rule in RULES {
        let hits = |sample: &Sample| (rule.check)(&Source::parse(sample.path, &(sample.text)()));
        assert!(!rule.bad.is_empty(), "{} has no bad sample", rule.name);
        for (n, sample) in rule.bad.iter().enumerate() {
            assert!(!hits(sample).is_empty(), "{} lets bad sample {n} pass", rule.name);
        }
        for (n, sample) in rule.good.iter().enumerate() {
            assert!(hits(sample).is_empty(), "{} refuses good sample {n}", rule.name);
        }
    }
}

#[test]
fn the_modules_of_a_floor_do_not_import_each_other_in_a_circle() {
    let found = circles::find(&house());
    assert!(found.is_empty(), "circles:\n{}", found.join("\n"));
}

#[test]
fn a_circle_in_a_sample_floor_is_found() {
    let parse = |path: &str, text: &str| Source::parse(path, text);
    let line = [
        parse("src/queue/mod.rs", "pub use lanes::Lane;\nmod lanes;\nmod take;"),
        parse("src/queue/take.rs", "use super::Lane;"),
        parse("src/queue/lanes.rs", "#[cfg(test)] mod tests { use super::super::take::Core; }"),
    ];
    assert_eq!(circles::find(&line), Vec::<String>::new());
    let mut circle = line.to_vec();
    circle[2] = parse("src/queue/lanes.rs", "use crate::queue::take::Core;");
    assert_eq!(circles::find(&circle), ["src/queue: lanes -> take -> lanes"]);
}

#[test]
fn every_dependency_has_a_permitted_licence_and_source() {
    let policy = dependencies::Policy::read(&root().join("deny.toml"));
    let found = policy.breaches(&dependencies::metadata(root()));
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn a_foreign_licence_source_or_crate_is_refused() {
    let policy = dependencies::Policy::read(&root().join("deny.toml"));
    dependencies::check_samples(&policy);
}
