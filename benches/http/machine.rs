//! Facts about the machine and about a process, from /proc.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

/// What a figure is worth nothing without.
pub fn facts() -> Value {
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model.map(|rest| rest.trim_start_matches([' ', '\t', ':']).to_owned());
    let memory_kib = field(&read("/proc/meminfo"), "MemTotal:");
    let dirty = !output("git", &["status", "--porcelain", "--untracked-files=no"]).is_empty();
    json!({
        "cpu": model.unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "memoryMiB": memory_kib / 1024,
        // Of the last minute, before the run: above 1 somebody else was at work.
        "loadBefore": read("/proc/loadavg").split(' ').next().unwrap_or_default(),
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
        "rustc": output("rustc", &["--version"]),
        "commit": output("git", &["rev-parse", "--short", "HEAD"]),
        "changedSinceCommit": dirty,
        "fileSystem": output("stat", &["-f", "-c", "%T", &std::env::temp_dir().to_string_lossy()]),
    })
}

/// What a process has used.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    pub resident_mib: f64,
    pub peak_mib: f64,
    pub threads: u64,
    /// Seconds of processor time, of all its threads.
    pub cpu_s: f64,
}

pub fn usage(process: u32) -> Usage {
    let status = read(&format!("/proc/{process}/status"));
    let stat = read(&format!("/proc/{process}/stat"));
    // The name in brackets may hold spaces; user and system time are the 14th and 15th field.
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: u64 =
        after_name.split_whitespace().skip(11).take(2).filter_map(|n| n.parse::<u64>().ok()).sum();
    Usage {
        resident_mib: field(&status, "VmRSS:") as f64 / 1024.0,
        peak_mib: field(&status, "VmHWM:") as f64 / 1024.0,
        threads: field(&status, "Threads:"),
        // Linux shows 100 ticks a second to user space on every architecture.
        cpu_s: ticks as f64 / 100.0,
    }
}

fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn output(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output();
    output.map_or(String::new(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
