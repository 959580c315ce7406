//! Throw-away PostgreSQL and Redis servers: each on a free loopback port, in a directory of its
//! own, and gone when the test is over, however it ends.
//!
//! A shell script keeps the server and listens to a pipe; when the pipe closes, because the server
//! was dropped or the test process died, it ends the server and removes the directory. A server
//! that happens to run on this machine is never touched.

mod keeper;
mod postgres;
mod proxy;
mod redis;

pub use crate::postgres::{Account, Cluster};
pub use crate::proxy::{Fault, Plan, Proxy, Way};
pub use crate::redis::RedisServer;
