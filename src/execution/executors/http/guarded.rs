//! Name resolution that gives no address inside the house, unless it may.
//!
//! What comes out of here is what is dialled, so a name that resolves to another address a moment
//! later makes no difference.

use std::io;
use std::time::Duration;

use ureq::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{NextTimeout, time};

use super::address::is_public;

#[derive(Debug)]
pub(super) struct Guarded {
    inner: DefaultResolver,
    allow_private: bool,
}

impl Guarded {
    /// Nobody waits longer for a name; the system does not let a look-up be cancelled.
    const PATIENCE: Duration = Duration::from_secs(10);

    pub fn new(allow_private: bool) -> Guarded {
        Guarded { inner: DefaultResolver::default(), allow_private }
    }
}

impl Resolver for Guarded {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let patience = time::Duration::Exact(Self::PATIENCE);
        let timeout = NextTimeout { after: timeout.after.min(patience), ..timeout };
        let found = self.inner.resolve(uri, config, timeout)?;
        let mut allowed = self.empty();
        for &address in &found {
            if self.allow_private || is_public(address.ip()) {
                allowed.push(address);
            }
        }
        if allowed.is_empty() {
            let host = uri.host().unwrap_or_default();
            let why = format!("{host} has only addresses that are private or reserved");
            return Err(Error::Io(io::Error::new(io::ErrorKind::PermissionDenied, why)));
        }
        Ok(allowed)
    }
}
