//! The database that the configuration names, as the store wants it.

use crate::cli::config::{Config, Url};
use crate::store::StoreError;
use crate::store::postgres::{Address, Target};

/// The target of a PostgreSQL URL; what it does not say is taken from the settings beside it.
pub fn target(config: &Config, url: &Url) -> Result<Target, StoreError> {
    let or = |text: &str, other: &str| if text.is_empty() { other.into() } else { text.to_owned() };
    let beside = &config.database;
    Target::new(&Address {
        hosts: url.hosts.clone(),
        user: or(&url.user, &beside.username),
        password: or(url.password.reveal(), beside.password.reveal()),
        database: url.path.clone(),
        params: url.params.clone(),
    })
}
