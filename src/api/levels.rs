//! How much is logged, and by whom; it can be changed while the server runs.
//!
//! Whoever logs asks the `log` crate's one number first, so what is off costs nothing; only what
//! passes that looks here.

use std::sync::{PoisonError, RwLock};

use log::LevelFilter;

/// What may be logged.
#[derive(Debug)]
pub struct Levels(RwLock<Table>);

#[derive(Debug)]
struct Table {
    root: LevelFilter,
    /// Parts of the program with a level of their own.
    own: Vec<(String, LevelFilter)>,
}

impl Levels {
    /// What the whole program is called.
    pub const ROOT: &'static str = "ROOT";
    /// How many parts can have a level of their own.
    pub const OWN_MAX: usize = 100;

    /// Everything up to `root`; takes effect at once.
    pub fn new(root: LevelFilter) -> Levels {
        log::set_max_level(root);
        Levels(RwLock::new(Table { root, own: Vec::new() }))
    }

    /// Whether a line of this part of the program is written.
    pub fn allows(&self, target: &str, level: log::Level) -> bool {
        level <= self.table().level(target)
    }

    /// The level of a part, its own or the one it is under.
    pub fn effective(&self, name: &str) -> LevelFilter {
        self.table().level(name)
    }

    /// The whole program and the parts with levels of their own.
    pub fn configured(&self) -> Vec<(String, LevelFilter)> {
        let table = self.table();
        [(Self::ROOT.to_owned(), table.root)].into_iter().chain(table.own.clone()).collect()
    }

    /// Gives a part a level of its own, or with `None` takes it away; `false`: too many have one.
    pub fn set(&self, name: &str, level: Option<LevelFilter>) -> bool {
        let mut table = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if name == Self::ROOT {
            table.root = level.unwrap_or(LevelFilter::Info);
        } else {
            table.own.retain(|(known, _)| known != name);
            if let Some(level) = level {
                if table.own.len() >= Self::OWN_MAX {
                    return false;
                }
                table.own.push((name.to_owned(), level));
            }
        }
        let most = table.own.iter().map(|(_, level)| *level).fold(table.root, Ord::max);
        log::set_max_level(most);
        true
    }

    fn table(&self) -> std::sync::RwLockReadGuard<'_, Table> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Levels {
    fn default() -> Levels {
        let table = Table { root: log::max_level(), own: Vec::new() };
        Levels(RwLock::new(table))
    }
}

impl Table {
    /// The level of the longest name that this part is, or is in.
    fn level(&self, target: &str) -> LevelFilter {
        let holds = |name: &str| {
            target.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
        };
        let own = self.own.iter().filter(|(name, _)| holds(name));
        own.max_by_key(|(name, _)| name.len()).map_or(self.root, |(_, level)| *level)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use log::Level;

    #[test]
    fn a_part_has_its_own_level_or_that_of_what_it_is_in() {
        let levels = Levels(RwLock::new(Table { root: LevelFilter::Info, own: Vec::new() }));
        assert!(levels.set("house::api", Some(LevelFilter::Debug)));
        assert!(levels.set("house::api::gate", Some(LevelFilter::Error)));
        for (target, level, written) in [
            ("house::engine", Level::Info, true),
            ("house::engine", Level::Debug, false),
            ("house::api", Level::Debug, true),
            ("house::api::desk", Level::Debug, true),
            ("house::apix", Level::Debug, false),
            ("house::api::gate", Level::Warn, false),
        ] {
            assert_eq!(levels.allows(target, level), written, "{target} {level}");
        }
        assert!(levels.set("house::api::gate", None));
        assert!(levels.allows("house::api::gate", Level::Debug));
    }

    #[test]
    fn how_many_parts_have_a_level_is_bounded() {
        let levels = Levels(RwLock::new(Table { root: LevelFilter::Info, own: Vec::new() }));
        let set = |n: usize| levels.set(&format!("part{n}"), Some(LevelFilter::Warn));
        assert!((0..Levels::OWN_MAX).all(set) && !set(Levels::OWN_MAX));
        assert!(set(3), "one that has a level can change it");
    }
}
