//! One file for each command; each has one function that the command line calls.

pub mod backup;
pub mod cancel;
pub mod completions;
pub mod config;
mod database;
pub mod doctor;
pub mod get;
pub mod health;
pub mod list;
pub mod man;
pub mod migrate;
pub mod retry;
pub mod serve;
pub mod submit;
pub mod types;
pub mod version;
pub mod worker;
