//! What a server says of itself when a connection is made, and whether it can be used.

use std::sync::Arc;

use redis::Value;

use super::error::{Level2Error, NO_CLUSTER};
use super::line::{self, Line};

/// The oldest version that can be used.
const OLDEST: (u32, u32) = (6, 0);

/// What a server says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Greeting {
    /// Its version.
    pub version: String,
    /// Standalone, cluster or sentinel.
    pub mode: String,
    /// Whether it follows another server, so that writing to it fails and reading it is late.
    pub is_replica: bool,
    /// Different for each run of each server.
    pub run: Arc<str>,
    /// Most bytes it takes; nought for no limit.
    pub memory_max: u64,
    /// What it throws away where that is reached.
    pub eviction: String,
}

impl Greeting {
    /// Asks for it.
    pub(super) fn of(line: &mut Line) -> Result<Greeting, Level2Error> {
        // One section each: older servers take no more.
        let mut ask = redis::pipe();
        for section in ["server", "replication", "memory"] {
            ask.cmd("INFO").arg(section);
        }
        let told = Value::Array(line::run(line, &ask)?);
        let (server, replication, memory): (String, String, String) = redis::from_redis_value(told)
            .map_err(|error| {
                Level2Error::Unreachable(format!("it says nothing of itself: {error}"))
            })?;
        Ok(Greeting::read(&server, &replication, &memory))
    }

    /// Reads what the sections of that name say.
    pub fn read(server: &str, replication: &str, memory: &str) -> Greeting {
        let mode = field(server, "redis_mode").unwrap_or("standalone");
        let role = field(replication, "role").unwrap_or_default();
        Greeting {
            version: field(server, "redis_version").unwrap_or_default().into(),
            mode: mode.into(),
            is_replica: matches!(role, "slave" | "replica"),
            run: field(server, "run_id").unwrap_or_default().into(),
            memory_max: field(memory, "maxmemory").and_then(|it| it.parse().ok()).unwrap_or(0),
            eviction: field(memory, "maxmemory_policy").unwrap_or("unknown").into(),
        }
    }

    /// Whether the server can be used.
    pub(super) fn check(&self) -> Result<(), Level2Error> {
        let unfit = |why: String| Err(Level2Error::Unfit(why));
        match self.mode.as_str() {
            "cluster" => return unfit(NO_CLUSTER.into()),
            "sentinel" => return unfit("it is a Sentinel; add ?sentinel=NAME to its URL".into()),
            _ => {}
        }
        let mut parts = self.version.split('.').map(|part| part.parse::<u32>().ok());
        let Some(Some(major)) = parts.next() else {
            return Err(Level2Error::Unready("it does not say its version".into()));
        };
        if (major, parts.next().flatten().unwrap_or(0)) < OLDEST {
            let (major, minor) = OLDEST;
            let version = &self.version;
            return unfit(format!("it is Redis {version}, and {major}.{minor} is the oldest used"));
        }
        if self.is_replica {
            return Err(Level2Error::Unready("it is a replica, and cannot be written".into()));
        }
        Ok(())
    }
}

fn field<'t>(told: &'t str, name: &str) -> Option<&'t str> {
    told.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(version: &str, mode: &str, role: &str) -> Result<(), Level2Error> {
        let server = format!("# Server\r\nredis_version:{version}\r\nredis_mode:{mode}\r\n");
        Greeting::read(&server, &format!("# Replication\r\nrole:{role}\r\n"), "").check()
    }

    #[test]
    fn clusters_sentinels_replicas_and_old_servers_are_refused_by_name() {
        assert_eq!(of("6.0.16", "standalone", "master"), Ok(()));
        assert_eq!(of("8.2.0", "standalone", "master"), Ok(()));
        let said = |version, mode, role| of(version, mode, role).unwrap_err().to_string();
        assert!(said("5.0.14", "standalone", "master").contains("5.0.14"));
        assert!(said("7.0.15", "cluster", "master").contains("Cluster"));
        assert!(said("7.0.15", "sentinel", "master").contains("Sentinel"));
        assert!(said("7.0.15", "standalone", "slave").contains("replica"));
        assert!(said("", "standalone", "master").contains("version"));
    }
}
