//! What can go wrong with the second level. None of it is an error of the whole: it costs speed.

use redis::{ErrorKind, RedisError, ServerErrorKind};

/// Why Redis did not do as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Level2Error {
    /// It does not answer, or not in time.
    #[error("reach Redis: {0}")]
    Unreachable(String),
    /// It is none that can be used, and will not become one: a Cluster, too old.
    #[error("use this Redis: {0}")]
    Unfit(String),
    /// It answers, but cannot now: it loads, is a replica, wants another password.
    #[error("work with Redis: {0}")]
    Unready(String),
    /// It answers, and this one call failed: no memory, a key of another type, not permitted.
    #[error("do this in Redis: {0}")]
    Odd(String),
    /// It was not asked, because it did not answer just before.
    #[error("ask Redis: it failed a moment ago")]
    Resting,
}

/// What an error of the protocol means.
impl From<RedisError> for Level2Error {
    fn from(error: RedisError) -> Level2Error {
        use ServerErrorKind::{BusyLoading, ClusterDown, MasterDown, Moved, NoPerm, ReadOnly};
        let text = error.to_string();
        match error.kind() {
            ErrorKind::Io => Level2Error::Unreachable(text),
            ErrorKind::Parse => Level2Error::Unreachable(format!("it speaks nonsense: {text}")),
            ErrorKind::Server(Moved | ClusterDown) => Level2Error::Unfit(NO_CLUSTER.into()),
            ErrorKind::Server(BusyLoading | MasterDown | ReadOnly) => Level2Error::Unready(text),
            ErrorKind::Server(NoPerm) => Level2Error::Odd(text),
            ErrorKind::AuthenticationFailed => Level2Error::Unready(text),
            _ if matches!(error.code(), Some("NOAUTH" | "WRONGPASS")) => Level2Error::Unready(text),
            _ => Level2Error::Odd(text),
        }
    }
}

pub(super) const NO_CLUSTER: &str =
    "it is a Redis Cluster; name one server, or Sentinels with ?sentinel=NAME";
