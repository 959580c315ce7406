//! Where the server listens.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use super::setting::{Bare, Setting, must_be};

/// A place to listen at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// A TCP address.
    Tcp {
        /// An IP address or a host name, without brackets.
        host: String,
        /// The port; 0 lets the system choose.
        port: u16,
    },
    /// A Unix socket, for a proxy on the same host.
    Unix(PathBuf),
}

impl Listen {
    /// Whether only this machine can reach it. A host name other than `localhost` counts as
    /// reachable: what it stands for can change after the check.
    pub fn is_local(&self) -> bool {
        match self {
            Listen::Unix(_) => true,
            Listen::Tcp { host, .. } => {
                let ip = host.parse::<IpAddr>();
                ip.map_or(host.eq_ignore_ascii_case("localhost"), |ip| ip.is_loopback())
            }
        }
    }

    /// The same host with another port; a Unix path has none.
    pub fn with_port(&self, port: u16) -> Option<Listen> {
        match self {
            Listen::Tcp { host, .. } => Some(Listen::Tcp { host: host.clone(), port }),
            Listen::Unix(_) => None,
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Listen::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Listen::Tcp { host, port } => write!(f, "{host}:{port}"),
            Listen::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Setting for Listen {
    const FORM: &'static str = "an address with a port, such as 127.0.0.1:8080, [::1]:8080, \
        localhost:8080, or unix:/run/taskscheduler/http.sock";

    fn read(text: &str, _: Bare) -> Result<Listen, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            let fits = path.starts_with('/') && !path.contains('\0');
            return if fits { Ok(Listen::Unix(path.into())) } else { Err(must_be::<Listen>()) };
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(must_be::<Listen>)?;
        let port = port.parse().map_err(|_| must_be::<Listen>())?;
        let bracketed = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        let fits = match bracketed {
            Some(inner) => inner.parse::<std::net::Ipv6Addr>().is_ok(),
            None => !host.is_empty() && host.chars().all(is_host_char),
        };
        if !fits {
            return Err(must_be::<Listen>());
        }
        Ok(Listen::Tcp { host: bracketed.unwrap_or(host).into(), port })
    }

    fn write(&self) -> String {
        self.to_string()
    }
}

fn is_host_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_every_family_read_and_write_back() {
        let local =
            ["127.0.0.1:8080", "127.9.9.9:1", "[::1]:0", "localhost:80", "unix:/run/t.sock"];
        let open = ["0.0.0.0:8080", "[::]:8080", "10.0.0.1:80", "scheduler.example:80"];
        for (texts, is_local) in [(&local[..], true), (&open[..], false)] {
            for text in texts {
                let listen = Listen::read(text, Bare::Refused).unwrap();
                assert_eq!((listen.to_string().as_str(), listen.is_local()), (*text, is_local));
            }
        }
        for bad in ["8080", ":8080", "::1:80", "[1.2.3.4]:80", "a b:80", "h:70000", "unix:rel"] {
            assert!(Listen::read(bad, Bare::Refused).is_err(), "{bad}");
        }
    }
}
