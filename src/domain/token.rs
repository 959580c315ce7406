//! Lease tokens: what a worker shows to speak for a lease.
//!
//! A token names the task, the claim and the length of the lease, and is signed with a number that
//! only the servers of one store know, so it holds on every node and after a restart, and nobody
//! can make one. Whether the lease still stands is the store's to say, not the token's.

use std::fmt::Write;

use sha2::{Digest, Sha256};

use super::{Epoch, Task, TaskId};

/// What a token says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseToken {
    /// The task.
    pub id: TaskId,
    /// The lease's claim.
    pub epoch: Epoch,
    /// For how long a heartbeat renews it, in milliseconds.
    pub lease_ms: u64,
}

impl LeaseToken {
    /// The token of a task that was just leased.
    pub fn of(task: &Task) -> LeaseToken {
        let state = &task.state;
        let begun = state.run.map_or(state.updated_at, |run| run.started_at);
        let lease_ms = state.leased_until.map_or(0, |until| until.since_ms(begun));
        LeaseToken { id: task.id, epoch: state.epoch, lease_ms }
    }

    /// The token as it goes over the wire.
    pub fn write(&self, key: &[u8; 16]) -> String {
        let LeaseToken { id, epoch, lease_ms } = *self;
        let mut text = format!("{id}.{}.{lease_ms}.", epoch.0);
        for byte in self.signature(key) {
            // Writing to a text cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        text
    }

    /// Reads a token; `None` if it is none of ours.
    pub fn read(text: &str, key: &[u8; 16]) -> Option<LeaseToken> {
        // Three numbers of at most 20 digits, three points and the signature.
        if text.len() > 96 {
            return None;
        }
        let mut parts = text.split('.');
        let id = TaskId::parse(parts.next()?).ok()?;
        let epoch = Epoch(parts.next()?.parse().ok()?);
        let token = LeaseToken { id, epoch, lease_ms: parts.next()?.parse().ok()? };
        // Compared as a whole text, so that there is one way to write a token; without a hurry at
        // the first difference, so that the time says nothing about the signature.
        let ours = token.write(key);
        let same_length = ours.len() == text.len();
        let differs = ours.bytes().zip(text.bytes()).fold(0, |sum, (a, b)| sum | (a ^ b));
        (same_length && differs == 0).then_some(token)
    }

    /// A digest over key and content, both of fixed length, cut to half: neither can be extended.
    fn signature(&self, key: &[u8; 16]) -> [u8; 16] {
        let mut digest = Sha256::new();
        digest.update(key);
        for number in [self.id.get(), self.epoch.0, self.lease_ms] {
            digest.update(number.to_be_bytes());
        }
        let mut half = [0; 16];
        half.copy_from_slice(&digest.finalize()[..16]);
        half
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 16] = [7; 16];

    #[test]
    fn a_token_is_read_back_and_any_change_of_it_makes_it_nobodys() {
        let token = LeaseToken { id: TaskId::new(42).unwrap(), epoch: Epoch(3), lease_ms: 30_000 };
        let text = token.write(&KEY);
        assert_eq!(LeaseToken::read(&text, &KEY), Some(token));
        assert_eq!(LeaseToken::read(&text, &[8; 16]), None);
        for (at, byte) in text.bytes().enumerate() {
            for other in [b'0', b'1', b'.', b'f'].into_iter().filter(|other| *other != byte) {
                let mut changed = text.clone().into_bytes();
                changed[at] = other;
                let changed = String::from_utf8(changed).unwrap();
                assert_eq!(LeaseToken::read(&changed, &KEY), None, "{changed}");
            }
            assert_eq!(LeaseToken::read(&text[..at], &KEY), None);
        }
        for odd in ["", "....", "42.3.30000", &"9".repeat(500), "42.03.30000.00"] {
            assert_eq!(LeaseToken::read(odd, &KEY), None);
        }
    }
}
