//! The machine: processors and what is granted of them, pinning, descriptors, clock and port.

use std::fs;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::path::Path;

use rustix::process::{Resource, getrlimit};

use super::Finding;
use crate::api::gate::GateLimits;
use crate::cli::commands::serve::cores;
use crate::cli::config::{Config, Listen};
use crate::execution::{Pins, allowed_cpus, cgroup_quota, choose, pin};

/// Looks at the machine.
pub(super) fn look(config: &Config) -> Vec<Finding> {
    let allowed = allowed_cpus();
    let quota = cgroup_quota(Path::new("/"));
    let pins = choose(&cores(config), &allowed, quota);
    let mut findings = processors(&pins, allowed.len(), quota);
    findings.push(pinning(&pins));
    findings.extend(governor(&pins));
    findings.push(descriptors(open_files(), config.api.max_connections));
    findings.push(clock());
    findings.extend(port(&config.api.listen));
    findings
}

pub(super) fn processors(pins: &Pins, allowed: usize, quota: Option<f64>) -> Vec<Finding> {
    const ABOUT: &str = "processors";
    let cure = "set engine.cores to what there is, or widen the CPU set or quota";
    let mut findings: Vec<Finding> =
        pins.warnings.iter().map(|warning| Finding::warn(ABOUT, warning, cure)).collect();
    let cores = pins.cpus.len();
    match quota {
        Some(quota) if quota.fract() > 0.001 => findings.push(Finding::warn(
            ABOUT,
            format!("the control group grants {quota:.2} of {allowed} CPUs"),
            "grant whole CPUs: a part of one stops the engine for the rest of each period",
        )),
        _ => {}
    }
    if allowed == 1 {
        let cure = "two CPUs at least let the engine and the API run side by side";
        findings.push(Finding::warn(ABOUT, "one CPU for everything", cure));
    }
    if findings.is_empty() {
        let granted = quota.map_or(String::new(), |quota| format!(", {quota:.0} granted"));
        let which: Vec<String> = pins.cpus.iter().map(usize::to_string).collect();
        let which = which.join(",");
        let found = format!("{cores} engine cores (CPU {which}) of {allowed}{granted}");
        findings.push(Finding::ok(ABOUT, found));
    }
    findings
}

/// Pins a thread of its own, so that nothing else of this process moves.
fn pinning(pins: &Pins) -> Finding {
    const ABOUT: &str = "pinning";
    let works = |cpu: usize| {
        std::thread::scope(|scope| scope.spawn(move || pin(cpu)).join().unwrap_or(false))
    };
    let refused = pins.cpus.iter().filter(|cpu| !works(**cpu));
    let refused: Vec<String> = refused.map(usize::to_string).collect();
    if refused.is_empty() {
        return Finding::ok(ABOUT, "works");
    }
    let found = format!("the system refuses it for CPU {}", refused.join(","));
    let cure = "allow sched_setaffinity (in a unit: no SystemCallFilter=~@resources)";
    Finding::warn(ABOUT, found, cure)
}

/// Whether the processors save power; many machines do not say.
fn governor(pins: &Pins) -> Option<Finding> {
    let cpu = pins.cpus.first()?;
    let path = format!("/sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_governor");
    let word = fs::read_to_string(path).ok()?;
    let word = word.trim();
    Some(if word == "powersave" {
        let cure = "cpupower frequency-set -g performance, where latency matters";
        Finding::warn("processors", "they save power, and wake up slowly", cure)
    } else {
        Finding::ok("processors", format!("governed by {word}"))
    })
}

/// The hard limit: the server raises the soft one to it.
fn open_files() -> Option<u64> {
    getrlimit(Resource::Nofile).maximum
}

pub(super) fn descriptors(limit: Option<u64>, connections_max: usize) -> Finding {
    const ABOUT: &str = "descriptors";
    let Some(limit) = limit else { return Finding::ok(ABOUT, "no limit") };
    let wanted = GateLimits { connections_max, ..GateLimits::default() };
    let holds = wanted.clone().within(usize::try_from(limit).unwrap_or(usize::MAX));
    let found = format!("{limit} open files, for {} connections", holds.connections_max);
    if holds.connections_max < wanted.connections_max || holds.backends_max < wanted.backends_max {
        let cure = format!("raise the hard limit (LimitNOFILE=) for all {connections_max}");
        return Finding::warn(ABOUT, found, cure);
    }
    Finding::ok(ABOUT, found)
}

fn clock() -> Finding {
    const ABOUT: &str = "clock";
    let path = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    let source = fs::read_to_string(path).unwrap_or_default();
    match source.trim() {
        "" => Finding::ok(ABOUT, "its source is not told here"),
        slow @ ("hpet" | "acpi_pm" | "jiffies") => Finding::warn(
            ABOUT,
            format!("read from {slow}, which takes a microsecond or more"),
            "use tsc or the hypervisor's own clock (kernel parameter clocksource=)",
        ),
        source => Finding::ok(ABOUT, format!("read from {source}")),
    }
}

/// Whether the address can be listened on.
fn port(listen: &Listen) -> Option<Finding> {
    const ABOUT: &str = "address";
    let Listen::Tcp { host, port } = listen else { return None };
    Some(match TcpListener::bind((host.as_str(), *port)) {
        Ok(_) => Finding::ok(ABOUT, format!("{listen} is free")),
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            let cure = "none if this server runs already; otherwise change api.listen";
            Finding::warn(ABOUT, format!("{listen} is taken"), cure)
        }
        Err(error) => Finding::fail(ABOUT, format!("{listen}: {error}"), "change api.listen"),
    })
}
