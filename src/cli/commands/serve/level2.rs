//! The second level, from the configuration.

use std::path::Path;
use std::sync::Arc;

use super::settings::seed;
use crate::cli::config::{Config, RedisUrl, Url};
use crate::clock::Clock;
use crate::store::Store;
use crate::store::redis::{Level2, Level2Error, Level2Settings, RedisAddress, Sentinel, Tls};

/// The Redis beside `store`, if one is configured. One that does not answer stops no start, because
/// it costs only speed; one that never can be used does, because nobody would notice.
pub(super) fn level2(
    config: &Config,
    store: &mut dyn Store,
    clock: &Arc<dyn Clock>,
) -> Result<Option<Arc<Level2>>, String> {
    let RedisUrl::Server(url) = &config.redis.url else { return Ok(None) };
    let settings = Level2Settings {
        address: address(url)?,
        patience: config.redis.timeout_ms,
        pool_max: config.redis.pool_max,
        ttl: config.redis.document_ttl,
        secret: store.signing_key().map_err(|error| format!("failed to {error}"))?,
        seed: seed(clock.now()),
    };
    let level2 = Level2::new(settings, Arc::clone(clock));
    match level2.greet() {
        Ok(greeting) => log::info!("Redis {} at {}", greeting.version, url.masked()),
        Err(error @ Level2Error::Unfit(_)) => return Err(format!("failed to {error}")),
        Err(error) => log::warn!("failed to {error}; it is tried again, and costs only speed"),
    }
    Ok(Some(Arc::new(level2)))
}

pub(in crate::cli::commands) fn address(url: &Url) -> Result<RedisAddress, String> {
    let param = |name: &str| {
        let found = url.params.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.clone())
    };
    let sentinel = param("sentinel").map(|name| Sentinel {
        name,
        user: param("sentinel_username").unwrap_or_default(),
        password: param("sentinel_password").unwrap_or_default(),
    });
    let port = if sentinel.is_some() { 26_379 } else { 6379 };
    let tls = (url.scheme == "rediss").then(|| {
        Tls::believing(param("ca").as_deref().map(Path::new))
            .map_err(|error| format!("failed to {error}"))
    });
    Ok(RedisAddress {
        hosts: url.hosts.split(',').map(|host| host_and_port(host, port)).collect(),
        sentinel,
        user: url.user.clone(),
        password: url.password.reveal().into(),
        database: url.path.parse().unwrap_or(0),
        tls: tls.transpose()?,
    })
}

/// Takes `host`, `host:port`, `[::1]` and `[::1]:port` apart; the URL was checked before.
fn host_and_port(text: &str, port: u16) -> (String, u16) {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, digits)) if !digits.contains(']') => (host, digits.parse().unwrap_or(port)),
        _ => (text, port),
    };
    (host.trim_start_matches('[').trim_end_matches(']').into(), port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_url_leads_to_its_servers() {
        let of = |text: &str| address(&Url::read(text).unwrap()).unwrap();
        let plain = of("redis://user:p%40ss@cache/3");
        assert_eq!(plain.hosts, [("cache".into(), 6379)]);
        assert_eq!((plain.user.as_str(), plain.password.as_str()), ("user", "p@ss"));
        assert_eq!((plain.database, plain.tls.is_some()), (3, false));
        assert!(!format!("{plain:?}").contains("p@ss"));
        let watched = of("redis://a,[::1]:7,b:8/0?sentinel=main&sentinel_password=x");
        let hosts = [("a".into(), 26_379), ("::1".into(), 7), ("b".into(), 8)];
        assert_eq!(watched.hosts, hosts);
        let sentinel = watched.sentinel.unwrap();
        assert_eq!((sentinel.name.as_str(), sentinel.password.as_str()), ("main", "x"));
        assert!(address(&Url::read("rediss://a?ca=/nowhere.pem").unwrap()).is_err());
    }
}
