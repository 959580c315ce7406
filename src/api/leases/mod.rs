//! Workers outside, and what they ask.

pub(crate) mod requests;
