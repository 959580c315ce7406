//! Numbered steps of a schema: which there are, which were applied, and whether a program can work
//! with what they left. The same for every store that keeps one.
//!
//! A table in the store says which steps were applied, with a digest of each, so that one that was
//! edited afterwards is noticed. Every step says which programs can still work with what it leaves;
//! only an older program refuses the store.

use sha2::{Digest, Sha256};

use super::StoreError;
use crate::domain::TimeMs;

/// By how much the ids jump once a copy is restored. More tasks than this cannot have come in since
/// it was made, and there is room for two million such jumps.
pub const ID_JUMP: u64 = 1 << 32;

/// By how much the epochs jump: no task has been claimed that often since.
pub(super) const EPOCH_JUMP: i64 = 1_000_000;

/// What to do about a schema that is not the newest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Migrate {
    /// Bring it up to date.
    Apply,
    /// Refuse to work with it.
    Check,
}

/// One step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migration {
    /// Its number; they follow each other from 1.
    pub version: i64,
    /// What it is about.
    pub name: &'static str,
    /// The oldest version whose program can still work with the store after this step.
    pub compatible_from: i64,
    /// What it does.
    pub sql: &'static str,
}

/// A step that was applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// Its number.
    pub version: i64,
    /// Its name.
    pub name: String,
    /// When it was applied.
    pub at: TimeMs,
    /// The oldest version that can still work with the store.
    pub compatible_from: i64,
    pub(super) checksum: String,
}

/// How a store's schema stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Schema {
    /// The steps that were applied, in order.
    pub applied: Vec<Applied>,
    /// The steps that were not; their `sql` is what applying them would run.
    pub pending: Vec<Migration>,
    /// The newest version this program knows.
    known: i64,
    /// A step that was applied with another content than this program has.
    edited: Option<i64>,
}

impl Schema {
    /// The version of the schema; nought for an empty store.
    pub fn version(&self) -> i64 {
        self.applied.last().map_or(0, |last| last.version)
    }

    /// The schema in which these steps were applied, as a program that knows `known` sees it.
    pub(super) fn of(applied: Vec<Applied>, known: &[Migration]) -> Schema {
        let version = applied.last().map_or(0, |last| last.version);
        let pending = known.iter().filter(|step| step.version > version).copied().collect();
        let edited = applied.iter().find(|applied| {
            let step = known.iter().find(|step| step.version == applied.version);
            step.is_some_and(|step| checksum(step.sql) != applied.checksum)
        });
        let edited = edited.map(|applied| applied.version);
        let known = known.last().map_or(0, |last| last.version);
        Schema { applied, pending, known, edited }
    }

    /// The schema, if this program can work with it or bring it up to date.
    pub fn checked(self) -> Result<Schema, StoreError> {
        let needed = self.applied.iter().map(|step| step.compatible_from).max().unwrap_or(0);
        let (version, known) = (self.version(), self.known);
        if needed > known {
            return Err(StoreError::Unusable(format!(
                "its schema has version {version}, which needs a program of version {needed} at \
                 least; this one knows version {known}",
            )));
        }
        match self.edited {
            None => Ok(self),
            Some(version) => Err(StoreError::Unusable(format!(
                "migration {version} was applied with another content than this program has",
            ))),
        }
    }

    /// Refuses a schema that has steps before it.
    pub(super) fn current(&self) -> Result<(), StoreError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        Err(StoreError::Unusable(format!(
            "its schema has version {} and this program needs {}; apply the migrations first",
            self.version(),
            self.known,
        )))
    }
}

/// The digest of a step.
pub(super) fn checksum(sql: &str) -> String {
    use std::fmt::Write;
    let digest = Sha256::digest(sql.as_bytes());
    digest.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
