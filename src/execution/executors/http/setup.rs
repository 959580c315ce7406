//! What to post to, and within which bounds.

use std::fmt;

use ureq::http::{HeaderName, HeaderValue, Uri};

/// An endpoint.
#[derive(Debug, Clone)]
pub struct HttpSetup {
    pub(super) url: String,
    host: String,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    /// Signs what is sent; `None`: nothing is signed.
    pub secret: Option<SigningKey>,
    /// Whether addresses inside the house may be dialled: private, loopback, link-local.
    pub allow_private: bool,
    /// The most bytes of an answer.
    pub response_bytes_max: usize,
}

/// A key for signatures, which no output shows.
#[derive(Clone)]
pub struct SigningKey(Box<[u8]>);

impl SigningKey {
    /// A key of these bytes.
    pub fn new(bytes: impl Into<Box<[u8]>>) -> SigningKey {
        SigningKey(bytes.into())
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey")
    }
}

impl HttpSetup {
    /// Heads that are the executor's own.
    const OWN: &[&str] = &[
        "content-type",
        "content-length",
        "host",
        "transfer-encoding",
        "connection",
        "user-agent",
    ];

    /// An endpoint; an error says what is wrong with its URL.
    pub fn new(url: &str) -> Result<HttpSetup, String> {
        let uri: Uri =
            url.parse().map_err(|_| "must be a URL like https://host/path".to_owned())?;
        let port = match uri.scheme_str() {
            Some("http") => 80,
            Some("https") => 443,
            _ => return Err("must begin with http:// or https://".into()),
        };
        let authority = uri.authority().ok_or("names no host")?;
        if authority.as_str().contains('@') {
            return Err("must hold no user and password: use headers".into());
        }
        if uri.host().is_none_or(str::is_empty) {
            return Err("names no host".into());
        }
        let host = format!("{}:{}", authority.host(), authority.port_u16().unwrap_or(port));
        Ok(HttpSetup {
            url: url.into(),
            host,
            headers: Vec::new(),
            secret: None,
            allow_private: false,
            response_bytes_max: 64 * 1024,
        })
    }

    /// Adds a head to each request.
    pub fn add_header(&mut self, name: &str, value: &str) -> Result<(), String> {
        let lower = name.to_ascii_lowercase();
        if Self::OWN.contains(&lower.as_str()) || lower.starts_with("task-") {
            return Err(format!("must not hold {name}: that is set for each request"));
        }
        let name = HeaderName::from_bytes(lower.as_bytes());
        let name = name.map_err(|_| "must hold names of heads".to_owned())?;
        let value = HeaderValue::from_str(value);
        let mut value = value.map_err(|_| format!("must hold printable text for {name}"))?;
        value.set_sensitive(true);
        self.headers.push((name, value));
        Ok(())
    }

    /// The host with its port: what a breaker guards.
    pub fn host(&self) -> &str {
        &self.host
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_a_host_and_no_password() {
        assert_eq!(HttpSetup::new("https://a.example/x?y=1").unwrap().host(), "a.example:443");
        assert_eq!(HttpSetup::new("http://[::1]:81/").unwrap().host(), "[::1]:81");
        for bad in ["", "a.example", "ftp://a.example/", "http://u:p@a.example/", "http:///x"] {
            assert!(HttpSetup::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn heads_of_our_own_are_not_for_the_configuration_and_no_value_is_shown() {
        let mut setup = HttpSetup::new("http://a.example/").unwrap();
        setup.secret = Some(SigningKey::new(*b"canary"));
        setup.add_header("Authorization", "Bearer canary").unwrap();
        assert!(!format!("{setup:?}").contains("canary"));
        for bad in ["Task-Id", "Host", "Content-Length", "a b", ""] {
            assert!(setup.add_header(bad, "x").is_err(), "{bad}");
        }
        assert!(setup.add_header("X-A", "a\r\nb: c").is_err());
    }
}
