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

/// What a URL may say beside the server: the name by which Sentinels know it, how to enter these,
/// and a file with the certificate authorities that are believed.
const PARAMS: [&str; 4] = ["sentinel", "sentinel_username", "sentinel_password", "ca"];

impl Setting for RedisUrl {
    const FORM: &'static str = "none, redis://host:6379/0 or rediss://host:6379/0";

    fn read(text: &str, _: Bare) -> Result<RedisUrl, String> {
        if text == "none" {
            return Ok(RedisUrl::None);
        }
        let url = Url::read(text).map_err(|wrong| format!("{wrong}; {}", must_be::<Self>()))?;
        let known = matches!(url.scheme.as_str(), "redis" | "rediss") && !url.hosts.is_empty();
        let database = url.path.is_empty() || url.path.parse::<u16>().is_ok();
        if !(known && database) {
            return Err(must_be::<Self>());
        }
        for (param, _) in &url.params {
            if !PARAMS.contains(&param.as_str()) {
                return Err(format!("knows the parameters {} and no other", PARAMS.join(", ")));
            }
        }
        let param = |name: &str| url.params.iter().any(|(param, _)| param == name);
        if url.hosts.contains(',') && !param("sentinel") {
            return Err("names several hosts: that is for Sentinels, with ?sentinel=NAME".into());
        }
        if param("ca") && url.scheme != "rediss" {
            return Err("names a certificate authority, and only rediss:// uses one".into());
        }
        Ok(RedisUrl::Server(url))
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
        let watched = "redis://a:1,b:2/0?sentinel=main";
        assert_eq!(shown(watched).as_deref(), Some(watched));
        for bad in ["redis://a,b", "redis://a?ca=x", "redis://a?sentinal=x"] {
            assert_eq!(shown(bad), None, "{bad}");
        }
        for bad in ["r:6379", "http://r", "redis://", "redis://r/x", "redis://r:x"] {
            assert_eq!(shown(bad), None, "{bad}");
        }
    }
}
