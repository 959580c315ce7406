//! What every test against a real server process needs: the process, a client, and a ledger.

pub mod book;
pub mod http;
pub mod random;
pub mod reckoning;
pub mod server;
