//! Which store keeps the tasks.

use std::fmt;

use super::setting::{Bare, Setting};
use super::url::Url;

/// The store that was asked for.
#[derive(Clone, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// The embedded store in the data directory.
    Sqlite,
    /// A PostgreSQL server.
    Postgres(Url),
}

impl Setting for DatabaseUrl {
    const FORM: &'static str = "sqlite, postgres://user@host/database or \
        jdbc:postgresql://host/database";

    fn read(text: &str, _: Bare) -> Result<DatabaseUrl, String> {
        if matches!(text, "sqlite" | "sqlite:" | "sqlite://") {
            return Ok(DatabaseUrl::Sqlite);
        }
        if text.starts_with("sqlite:") {
            return Err(
                "must be just sqlite: the file stands in the directory named by data".into()
            );
        }
        if let Some(name) = text.strip_prefix("jdbc:") {
            return jdbc(name);
        }
        postgres(Url::read(text).map_err(|wrong| format!("{wrong}; {}", must_be_url()))?)
    }

    fn write(&self) -> String {
        match self {
            DatabaseUrl::Sqlite => "sqlite".into(),
            DatabaseUrl::Postgres(url) => url.masked(),
        }
    }
}

/// The four forms of pgjdbc: `postgresql:name`, `postgresql:/`, and with `//` a host and a port.
fn jdbc(text: &str) -> Result<DatabaseUrl, String> {
    let rest = text.strip_prefix("postgresql:").ok_or_else(must_be_url)?;
    let rest = match rest.strip_prefix("//") {
        Some(rest) => rest.to_owned(),
        None => format!("localhost/{}", rest.trim_start_matches('/')),
    };
    postgres(Url::read(&format!("postgresql://{rest}"))?)
}

fn postgres(mut url: Url) -> Result<DatabaseUrl, String> {
    if !matches!(url.scheme.as_str(), "postgres" | "postgresql") {
        return Err(must_be_url());
    }
    url.scheme = "postgres".into();
    if url.hosts.is_empty() {
        url.hosts = "localhost".into();
    }
    Ok(DatabaseUrl::Postgres(url))
}

fn must_be_url() -> String {
    super::setting::must_be::<DatabaseUrl>()
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.write())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Option<String> {
        DatabaseUrl::read(text, Bare::Refused).ok().map(|url| url.write())
    }

    #[test]
    fn postgres_is_named_by_url_and_by_jdbc() {
        for (text, same) in [
            ("sqlite", "sqlite"),
            ("postgresql://u:p@db:5433/tasks", "postgres://u:********@db:5433/tasks"),
            ("jdbc:postgresql://db:5432/tasks", "postgres://db:5432/tasks"),
            (
                "jdbc:postgresql://db/tasks?user=u&password=p&ssl=true",
                "postgres://u:********@db/tasks?ssl=true",
            ),
            ("jdbc:postgresql:tasks", "postgres://localhost/tasks"),
            ("jdbc:postgresql:/", "postgres://localhost"),
            ("jdbc:postgresql:///tasks", "postgres://localhost/tasks"),
        ] {
            assert_eq!(shown(text).as_deref(), Some(same), "{text}");
        }
    }

    #[test]
    fn other_databases_are_refused() {
        for text in ["mysql://h/db", "jdbc:h2:mem:x", "jdbc:mysql://h/d", "db", "sqlite:/x.db", ""]
        {
            assert_eq!(shown(text), None, "{text}");
        }
    }
}
