//! A throw-away Redis on a free port of this machine.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use redis::{Cmd, FromRedisValue};

/// A server; it ends with this value.
pub(crate) struct Server {
    pub port: u16,
    child: Child,
    folder: tempfile::TempDir,
    args: Vec<String>,
}

impl Server {
    pub fn start(args: &[&str]) -> Server {
        let port = free_port();
        let folder = tempfile::tempdir().unwrap();
        let args: Vec<String> = args.iter().map(ToString::to_string).collect();
        let child = spawn(port, folder.path(), &args);
        Server { port, child, folder, args }
    }

    /// A Sentinel with this configuration.
    pub fn start_from(config: &std::path::Path) -> Server {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let args = vec![config.to_str().unwrap().to_owned(), "--sentinel".into()];
        let child = spawn(port, folder.path(), &args);
        Server { port, child, folder, args }
    }

    /// Starts it again, on the same port and folder, after it was killed.
    pub fn restart(&mut self) {
        self.child = spawn(self.port, self.folder.path(), &self.args);
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Stops it as it stands; it keeps its connections and answers nothing.
    pub fn freeze(&self) {
        self.signal(rustix::process::Signal::STOP);
    }

    pub fn thaw(&self) {
        self.signal(rustix::process::Signal::CONT);
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Asks it directly, as its administrator does.
    pub fn ask<T: FromRedisValue>(&self, command: &mut Cmd) -> T {
        let url = format!("redis://127.0.0.1:{}", self.port);
        let mut connection = redis::Client::open(url).unwrap().get_connection().unwrap();
        command.query(&mut connection).unwrap()
    }

    pub fn tell(&self, words: &[&str]) -> redis::Value {
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        self.ask(&mut command)
    }

    pub fn keys(&self) -> Vec<String> {
        let mut keys: Vec<String> = self.ask(redis::cmd("KEYS").arg("*"));
        keys.sort_unstable();
        keys
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn spawn(port: u16, folder: &std::path::Path, args: &[String]) -> Child {
    let mut command = Command::new("redis-server");
    // A file of configuration comes first.
    let is_file = |arg: &String| std::path::Path::new(arg).is_file();
    let (file, flags) = args.split_at(usize::from(args.first().is_some_and(is_file)));
    command.args(file).args(["--port", &port.to_string(), "--bind", "127.0.0.1"]);
    if file.is_empty() {
        command.args(["--appendonly", "no", "--save", ""]);
    }
    let mut child = command
        .args(flags)
        .current_dir(folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("redis-server starts; tests/run installs it");
    let mut said = BufReader::new(child.stdout.take().unwrap());
    let (mut line, mut all) = (String::new(), String::new());
    while said.read_line(&mut line).unwrap() > 0 {
        if line.contains("eady to accept connections") || line.contains("monitor master") {
            // It must not stand still because nobody reads what it says.
            std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
            return child;
        }
        all.push_str(&std::mem::take(&mut line));
    }
    let _ = child.wait();
    panic!("redis-server ended at once: {all}");
}
