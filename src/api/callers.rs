//! Who may call from a browser, and under which names of this server.

/// Who may call, beside those with tokens.
#[derive(Debug, Clone, Default)]
pub struct Callers {
    /// The origins whose pages may call the API; `*` means all.
    pub origins: Vec<String>,
    /// The names this server goes by; empty: not checked.
    pub hosts: Vec<String>,
}

impl Callers {
    /// The names of a server that listens on this machine alone.
    pub fn local_hosts(more: &[String]) -> Vec<String> {
        let own = ["localhost", "127.0.0.1", "[::1]"].map(String::from);
        own.into_iter().chain(more.iter().map(|host| host.to_ascii_lowercase())).collect()
    }

    /// Whether the server goes by the name in a `Host` head.
    pub(super) fn knows_host(&self, host: &str) -> bool {
        let name = without_port(host).to_ascii_lowercase();
        // All of 127.0.0.0/8 is this machine.
        let loopback = name.parse::<std::net::Ipv4Addr>().is_ok_and(|ip| ip.is_loopback());
        let known = |own: &String| *own == "*" || *own == name;
        self.hosts.is_empty() || loopback || self.hosts.iter().any(known)
    }

    /// What `Access-Control-Allow-Origin` says to a page of this origin.
    pub(super) fn welcome<'o>(&self, origin: &'o str) -> Option<&'o str> {
        let any = self.origins.iter().any(|known| known == "*");
        if any {
            return Some("*");
        }
        let known = |known: &String| known.eq_ignore_ascii_case(origin);
        self.origins.iter().any(known).then_some(origin)
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_local_server_goes_by_local_names_and_those_it_is_given() {
        let hosts = Callers::local_hosts(&["Tasks.example".into()]);
        let callers = Callers { hosts, ..Callers::default() };
        for good in ["localhost:8080", "LOCALHOST", "127.0.0.1:1", "127.8.8.8", "[::1]:80"] {
            assert!(callers.knows_host(good), "{good}");
        }
        assert!(callers.knows_host("tasks.example:443"));
        for bad in ["", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "::1"] {
            assert!(!callers.knows_host(bad), "{bad}");
        }
        assert!(Callers::default().knows_host("anything"));
    }

    #[test]
    fn an_origin_is_welcome_when_it_is_named() {
        let origins = vec!["https://a.example".into()];
        let callers = Callers { origins, ..Callers::default() };
        assert_eq!(callers.welcome("https://a.example"), Some("https://a.example"));
        for other in ["http://a.example", "https://a.example.evil", "null", ""] {
            assert_eq!(callers.welcome(other), None, "{other}");
        }
        let all = Callers { origins: vec!["*".into()], ..Callers::default() };
        assert_eq!(all.welcome("null"), Some("*"));
    }
}
