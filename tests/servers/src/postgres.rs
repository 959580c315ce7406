//! A PostgreSQL server, with a database and an account for each test.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use postgres::{Client, Config, NoTls};
use rustix::process::{Pid, Signal, kill_process};

use crate::keeper::Keeper;

/// A throw-away PostgreSQL server. It syncs as a real one does: a commit is on the disk.
pub struct Cluster {
    keeper: Keeper,
    port: u16,
    settings: Vec<String>,
    accounts: AtomicU32,
}

/// What a person sets up for the server: a database, a login role, and all rights on the database.
/// Nothing here is a superuser.
#[derive(Debug, Clone)]
pub struct Account {
    /// The database.
    pub database: String,
    /// The role.
    pub user: String,
    /// Its password.
    pub password: String,
    /// Where the server listens.
    pub port: u16,
}

impl Cluster {
    /// The server that all tests of this process share.
    pub fn shared() -> &'static Cluster {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(|| Cluster::start(&[]))
    }

    /// Starts a server of the caller's own. A setting is `name=value` without blanks, such as
    /// `max_wal_size=4GB`.
    pub fn start(settings: &[&str]) -> Cluster {
        let keeper = Keeper::new("postgres");
        let port = keeper.start_somewhere(settings);
        let settings = settings.iter().map(ToString::to_string).collect();
        Cluster { keeper, port, settings, accounts: AtomicU32::new(0) }
    }

    /// A standby that follows this server, until it is promoted. From now on this one commits
    /// nothing that the standby does not have too.
    pub fn standby(&self) -> Cluster {
        let keeper = Keeper::with("standby", Some(self.port));
        let port = keeper.start_somewhere(&[]);
        let mut admin = self.admin("postgres");
        for sql in
            ["ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()"]
        {
            admin.execute(sql, &[]).expect("a superuser may do this");
        }
        let follows = "SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'";
        for _ in 0..600 {
            if !admin.query(follows, &[]).expect("a server that answers").is_empty() {
                return Cluster { keeper, port, settings: Vec::new(), accounts: AtomicU32::new(0) };
            }
            admin.execute("SELECT pg_sleep(0.05)", &[]).expect("a server that answers");
        }
        panic!("the standby does not follow");
    }

    /// Makes a standby a server of its own.
    pub fn promote(&self) {
        self.admin("postgres").execute("SELECT pg_promote()", &[]).expect("a standby");
    }

    /// A new database with a role of its own.
    pub fn account(&self) -> Account {
        // Relaxed: only the number matters.
        let number = self.accounts.fetch_add(1, Ordering::Relaxed);
        let name = format!("tasks{number}");
        let mut admin = self.admin("postgres");
        for sql in [
            format!("CREATE DATABASE {name}"),
            format!("CREATE ROLE {name} LOGIN PASSWORD 'secret{number}'"),
            format!("GRANT ALL ON DATABASE {name} TO {name}"),
        ] {
            admin.execute(&sql, &[]).expect("a superuser may do this");
        }
        let password = format!("secret{number}");
        Account { database: name.clone(), user: name, password, port: self.port }
    }

    /// A superuser's connection to a database.
    pub fn admin(&self, database: &str) -> Client {
        let mut config = Config::new();
        config.host("127.0.0.1").port(self.port).user("super").password("super").dbname(database);
        config.connect(NoTls).expect("a server that takes its superuser")
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where its files are; certificates for it may be put there.
    pub fn dir(&self) -> &std::path::Path {
        self.keeper.dir()
    }

    /// Ends it as a crash of the machine would, but for the memory of the system.
    pub fn stop(&self) {
        self.keeper.stop();
    }

    /// Starts it again on its port, after [`Cluster::stop`].
    pub fn start_again(&self) {
        self.start_with(&[]);
    }

    /// The same with further settings, which last until the next start.
    pub fn start_with(&self, more: &[&str]) {
        let settings: Vec<&str> =
            self.settings.iter().map(String::as_str).chain(more.iter().copied()).collect();
        self.keeper.start(self.port, &settings).expect("a server that starts again");
    }

    /// SIGSTOP to all its processes: it keeps its connections and answers nothing.
    pub fn freeze(&self) {
        // The parent first, so that it starts nobody who is missed.
        for pid in self.processes() {
            let _ = kill_process(pid, Signal::STOP);
        }
    }

    /// SIGCONT to all its processes.
    pub fn thaw(&self) {
        for pid in self.processes() {
            let _ = kill_process(pid, Signal::CONT);
        }
    }

    fn processes(&self) -> Vec<Pid> {
        let file = self.keeper.dir().join("data/postmaster.pid");
        let text = std::fs::read_to_string(file).expect("it runs");
        let parent = text.lines().next().unwrap_or_default().trim().to_owned();
        let parent_of = |process: &str| -> Option<String> {
            let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
            let line = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
            Some(line.trim().to_owned())
        };
        let all = std::fs::read_dir("/proc").expect("a list of processes");
        let all = all.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let children = all.filter(|process| parent_of(process).as_ref() == Some(&parent));
        let pid = |text: String| text.parse().ok().and_then(Pid::from_raw);
        std::iter::once(parent.clone()).chain(children).filter_map(pid).collect()
    }
}

impl Account {
    /// As `serve --database-url` takes it.
    pub fn url(&self) -> String {
        let Account { database, user, password, port } = self;
        format!("postgres://{user}:{password}@127.0.0.1:{port}/{database}")
    }

    /// A connection with the rights of the role.
    pub fn connect(&self) -> Client {
        self.url().parse::<Config>().expect("a URL").connect(NoTls).expect("a server that runs")
    }
}
