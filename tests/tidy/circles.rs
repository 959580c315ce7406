//! No circle of imports between the modules of one folder.
//!
//! The folder's own `mod.rs` is left out: it holds the re-exports, so it names everybody. A name
//! it re-exports counts as the module that it comes from. Tests may look anywhere.

use std::collections::{BTreeMap, BTreeSet};

use super::floors::names;
use super::source::Source;

/// Edges left out because two modules need each other by their nature: a message carries the
/// receipt that its answer goes to.
const TIED: &[(&str, &str, &str)] = &[("persistence", "message", "receipt")];

type Graph = BTreeMap<String, BTreeSet<String>>;

pub fn find(sources: &[Source]) -> Vec<String> {
    let mut folders: BTreeMap<Vec<String>, Graph> = BTreeMap::new();
    let exports = exports(sources);
    for source in sources {
        let Some(module) = source.module() else { continue };
        let is_folder = source.path.ends_with("/mod.rs");
        for named in names(source).into_iter().filter(|named| !named.in_tests) {
            let from: Vec<String> = module.iter().map(ToString::to_string).collect();
            let to = through_exports(&exports, named.path);
            let same = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
            // Both must have a module below the folder that they share; the file's last part is a
            // module, the path's last part may be an item, which makes it no edge of a deeper one.
            let deep_enough = from.len() > same && to.len() > same + 1;
            let own_child = is_folder && from.len() == same;
            if same == 0 || !deep_enough || own_child {
                continue;
            }
            if TIED.contains(&(from[0].as_str(), from[same].as_str(), to[same].as_str())) {
                continue;
            }
            let graph = folders.entry(from[..same].to_vec()).or_default();
            graph.entry(from[same].clone()).or_default().insert(to[same].clone());
        }
    }
    let circle = |(folder, graph): (&Vec<String>, &Graph)| {
        first_circle(graph).map(|way| format!("src/{}: {}", folder.join("/"), way.join(" -> ")))
    };
    folders.iter().filter_map(circle).collect()
}

/// Where each name that a `mod.rs` re-exports comes from: full public path to full real path.
fn exports(sources: &[Source]) -> BTreeMap<Vec<String>, Vec<String>> {
    let mut found = BTreeMap::new();
    for source in sources.iter().filter(|source| source.path.ends_with("/mod.rs")) {
        let Some(module) = source.module() else { continue };
        let folder: Vec<String> = module.iter().map(ToString::to_string).collect();
        for at in source.find(&["use"]) {
            let child = source.word(at + 1).to_owned();
            if source.word(at + 2) != "::" || matches!(child.as_str(), "crate" | "super" | "std") {
                continue;
            }
            let end = (at..source.tokens.len()).find(|at| source.word(*at) == ";");
            for item in at + 3..end.unwrap_or(source.tokens.len()) {
                let name = source.word(item);
                if name.starts_with(|c: char| c.is_alphabetic()) {
                    let with = |tail: &[&str]| {
                        let tail = tail.iter().map(ToString::to_string);
                        folder.iter().cloned().chain(tail).collect::<Vec<_>>()
                    };
                    found.insert(with(&[name]), with(&[&child, name]));
                }
            }
        }
    }
    found
}

fn through_exports(
    exports: &BTreeMap<Vec<String>, Vec<String>>,
    mut path: Vec<String>,
) -> Vec<String> {
    for length in 1..=path.len() {
        if let Some(real) = exports.get(&path[..length]) {
            path.splice(..length, real.iter().cloned());
            break;
        }
    }
    path
}

fn first_circle(graph: &Graph) -> Option<Vec<String>> {
    graph.keys().find_map(|start| {
        let mut way = vec![start.clone()];
        walk(graph, start, start, &mut way, &mut BTreeSet::new()).then_some(way)
    })
}

fn walk(
    graph: &Graph,
    start: &str,
    from: &str,
    way: &mut Vec<String>,
    seen: &mut BTreeSet<String>,
) -> bool {
    for next in graph.get(from).into_iter().flatten() {
        way.push(next.clone());
        if next == start {
            return true;
        }
        if seen.insert(next.clone()) && walk(graph, start, next, way, seen) {
            return true;
        }
        way.pop();
    }
    false
}
