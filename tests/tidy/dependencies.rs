//! Licences, sources and banned crates of everything this machine builds from, by `deny.toml`.
//!
//! `cargo deny` says more and runs where it is installed. This part needs only cargo itself, so it
//! runs everywhere and reads the same file.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

pub struct Policy {
    licences: Vec<String>,
    registries: Vec<String>,
    banned: Vec<String>,
}

impl Policy {
    pub fn read(path: &Path) -> Policy {
        let text = std::fs::read_to_string(path).expect("deny.toml");
        let table: toml::Table = text.parse().expect("deny.toml is TOML");
        let list = |section: &str, key: &str| -> Vec<String> {
            let items = table[section][key].as_array().expect("a list");
            let name = |item: &toml::Value| match item {
                toml::Value::Table(entry) => entry["crate"].as_str().map(str::to_owned),
                other => other.as_str().map(str::to_owned),
            };
            items.iter().map(|item| name(item).expect("a name")).collect()
        };
        Policy {
            licences: list("licenses", "allow"),
            registries: list("sources", "allow-registry"),
            banned: list("bans", "deny"),
        }
    }

    /// What this package list does that the policy does not permit.
    pub fn breaches(&self, metadata: &Value) -> Vec<String> {
        let packages = metadata["packages"].as_array().expect("packages");
        assert!(!packages.is_empty(), "cargo named no packages");
        packages.iter().filter_map(|package| self.breach(package)).collect()
    }

    fn breach(&self, package: &Value) -> Option<String> {
        let name = package["name"].as_str().unwrap_or_default();
        let licence = package["license"].as_str().unwrap_or_default();
        if !self.permits(licence) {
            return Some(format!("{name}: licence `{licence}`"));
        }
        if self.banned.iter().any(|banned| banned == name) {
            return Some(format!("{name}: banned"));
        }
        // The package itself has no source: it is here.
        let source = package["source"].as_str()?;
        let known = |url: &String| source.strip_prefix("registry+") == Some(url);
        (!self.registries.iter().any(known)).then(|| format!("{name}: source {source}"))
    }

    /// An SPDX expression holds if one of its `OR` branches has only permitted `AND` parts.
    fn permits(&self, expression: &str) -> bool {
        let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
        let words: Vec<&str> = spaced.split_whitespace().collect();
        let mut at = 0;
        let holds = self.any_of(&words, &mut at);
        holds && at == words.len()
    }

    fn any_of(&self, words: &[&str], at: &mut usize) -> bool {
        let mut holds = self.all_of(words, at);
        while words.get(*at) == Some(&"OR") {
            *at += 1;
            holds |= self.all_of(words, at);
        }
        holds
    }

    fn all_of(&self, words: &[&str], at: &mut usize) -> bool {
        let mut holds = self.one(words, at);
        while words.get(*at) == Some(&"AND") {
            *at += 1;
            holds &= self.one(words, at);
        }
        holds
    }

    fn one(&self, words: &[&str], at: &mut usize) -> bool {
        if words.get(*at) == Some(&"(") {
            *at += 1;
            let holds = self.any_of(words, at);
            let closed = words.get(*at) == Some(&")");
            *at += 1;
            return holds && closed;
        }
        let Some(name) = words.get(*at) else { return false };
        *at += 1;
        let mut name = (*name).to_owned();
        if words.get(*at) == Some(&"WITH") {
            name = format!("{name} WITH {}", words.get(*at + 1).unwrap_or(&""));
            *at += 2;
        }
        self.licences.contains(&name)
    }
}

/// What cargo builds from on this machine, by the lock file and without the network.
pub fn metadata(root: &Path) -> Value {
    let rustc = Command::new("rustc").arg("-vV").output().expect("rustc runs");
    let version = String::from_utf8(rustc.stdout).expect("rustc writes UTF-8");
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).expect("a host line");
    let cargo = std::env::var_os("CARGO").expect("cargo runs the tests");
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--locked", "--offline"])
        .args(["--filter-platform", host])
        .current_dir(root)
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo writes JSON")
}

/// The policy sees what it should: one sample for each kind of breach, and its good twin.
pub fn check_samples(policy: &Policy) {
    let crates_io = format!("registry+{}", policy.registries[0]);
    let breaches = |name: &str, licence: Option<&str>, source: &str| {
        let package = json!({ "name": name, "license": licence, "source": source });
        policy.breaches(&json!({ "packages": [package] })).len()
    };
    assert_eq!(breaches("a", Some("MIT/Apache-2.0"), &crates_io), 0);
    assert_eq!(breaches("a", Some("(GPL-3.0 OR MIT) AND Unicode-3.0"), &crates_io), 0);
    assert_eq!(breaches("a", Some("GPL-3.0-only"), &crates_io), 1);
    assert_eq!(breaches("a", Some("MIT AND GPL-3.0-only"), &crates_io), 1);
    assert_eq!(breaches("a", Some("(MIT"), &crates_io), 1);
    assert_eq!(breaches("a", None, &crates_io), 1);
    assert_eq!(breaches("a", Some("MIT"), "git+https://example.org/a"), 1);
    assert_eq!(breaches(&policy.banned[0], Some("MIT"), &crates_io), 1);
}
