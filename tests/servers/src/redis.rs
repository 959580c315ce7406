//! A Redis server.

use rustix::process::{Pid, Signal, kill_process};

use crate::keeper::Keeper;

/// A throw-away Redis server without persistence, unless its settings say otherwise.
pub struct RedisServer {
    keeper: Keeper,
    port: u16,
    settings: Vec<String>,
}

impl RedisServer {
    /// Starts one. A setting is a line of its configuration with `=` for the first blank, such as
    /// `maxmemory=1mb`; it holds no further blanks.
    pub fn start(settings: &[&str]) -> RedisServer {
        let keeper = Keeper::new("redis");
        let port = keeper.start_somewhere(settings);
        let settings = settings.iter().map(ToString::to_string).collect();
        RedisServer { keeper, port, settings }
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its first database.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// SIGKILL.
    pub fn kill(&self) {
        self.keeper.stop();
    }

    /// Starts it again on its port, after [`RedisServer::kill`].
    pub fn start_again(&self) {
        let settings: Vec<&str> = self.settings.iter().map(String::as_str).collect();
        self.keeper.start(self.port, &settings).expect("a server that starts again");
    }

    /// SIGSTOP: it keeps its connections and answers nothing.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let text = std::fs::read_to_string(self.keeper.dir().join("pid")).expect("it runs");
        let pid = text.trim().parse().ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(pid, signal).expect("a process to signal");
    }
}
