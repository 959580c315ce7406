//! Which Redis stands beside the store.

use std::fmt;

use super::setting::{Bare, Setting, must_be};
use super::url::Url;

/// The Redis that was asked for.
#[derive(Clone, PartialEq, Eq)]
pub enum RedisUrl {
    /// None.
    None,
    /// A server.
    Server(Url),
}

impl Setting for RedisUrl {
    const FORM: &'static str = "none, redis://host:6379/0 or rediss://host:6379/0";

    fn read(text: &str, _: Bare) -> Result<RedisUrl, String> {
        if text == "none" {
            return Ok(RedisUrl::None);
        }
        let url = Url::read(text).map_err(|wrong| format!("{wrong}; {}", must_be::<Self>()))?;
        let known = matches!(url.scheme.as_str(), "redis" | "rediss") && !url.hosts.is_empty();
        let database = url.path.is_empty() || url.path.parse::<u16>().is_ok();
        if known && database { Ok(RedisUrl::Server(url)) } else { Err(must_be::<Self>()) }
    }

    fn write(&self) -> String {
        match self {
            RedisUrl::None => "none".into(),
            RedisUrl::Server(url) => url.masked(),
        }
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.write())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redis_url_reads_and_hides_its_password() {
        let shown = |text| RedisUrl::read(text, Bare::Refused).ok().map(|url| url.write());
        assert_eq!(shown("none").as_deref(), Some("none"));
        assert_eq!(shown("redis://:pw@r:6379/2").as_deref(), Some("redis://:********@r:6379/2"));
        for bad in ["r:6379", "http://r", "redis://", "redis://r/x", "redis://r:x"] {
            assert_eq!(shown(bad), None, "{bad}");
        }
    }
}
