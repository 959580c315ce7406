//! Where a Redis is and how to enter it.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

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

/// How TLS is spoken: which authorities are believed. The server's name is always checked.
#[derive(Clone)]
pub struct Tls(pub(super) Arc<rustls::ClientConfig>);

impl Tls {
    /// Believes the authorities in this PEM file, or those of the system.
    pub fn believing(authorities: Option<&Path>) -> Result<Tls, String> {
        let mut roots = rustls::RootCertStore::empty();
        if let Some(file) = authorities {
            let failed = |error: &dyn fmt::Display| format!("read {}: {error}", file.display());
            for found in CertificateDer::pem_file_iter(file).map_err(|error| failed(&error))? {
                let found = found.map_err(|error| failed(&error))?;
                roots.add(found).map_err(|error| failed(&error))?;
            }
        } else {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        if roots.is_empty() {
            return Err("find a certificate authority to believe".into());
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("set up TLS: {error}"))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Tls(Arc::new(config)))
    }
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
