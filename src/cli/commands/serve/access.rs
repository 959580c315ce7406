//! Who may use the API, as it is configured.

use crate::api::{Access, Callers};
use crate::cli::config::{Config, Listen};

/// The tokens of the configuration.
pub(super) fn access(config: &Config) -> Access {
    Access::new(config.api.tokens.0.clone())
}

/// Which pages may call, and under which names. Names are looked at only where nothing but the
/// address keeps strangers out: on a TCP port of this machine.
pub(super) fn callers(config: &Config) -> Callers {
    let named = &config.api.allowed_hosts;
    let local = matches!(config.api.listen, Listen::Tcp { .. }) && config.api.listen.is_local();
    let hosts = if local || !named.is_empty() { Callers::local_hosts(named) } else { Vec::new() };
    Callers { origins: config.api.cors_origins.clone(), hosts }
}
