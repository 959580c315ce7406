//! JSON as this API needs it: read in one pass without a tree, written into a buffer.
//!
//! Reading is by hand because the contract asks for more than a deserialiser gives: every bad field
//! at once, duplicate keys refused, integers told from fractions, and payloads kept byte for byte.
//!
//! Absent on purpose: what the fields mean.

mod read;
mod write;

pub(crate) use read::{Kind, Scan, SyntaxError};
pub(crate) use write::{Json, push_number};
