//! Workers outside: what they ask, and the tokens they show.

pub(crate) mod requests;
pub(crate) mod token;
