//! Which CPUs the cores are pinned to.
//!
//! Only CPUs this process is allowed to use count, and no more of them than the cgroup's quota
//! pays for. Read the allowed set before anything is pinned: threads inherit a pinned set.

use std::fs;
use std::path::Path;

/// What the configuration asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum CoreWish {
    /// All CPUs there are but one, which the rest of the server keeps.
    #[default]
    AllButOne,
    /// So many.
    Count(usize),
    /// These.
    List(Vec<usize>),
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pins {
    /// The CPUs of the engine's cores, at least one.
    pub cpus: Vec<usize>,
    /// The allowed CPUs that are left for everything else; all of them if none would be left.
    pub rest: Vec<usize>,
    /// Where the wish could not be followed; for the log.
    pub warnings: Vec<String>,
}

/// Chooses CPUs out of the allowed ones. `quota`: how many CPUs' time the cgroup grants.
pub fn choose(wish: &CoreWish, allowed: &[usize], quota: Option<f64>) -> Pins {
    let mut warnings = Vec::new();
    // Part of a CPU is enough to run a thread on it now and then.
    let paid = quota.map_or(allowed.len(), |cpus| cpus.ceil().max(1.0) as usize);
    let usable = allowed.len().min(paid).max(1);
    let cpus = match wish {
        CoreWish::AllButOne => last(allowed, usable.saturating_sub(1).max(1)),
        CoreWish::Count(wanted) => {
            let count = (*wanted).clamp(1, usable);
            if count != *wanted {
                warnings
                    .push(format!("{wanted} cores are wanted, {count} will run ({usable} usable)"));
            }
            last(allowed, count)
        }
        CoreWish::List(wanted) => listed(wanted, allowed, usable, &mut warnings),
    };
    let rest: Vec<usize> = allowed.iter().copied().filter(|cpu| !cpus.contains(cpu)).collect();
    let rest = if rest.is_empty() { allowed.to_vec() } else { rest };
    Pins { cpus, rest, warnings }
}

/// The last ones: the first CPU is where most machines handle their interrupts.
fn last(allowed: &[usize], count: usize) -> Vec<usize> {
    match allowed {
        [] => vec![0],
        _ => allowed[allowed.len() - count..].to_vec(),
    }
}

fn listed(
    wanted: &[usize],
    allowed: &[usize],
    usable: usize,
    warnings: &mut Vec<String>,
) -> Vec<usize> {
    let mut cpus: Vec<usize> = Vec::new();
    for cpu in wanted {
        if !allowed.contains(cpu) {
            warnings.push(format!("CPU {cpu} is not among those this process may use"));
        } else if !cpus.contains(cpu) {
            cpus.push(*cpu);
        }
    }
    if cpus.is_empty() {
        cpus = last(allowed, 1);
        warnings.push(format!("none of the wanted CPUs can be used, taking {}", cpus[0]));
    }
    if cpus.len() > usable {
        warnings.push(format!("{} cores share a quota of {usable} CPUs", cpus.len()));
    }
    cpus
}

/// The CPUs this thread may use, in order.
pub fn allowed_cpus() -> Vec<usize> {
    let ids = core_affinity::get_core_ids().unwrap_or_default();
    let cpus: Vec<usize> = ids.into_iter().map(|id| id.id).collect();
    if cpus.is_empty() { vec![0] } else { cpus }
}

/// Pins the calling thread. `false`: the system refused.
pub fn pin(cpu: usize) -> bool {
    core_affinity::set_for_current(core_affinity::CoreId { id: cpu })
}

/// Keeps the calling thread, and what it starts, on these CPUs. `false`: the system refused.
pub fn confine(cpus: &[usize]) -> bool {
    let mut set = rustix::thread::CpuSet::new();
    for &cpu in cpus.iter().filter(|&&cpu| cpu < rustix::thread::CpuSet::MAX_CPU) {
        set.set(cpu);
    }
    set.count() > 0 && rustix::thread::sched_setaffinity(None, &set).is_ok()
}

/// How many CPUs' time the cgroup of this process grants; `None`: no limit. `root` is `/` but in
/// tests. Knows cgroups v2 (`cpu.max`) and v1 (`cpu.cfs_quota_us`), and heeds all levels.
pub fn cgroup_quota(root: &Path) -> Option<f64> {
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let limits = groups.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        if controllers.is_empty() {
            tightest(&root.join("sys/fs/cgroup"), path, quota_v2)
        } else if controllers.split(',').any(|name| name == "cpu") {
            let at = |name: &str| tightest(&root.join("sys/fs/cgroup").join(name), path, quota_v1);
            [at("cpu"), at(controllers)].into_iter().flatten().reduce(f64::min)
        } else {
            None
        }
    });
    limits.reduce(f64::min)
}

/// The least limit on the way from `path` up to the mount. Inside a container `path` may name a
/// group that is not visible there; its own limit then stands at the mount itself.
fn tightest(mount: &Path, path: &str, limit: fn(&Path) -> Option<f64>) -> Option<f64> {
    let path = Path::new(path.trim_start_matches('/'));
    path.ancestors().filter_map(|group| limit(&mount.join(group))).reduce(f64::min)
}

/// `max 100000` or `150000 100000`.
fn quota_v2(group: &Path) -> Option<f64> {
    let text = fs::read_to_string(group.join("cpu.max")).ok()?;
    let (quota, period) = text.trim().split_once(' ')?;
    ratio(quota, period)
}

/// -1 for no limit.
fn quota_v1(group: &Path) -> Option<f64> {
    let read = |name| fs::read_to_string(group.join(name)).ok();
    ratio(read("cpu.cfs_quota_us")?.trim(), read("cpu.cfs_period_us")?.trim())
}

fn ratio(quota: &str, period: &str) -> Option<f64> {
    let (quota, period) = (quota.parse::<u64>().ok()?, period.parse::<u64>().ok()?);
    (quota > 0 && period > 0).then(|| quota as f64 / period as f64)
}
