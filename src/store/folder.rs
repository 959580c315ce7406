//! The data directory: its rights, the lock on it, and who the node is that lives there.
//!
//! Promise: only one server uses a directory, and a node keeps its identity as long as its
//! directory lasts.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rustix::fs::FlockOperation;

use super::StoreError;

const LOCK: &str = "lock";
const NODE_ID: &str = "node-id";

/// Makes the directory, for its owner alone.
pub(super) fn prepare(dir: &Path) -> Result<(), StoreError> {
    let unusable =
        |error: std::io::Error| StoreError::Unusable(format!("{}: {error}", dir.display()));
    if !dir.exists() {
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(unusable)?;
    }
    let meta = fs::metadata(dir).map_err(unusable)?;
    if !meta.is_dir() {
        return Err(StoreError::Unusable(format!("{} is no directory", dir.display())));
    }
    let ours = dir.join(LOCK).exists() || fs::read_dir(dir).map_err(unusable)?.next().is_none();
    if meta.permissions().mode() & 0o077 != 0 && ours {
        fs::set_permissions(dir, Permissions::from_mode(0o700)).map_err(unusable)?;
    } else if meta.permissions().mode() & 0o002 != 0 {
        // Not ours alone, so not ours to change; but who can write here can replace the store.
        return Err(StoreError::Unusable(format!("everybody can write to {}", dir.display())));
    }
    Ok(())
}

/// The right to use a data directory, held until dropped. The kernel gives it back however the
/// process ends, so holding it proves that the former holder is gone.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "held, not read")] File);

impl Lock {
    /// Takes the lock, or names who has it.
    pub(super) fn take(dir: &Path) -> Result<Lock, StoreError> {
        let path = dir.join(LOCK);
        let unusable =
            |error: std::io::Error| StoreError::Unusable(format!("{}: {error}", path.display()));
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(unusable)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut holder = String::new();
                // Who it is is a courtesy; that somebody has it is the answer.
                let _ = file.read_to_string(&mut holder);
                return Err(StoreError::Unusable(format!(
                    "another server uses {} (process {})",
                    dir.display(),
                    holder.trim(),
                )));
            }
            Err(error) => return Err(unusable(error.into())),
        }
        // On a full disk the number cannot be written; the lock holds all the same.
        let _ = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(Lock(file))
    }
}

/// Who the node is that lives in a directory whose lock is held: a number that no other node has,
/// drawn when the directory is new.
pub(super) fn node_id(dir: &Path) -> Result<u128, StoreError> {
    let path = dir.join(NODE_ID);
    let unusable = |what: &str| StoreError::Unusable(format!("{}: {what}", path.display()));
    match fs::read_to_string(&path) {
        Ok(text) => {
            return u128::from_str_radix(text.trim(), 16)
                .map_err(|_| unusable("is no identity of a node; delete it to draw a new one"));
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(unusable(&error.to_string())),
    }
    let mut random = [0; 16];
    File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut random))
        .map_err(|error| unusable(&format!("nothing to draw it from: {error}")))?;
    let number = u128::from_be_bytes(random);
    // Whole or not at all: a crash must not leave half an identity.
    let draft = dir.join("node-id.new");
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)
        .and_then(|mut file| {
            writeln!(file, "{number:032x}")?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&draft, &path))
        .map_err(|error| unusable(&error.to_string()))?;
    Ok(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_keeps_its_identity_and_no_two_are_the_same() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let id = node_id(one.path()).unwrap();
        assert_eq!(node_id(one.path()).unwrap(), id);
        assert_ne!(node_id(other.path()).unwrap(), id);
        fs::write(one.path().join(NODE_ID), "who?").unwrap();
        assert!(node_id(one.path()).is_err());
    }
}
