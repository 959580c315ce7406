//! Where a Redis is and how to enter it.

use std::fmt;

pub use crate::store::tls::Tls;

/// Where a Redis is and how to enter it.
#[derive(Clone)]
pub struct RedisAddress {
    /// The server; with `sentinel` the Sentinels, in the order in which they are asked.
    pub hosts: Vec<(String, u16)>,
    /// How the Sentinels call the server.
    pub sentinel: Option<Sentinel>,
    /// The user; empty for the server's default user.
    pub user: String,
    /// The password; empty for none.
    pub password: String,
    /// The number of the database.
    pub database: u16,
    /// How TLS is spoken; `None` for none.
    pub tls: Option<Tls>,
}

/// What the Sentinels are asked.
#[derive(Clone)]
pub struct Sentinel {
    /// The name under which they watch the server.
    pub name: String,
    /// Their own user; empty for their default user.
    pub user: String,
    /// Their own password; empty for none.
    pub password: String,
}

/// The address as people may see it.
impl fmt::Display for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls.is_some() { "rediss" } else { "redis" };
        let hosts: Vec<String> = self.hosts.iter().map(|(h, port)| format!("{h}:{port}")).collect();
        write!(f, "{scheme}://{}/{}", hosts.join(","), self.database)?;
        match &self.sentinel {
            Some(sentinel) => write!(f, " (Sentinel, {})", sentinel.name),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
