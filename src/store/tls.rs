//! TLS to the servers behind a store.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

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
