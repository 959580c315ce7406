//! The part of URLs that connection settings need: who, where, what, and further parameters.

use super::secret::{MASK, Secret};

/// A connection URL taken apart. What is wrong is said without repeating the URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// What stands before `://`, in lower case.
    pub scheme: String,
    /// The user, decoded; empty if none was named.
    pub user: String,
    /// The password, decoded.
    pub password: Secret,
    /// One or more `host[:port]`, separated by commas, as written.
    pub hosts: String,
    /// What follows the first slash, without it, decoded.
    pub path: String,
    /// The parameters in their order, decoded, without those that hold user and password.
    pub params: Vec<(String, String)>,
}

impl Url {
    /// Takes a URL apart.
    pub fn read(text: &str) -> Result<Url, String> {
        let (scheme, rest) = text.split_once("://").ok_or("must be a URL with ://")?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        // A raw slash in a password would make the rest of it a path, which outputs show.
        if path.contains('@') {
            return Err("has an @ behind a slash; in a password write / as %2F and @ as %40".into());
        }
        let (userinfo, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
        let mut url = Url {
            scheme: scheme.to_ascii_lowercase(),
            user: decode(user)?,
            password: Secret::new(decode(password)?),
            hosts: hosts.into(),
            path: decode(path)?,
            params: Vec::new(),
        };
        url.check_hosts()?;
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let is_account = matches!(key, "user" | "username" | "password");
            // The same with a raw question mark, which would make the rest of it parameters.
            if pair.contains('@') && !is_account {
                return Err("has an @ in a parameter; in a password write ? as %3F".into());
            }
            let (key, value) = (decode(key)?, decode(value)?);
            match key.as_str() {
                "user" | "username" => url.user = value,
                "password" => url.password = Secret::new(value),
                _ => url.params.push((key, value)),
            }
        }
        Ok(url)
    }

    fn check_hosts(&self) -> Result<(), String> {
        for host in self.hosts.split(',') {
            let after_brackets = host.rsplit_once(']').map_or(host, |(_, rest)| rest);
            let port = after_brackets.rsplit_once(':').map(|(_, port)| port);
            if port.is_some_and(|port| port.parse::<u16>().is_err()) {
                return Err("has a port that is not a number from 0 to 65535".into());
            }
            if host.chars().any(|c| c.is_whitespace() || c.is_control()) {
                return Err("has a host with a space in it".into());
            }
        }
        Ok(())
    }

    /// The URL as people may see it. Of the parameters only those known to be harmless are shown:
    /// a raw question mark in a password makes the rest of it a parameter.
    pub fn masked(&self) -> String {
        let password = if self.password.is_empty() { String::new() } else { format!(":{MASK}") };
        let at = if self.user.is_empty() && password.is_empty() { "" } else { "@" };
        let path = if self.path.is_empty() { String::new() } else { format!("/{}", self.path) };
        let shown = |(key, value): &(String, String)| {
            let harmless = HARMLESS.contains(&key.as_str()) && !value.contains('@');
            if harmless { format!("{key}={value}") } else { MASK.into() }
        };
        let params: Vec<String> = self.params.iter().map(shown).collect();
        let query =
            if params.is_empty() { String::new() } else { format!("?{}", params.join("&")) };
        let Url { scheme, user, hosts, .. } = self;
        format!("{scheme}://{user}{password}{at}{hosts}{path}{query}")
    }
}

/// Parameters whose values are no secrets.
const HARMLESS: [&str; 10] = [
    "application_name",
    "ca",
    "channel_binding",
    "connect_timeout",
    "currentSchema",
    "protocol",
    "sentinel",
    "ssl",
    "sslmode",
    "target_session_attrs",
];

/// Undoes percent-encoding.
fn decode(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|d| char::from(d).to_digit(16));
        let (Some(high), Some(low)) = (digit(), digit()) else {
            return Err("has a % that is not followed by two hexadecimal digits".into());
        };
        bytes.push((high * 16 + low) as u8);
    }
    let text = String::from_utf8(bytes).map_err(|_| "is not UTF-8 once decoded")?;
    if text.contains('\0') { Err("must not contain %00".into()) } else { Ok(text) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_part_is_found_and_decoded() {
        let url = Url::read("postgres://me%40x:p%3Aw@a:1,[::1]:2/db%20x?sslmode=off&password=q");
        let url = url.unwrap();
        assert_eq!((url.user.as_str(), url.hosts.as_str()), ("me@x", "a:1,[::1]:2"));
        assert_eq!((url.path.as_str(), url.password.reveal()), ("db x", "q"));
        assert_eq!(url.params, [("sslmode".into(), "off".into())]);
        assert_eq!(url.masked(), "postgres://me@x:********@a:1,[::1]:2/db x?sslmode=off");
    }

    #[test]
    fn what_is_wrong_is_said_without_the_text() {
        for bad in ["canary", "a://canary@h:x", "a://h:99999/canary", "a://canary%zz@h"] {
            let error = Url::read(bad).unwrap_err();
            assert!(!error.contains("canary"), "{error}");
        }
    }

    proptest! {
        /// Whatever a person writes as a password, encoded or not, no output shows it.
        #[test]
        fn no_password_is_shown(
            user in "[a-z0-9]{0,3}", password in "([a-z0-9]|[%@:/?&=#]|sslmode=){6,20}",
        ) {
            if let Ok(url) = Url::read(&format!("redis://{user}:{password}@h:1/0")) {
                let shown = format!("{} {:?}", url.masked(), url.password);
                prop_assert!(!shown.contains(&password), "{}", shown);
            }
        }
    }
}
