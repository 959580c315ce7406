//! The process that starts and ends a server, told by lines and answering by lines.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

const SCRIPT: &str = include_str!("keep.sh");

/// The script at work on one server.
pub struct Keeper {
    dir: PathBuf,
    talk: Mutex<Talk>,
}

struct Talk {
    // `None` once it is dropped: closing it is what ends the script.
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    child: Child,
}

impl Keeper {
    /// Makes a directory for a server of this kind.
    pub fn new(kind: &str) -> Keeper {
        Keeper::with(kind, None)
    }

    /// The same for a server that stands beside the one on this port.
    pub fn with(kind: &str, beside: Option<u16>) -> Keeper {
        let mut child = Command::new("sh")
            .args(["-c", SCRIPT, "keep.sh", kind])
            .args(beside.map(|port| port.to_string()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell to keep the server");
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().expect("piped above"));
        let mut talk = Talk { input, output, child };
        let dir = talk.answer().unwrap_or_else(|why| panic!("no {kind} server: {why}"));
        Keeper { dir: dir.into(), talk: Mutex::new(talk) }
    }

    /// Where the server keeps its files.
    pub fn dir(&self) -> &PathBuf {
        &self.dir
    }

    /// Starts the server on a port that is free now, and says which.
    pub fn start_somewhere(&self, settings: &[&str]) -> u16 {
        // Between asking for a free port and taking it another process can take it.
        let mut why = String::new();
        for _ in 0..5 {
            let port = free_port();
            match self.start(port, settings) {
                Ok(()) => return port,
                Err(said) => why = said,
            }
        }
        panic!("the server did not start: {why}");
    }

    /// Starts the server on this port.
    pub fn start(&self, port: u16, settings: &[&str]) -> Result<(), String> {
        self.tell(&format!("start {port} {}", settings.join(" ")))
    }

    /// Ends the server at once, without any clean-up.
    pub fn stop(&self) {
        self.tell("stop").expect("a server that ends");
    }

    fn tell(&self, line: &str) -> Result<(), String> {
        let mut talk = self.talk.lock().unwrap_or_else(PoisonError::into_inner);
        let input = talk.input.as_mut().expect("open until it is dropped");
        writeln!(input, "{line}").map_err(|error| error.to_string())?;
        talk.answer().map(drop)
    }
}

impl Talk {
    fn answer(&mut self) -> Result<String, String> {
        let mut line = String::new();
        self.output.read_line(&mut line).map_err(|error| error.to_string())?;
        match line.trim_end().split_once(' ').unwrap_or((line.trim_end(), "")) {
            ("ok", rest) => Ok(rest.to_owned()),
            (_, why) => Err(why.to_owned()),
        }
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.child.wait();
    }
}

/// A loopback port that nobody listened on a moment ago.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("a bound address").port()
}
