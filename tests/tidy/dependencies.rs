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
    banned: Vec<Ban>,
}

struct Ban {
    name: String,
    /// The packages that may use it nevertheless; nobody if there are none.
    wrappers: Vec<String>,
}

impl Policy {
    pub fn read(path: &Path) -> Policy {
        let text = std::fs::read_to_string(path).expect("deny.toml");
        let table: toml::Table = text.parse().expect("deny.toml is TOML");
        let names = |list: &toml::Value| -> Vec<String> {
            let items = list.as_array().expect("a list").iter();
            items.map(|item| item.as_str().expect("a name").to_owned()).collect()
        };
        let ban = |entry: &toml::Value| Ban {
            name: entry["crate"].as_str().expect("a name").to_owned(),
            wrappers: entry.get("wrappers").map(names).unwrap_or_default(),
        };
        let banned = table["bans"]["deny"].as_array().expect("a list");
        Policy {
            licences: names(&table["licenses"]["allow"]),
            registries: names(&table["sources"]["allow-registry"]),
            banned: banned.iter().map(ban).collect(),
        }
    }

    /// What this package list does that the policy does not permit.
    pub fn breaches(&self, metadata: &Value) -> Vec<String> {
        let packages = metadata["packages"].as_array().expect("packages");
        assert!(!packages.is_empty(), "cargo named no packages");
        let mut breaches: Vec<String> =
            packages.iter().filter_map(|package| self.breach(package)).collect();
        for ban in &self.banned {
            breaches.extend(ban.breaches(packages, &metadata["resolve"]));
        }
        breaches
    }

    fn breach(&self, package: &Value) -> Option<String> {
        let name = package["name"].as_str().unwrap_or_default();
        let licence = package["license"].as_str().unwrap_or_default();
        if !self.permits(licence) {
            return Some(format!("{name}: licence `{licence}`"));
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

impl Ban {
    /// Who uses the package without leave; the package itself where nobody has leave.
    fn breaches(&self, packages: &[Value], resolve: &Value) -> Vec<String> {
        let is_banned = |package: &&Value| package["name"] == *self.name;
        let Some(package) = packages.iter().find(is_banned) else { return Vec::new() };
        if self.wrappers.is_empty() {
            return vec![format!("{}: banned", self.name)];
        }
        let name_of = |id: &Value| {
            let package = packages.iter().find(|package| package["id"] == *id);
            package.and_then(|package| package["name"].as_str()).unwrap_or("?").to_owned()
        };
        let nodes = resolve["nodes"].as_array().map(Vec::as_slice).unwrap_or_default();
        let uses = |node: &&Value| {
            let needed = node["dependencies"].as_array();
            needed.is_some_and(|needed| needed.contains(&package["id"]))
        };
        let users = nodes.iter().filter(uses).map(|node| name_of(&node["id"]));
        let without_leave = users.filter(|user| !self.wrappers.contains(user));
        without_leave.map(|user| format!("{user}: uses {}, which is banned", self.name)).collect()
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
    let ban = |free: bool| {
        let fits = |ban: &&Ban| ban.wrappers.is_empty() != free;
        policy.banned.iter().find(fits).expect("a ban of either kind")
    };
    assert_eq!(breaches(&ban(false).name, Some("MIT"), &crates_io), 1);
    let wrapped = ban(true);
    let users = |user: &str| {
        let package =
            |name: &str| json!({ "id": name, "name": name, "license": "MIT", "source": crates_io });
        let node = |name: &str, needs: &[&str]| json!({ "id": name, "dependencies": needs });
        let nodes = [node(user, &[wrapped.name.as_str()]), node(&wrapped.name, &[])];
        let packages = [package(user), package(&wrapped.name)];
        let tree = json!({ "packages": packages, "resolve": { "nodes": nodes } });
        policy.breaches(&tree).len()
    };
    assert_eq!(users(&wrapped.wrappers[0]), 0);
    assert_eq!(users("another"), 1);
}
