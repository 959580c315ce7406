//! Imports only look down, and the two neighbours never name each other.

use super::source::{Finding, Source};

/// Each floor's modules; a module may name what stands on lower floors, and its own.
pub const FLOORS: [&[&str]; 8] = [
    &["domain"],
    &["clock", "stop", "metrics"],
    &["queue", "store"],
    &["persistence"],
    &["execution"],
    &["engine"],
    &["api"],
    &["cli"],
];

/// Crates and standard modules that have one home: what, and where it may be named.
const HOMES: &[(&str, &[&str])] = &[
    ("rusqlite", &["store"]),
    ("r2d2", &["store"]),
    ("tiny_http", &["api"]),
    ("httparse", &["api"]),
    ("mio", &["api"]),
    ("core_affinity", &["execution"]),
    ("crossbeam_deque", &["queue"]),
    ("prometheus", &["api"]),
    ("subtle", &["api"]),
    ("flate2", &["api"]),
    ("clap", &["cli"]),
    ("sd_notify", &["cli"]),
    ("toml", &["cli"]),
    ("ureq", &["cli", "execution"]),
    ("signal_hook", &["engine", "cli"]),
];

/// What the lowest floor must not know: it holds values only.
const NOT_IN_DOMAIN: &[&str] =
    &["serde", "serde_json", "log", "crossbeam_channel", "rand", "jiff", "rustix"];
const NOT_IN_DOMAIN_STD: &[&str] = &["fs", "io", "net", "thread", "process", "env"];

fn floor(module: &str) -> Option<usize> {
    FLOORS.iter().position(|modules| modules.contains(&module))
}

/// A path in the code, as far as it can be resolved without types.
#[derive(Debug)]
pub struct Named {
    pub token: usize,
    /// From the crate's root: the top module first.
    pub path: Vec<String>,
    /// Inside `#[cfg(test)] mod ... { }`.
    pub in_tests: bool,
}

/// Every path that starts at `crate`, `$crate` or `super`, resolved from the crate's root.
pub fn names(source: &Source) -> Vec<Named> {
    let Some(module) = source.module() else { return Vec::new() };
    let home: Vec<String> = match module.as_slice() {
        ["lib" | "main"] => Vec::new(),
        parts => parts.iter().map(ToString::to_string).collect(),
    };
    let mut found = Vec::new();
    // One entry for each open brace; a module's brace carries its name.
    let mut open: Vec<Option<String>> = Vec::new();
    let mut tests_depth = None;
    for at in 0..source.tokens.len() {
        match source.word(at) {
            "{" => {
                let opens_module = at >= 2 && source.word(at - 2) == "mod";
                let name = opens_module.then(|| source.word(at - 1).to_owned());
                if name.as_deref() == Some("tests") && tests_depth.is_none() {
                    tests_depth = Some(open.len());
                }
                open.push(name);
            }
            "}" => {
                open.pop();
                tests_depth = tests_depth.filter(|depth| *depth < open.len());
            }
            "crate" | "super" if source.word(at + 1) == "::" => {
                // A later `super` of a chain belongs to its first one.
                let continues = at > 0 && source.word(at - 1) == "::";
                if !continues {
                    let inline: Vec<String> = open.iter().flatten().cloned().collect();
                    let here = [home.clone(), inline].concat();
                    let in_tests = tests_depth.is_some() || source.path.ends_with("tests.rs");
                    let paths = resolve(source, at, here);
                    found.extend(paths.into_iter().map(|(token, path)| Named {
                        token,
                        path,
                        in_tests,
                    }));
                }
            }
            _ => {}
        }
    }
    found
}

fn resolve(source: &Source, mut at: usize, here: Vec<String>) -> Vec<(usize, Vec<String>)> {
    let mut base = if source.word(at) == "crate" { Vec::new() } else { here };
    while source.word(at) == "super" {
        base.pop();
        at += 2;
    }
    if source.word(at) == "crate" {
        at += 2;
    }
    let mut found = Vec::new();
    follow(source, at, base, &mut found);
    found
}

/// Follows a path, and every branch of a group, to its ends. Returns the token after it.
fn follow(
    source: &Source,
    mut at: usize,
    mut path: Vec<String>,
    found: &mut Vec<(usize, Vec<String>)>,
) -> usize {
    let start = at;
    loop {
        if source.word(at) == "{" && (at == start || source.word(at - 1) == "::") {
            let end = source.closing(at);
            at += 1;
            while at < end {
                at = follow(source, at, path.clone(), found).max(at + 1);
                while at < end && source.word(at) != "," {
                    at += 1;
                }
                at += 1;
            }
            return end + 1;
        }
        if source.word(at) != "self" {
            path.push(source.word(at).to_owned());
        }
        if source.word(at + 1) != "::" {
            found.push((at, path));
            return at + 1;
        }
        at += 2;
    }
}

pub fn upward_imports(source: &Source) -> Vec<Finding> {
    let Some(module) = source.module() else { return Vec::new() };
    let top = module[0];
    if matches!(top, "lib" | "main") {
        return Vec::new();
    }
    let Some(own) = floor(top) else {
        return vec![Finding { line: 1, what: format!("`{top}` stands on no floor") }];
    };
    let mut found = Vec::new();
    for named in names(source) {
        let Some(target) = named.path.first() else { continue };
        match floor(target) {
            None => {
                let what = format!("`{target}` stands on no floor");
                found.push(source.finding(named.token, what));
            }
            Some(other) if target != top && other >= own => {
                let what = format!("`{top}` names `{target}`");
                found.push(source.finding(named.token, what));
            }
            Some(_) => {}
        }
    }
    for at in source.find(&["taskscheduler", "::"]) {
        found.push(source.finding(at, "the crate names itself from outside"));
    }
    found
}

pub fn foreign_crates(source: &Source) -> Vec<Finding> {
    let Some(module) = source.module() else { return Vec::new() };
    let top = module[0];
    let mut found = Vec::new();
    for at in source.find(&["::"]).filter(|at| *at > 0) {
        let name = source.word(at - 1);
        let reads = name == "env" && source.word(at + 1).starts_with("var");
        if reads && top != "cli" && source.is_product() {
            found.push(source.finding(at, "the environment is read below `cli`"));
        }
        // What follows names the first part of a path only.
        if at >= 2 && source.word(at - 2) == "::" {
            continue;
        }
        if HOMES.iter().any(|(krate, homes)| *krate == name && !homes.contains(&top)) {
            found.push(source.finding(at, format!("`{top}` names `{name}`")));
        }
        let std_module = if name == "std" { source.word(at + 1) } else { "" };
        let banned = NOT_IN_DOMAIN.contains(&name) || NOT_IN_DOMAIN_STD.contains(&std_module);
        if top == "domain" && banned {
            found.push(source.finding(at, format!("`domain` names `{name}::{std_module}`")));
        }
    }
    found
}
