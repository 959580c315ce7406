//! The floor: the same tiny_http behind the same gate, which answers without any store.
//!
//! Each request is read whole and answered with a body that the real server gave before. What the
//! real server is slower than this is what engine, writer and disk cost.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::Duration;

use taskscheduler::api::gate::{Gate, GateConfig, GateLimits, Listen};
use taskscheduler::api::server::{Backend, BackendConfig, Handler};
use taskscheduler::clock::SystemClock;
use tiny_http::{Header, Request, Response};

/// Names the folder for the socket; only then this program is the floor.
const FOLDER: &str = "BENCH_FLOOR";
const ANSWER: &str = "BENCH_FLOOR_ANSWER";

pub fn server(folder: &Path, answer: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("a path of its own"));
    command.env(FOLDER, folder).env(ANSWER, answer);
    command
}

/// Answers until it is killed, if the environment says so.
pub fn serve_if_asked() -> Option<ExitCode> {
    let parent = PathBuf::from(std::env::var_os(FOLDER)?);
    let answer = std::env::var(ANSWER).expect("an answer to give");
    let handler: Handler = Arc::new(move |request| give(request, &answer));
    // As `serve` sets them up: one thread that takes requests.
    let config = BackendConfig { parent, threads: 1, stop_budget: Duration::from_secs(1) };
    let backend = Box::new(Backend::new(config, handler));
    let listen = Listen::Tcp("127.0.0.1:0".parse().expect("an address"));
    let config = GateConfig { listen, limits: GateLimits::default() };
    let gate = Gate::open(config, Arc::new(SystemClock::new()), backend).expect("a gate");
    let gate = gate.start().expect("a thread for the gate");
    println!("the floor answers on http://{}", gate.local_addr());
    loop {
        std::thread::park();
    }
}

fn give(mut request: Request, answer: &str) {
    let mut body = Vec::new();
    // A client that is gone is no matter here: the load would count it as broken.
    let _ = request.as_reader().read_to_end(&mut body);
    let head = |name: &str, value: &str| Header::from_bytes(name, value).expect("a header");
    let response = Response::from_string(answer)
        .with_status_code(201)
        .with_header(head("Content-Type", "application/json"))
        .with_header(head("Location", "/api/v1/tasks/1"));
    let _ = request.respond(response);
}
