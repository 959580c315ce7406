//! Where the database is, how to enter it, and what is asked of every connection to it.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use postgres::config::{SslMode, TargetSessionAttrs};
use postgres::{Client, Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::store::StoreError;
use crate::store::tls::Tls;

/// Where a database is and how to enter it, as a person says it.
#[derive(Clone, Default)]
pub struct Address {
    /// One or more `host[:port]`, separated by commas.
    pub hosts: String,
    /// The role; empty for the name of the database.
    pub user: String,
    /// Its password; empty for none.
    pub password: String,
    /// The database; empty for the name of the role.
    pub database: String,
    /// What else a URL says, such as `sslmode`.
    pub params: Vec<(String, String)>,
}

/// A database that connections can be made to.
#[derive(Clone)]
pub struct Target {
    config: Config,
    tls: Option<MakeRustlsConnect>,
    shown: String,
}

/// The oldest server that works, as it numbers itself.
const VERSION_MIN: i32 = 13_00_00;

/// What was found out about a server when a connection was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Server {
    /// As it calls itself.
    pub(super) version: String,
    /// The settings without which a commit does not survive a power cut, if they are off.
    pub(super) unsafe_settings: Vec<&'static str>,
}

impl Target {
    /// A target for this address. What is wrong with it is said without its password.
    pub fn new(address: &Address) -> Result<Target, StoreError> {
        let mut config = Config::new();
        for host in address.hosts.split(',') {
            let (host, port) = host_and_port(host)?;
            config.host(&host).port(port);
        }
        if address.hosts.contains(',') {
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        let (user, database) = (&address.user, &address.database);
        let user = if user.is_empty() { database } else { user };
        let database = if database.is_empty() { user } else { database };
        if user.is_empty() {
            return Err(StoreError::Unusable("the database URL names no user".into()));
        }
        config.user(user).dbname(database);
        if !address.password.is_empty() {
            config.password(&address.password);
        }
        // A server that went without a word is noticed by the system, not waited for.
        config
            .connect_timeout(Duration::from_secs(3))
            .tcp_user_timeout(Duration::from_secs(10))
            .keepalives_idle(Duration::from_secs(10))
            .keepalives_interval(Duration::from_secs(3));
        let tls = tls(&address.params)?;
        config.ssl_mode(if tls.is_some() { SslMode::Require } else { SslMode::Disable });
        let shown = format!("{database} on {}", address.hosts);
        Ok(Target { config, tls, shown })
    }

    /// A connection. `role` is what it is for, as the server shows it.
    pub(super) fn connect(&self, role: &str) -> Result<Client, StoreError> {
        let mut config = self.config.clone();
        config.application_name(&format!("taskscheduler {role}"));
        let connected = match &self.tls {
            Some(tls) => config.connect(tls.clone()),
            None => config.connect(NoTls),
        };
        connected.map_err(refused)
    }

    /// A connection that can write, with everything set that a writer wants, and what is behind it.
    pub(super) fn connect_writer(&self, role: &str) -> Result<(Client, Server), StoreError> {
        let mut client = self.connect(role)?;
        let server = inspect(&mut client)?;
        client.batch_execute(WRITER_SETTINGS)?;
        Ok((client, server))
    }

    /// Connections for a pool.
    pub(super) fn pooled(&self) -> (Config, Option<MakeRustlsConnect>) {
        let mut config = self.config.clone();
        config.application_name("taskscheduler read");
        (config, self.tls.clone())
    }
}

/// The database and its server, without secrets.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

/// What every session that writes is told. The plans are those of a table that is never scanned: a
/// fresh table without statistics is otherwise planned with scans, which cost half the rate.
pub(super) const WRITER_SETTINGS: &str = "
    SET lock_timeout = '2s';
    SET statement_timeout = '30s';
    SET idle_in_transaction_session_timeout = '30s';
    SET enable_seqscan = off;
    SET enable_hashjoin = off;
    SET enable_mergejoin = off;
    SET enable_material = off;
    SET jit = off;
    SET plan_cache_mode = force_generic_plan;
    SET client_min_messages = error";

/// Looks at a server: too old ones and those that cannot write are refused.
fn inspect(client: &mut Client) -> Result<Server, StoreError> {
    let row = client.query_one(
        "SELECT current_setting('server_version_num')::integer, current_setting('server_version'),
             pg_is_in_recovery() OR current_setting('default_transaction_read_only')::boolean,
             current_setting('fsync')::boolean, current_setting('full_page_writes')::boolean,
             current_setting('synchronous_commit')",
        &[],
    )?;
    let (number, version): (i32, String) = (row.get(0), row.get(1));
    if number < VERSION_MIN {
        let why = format!("the server is PostgreSQL {version}; at least PostgreSQL 13 is needed");
        return Err(StoreError::Unusable(why));
    }
    if row.get(2) {
        return Err(StoreError::Unavailable("the server is a standby and cannot write".into()));
    }
    // Ours to choose for each session, whatever the server's own setting is.
    if row.get::<_, &str>(5) == "off" {
        client.batch_execute("SET synchronous_commit = on")?;
    }
    let settings = [("fsync", row.get(3)), ("full_page_writes", row.get(4))];
    let off = settings.into_iter().filter(|(_, on): &(_, bool)| !on);
    Ok(Server { version, unsafe_settings: off.map(|(name, _)| name).collect() })
}

/// Why no connection was made: a wrong name or password will not come right by itself.
fn refused(error: postgres::Error) -> StoreError {
    let hopeless =
        error.code().is_some_and(|code| matches!(code.code(), "28000" | "28P01" | "3D000"));
    match StoreError::from(error) {
        StoreError::Unavailable(why) if hopeless => StoreError::Unusable(why),
        other => other,
    }
}

fn host_and_port(text: &str) -> Result<(String, u16), StoreError> {
    let wrong = || StoreError::Unusable(format!("{text} is no host and port"));
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse().map_err(|_| wrong())?),
        _ => (text, 5432),
    };
    // A folder with the server's socket, as it must be written in a URL.
    let host = host.replace("%2F", "/").replace("%2f", "/");
    Ok((host.trim_start_matches('[').trim_end_matches(']').to_owned(), port))
}

/// Whether the URL asks for TLS. Where it does, the certificate and the name are always checked:
/// an encrypted line to somebody unknown protects nothing.
fn tls(params: &[(String, String)]) -> Result<Option<MakeRustlsConnect>, StoreError> {
    let of = |name: &str| params.iter().find(|(key, _)| key == name).map(|(_, value)| &**value);
    for name in ["sslcert", "sslkey"] {
        if of(name).is_some() {
            return Err(StoreError::Unusable(format!("{name}: client certificates are not taken")));
        }
    }
    let wanted = match of("sslmode") {
        Some("require" | "verify-ca" | "verify-full") => true,
        Some("disable" | "allow" | "prefer") => false,
        Some(_) => {
            return Err(StoreError::Unusable(
                "sslmode must be disable, require or verify-full".into(),
            ));
        }
        None => of("ssl").is_some_and(|ssl| ssl.is_empty() || ssl == "true"),
    };
    if !wanted {
        return Ok(None);
    }
    let tls = Tls::believing(of("sslrootcert").map(Path::new));
    let Tls(config) = tls.map_err(|why| StoreError::Unusable(format!("TLS: failed to {why}")))?;
    Ok(Some(MakeRustlsConnect::new((*config).clone())))
}
