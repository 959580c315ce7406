//! The data directory: whether it can be used, what it is on, and how quick that is.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Finding;
use crate::cli::config::{Config, DatabaseUrl};
use crate::clock::Clock;
use crate::engine::{Disk, Reserve};

/// How often it is written, as much as a small batch writes.
const WRITES: usize = 30;
const WRITE_BYTES: usize = 4096;

/// A disk that is slower than this holds up every answer to a submit.
const SLOW: Duration = Duration::from_millis(10);

/// No disk that keeps anything is as quick as this.
const TOO_QUICK: Duration = Duration::from_micros(15);

/// Looks at the directory.
pub(super) fn look(config: &Config, clock: &dyn Clock) -> Vec<Finding> {
    let data = &config.node.data;
    let Some(there) = existing(data) else {
        let cure = "make a directory above it, or change data";
        return vec![Finding::fail("data", format!("{} cannot be made", data.display()), cure)];
    };
    let is_own_store = config.database.url == DatabaseUrl::Sqlite;
    let mut findings = vec![kind(data, &there, is_own_store)];
    match Disk::of(&there) {
        Ok(disk) => findings.push(space(&disk)),
        Err(error) => findings.push(Finding::warn("space", error.to_string(), "look at the disk")),
    }
    findings.push(match write_times(&there, clock) {
        Err(error) => Finding::fail(
            "data",
            format!("{} cannot be written: {error}", there.display()),
            "give it to the user that runs the server",
        ),
        Ok(times) if is_own_store => speed(&times),
        Ok(_) => Finding::ok("data", "can be written; it holds only who this node is"),
    });
    findings
}

/// The directory, or the nearest above it that is there.
fn existing(data: &Path) -> Option<PathBuf> {
    let whole = std::path::absolute(data).ok()?;
    whole.ancestors().find(|path| path.is_dir()).map(Path::to_owned)
}

/// What sort of file system it is on.
fn kind(data: &Path, there: &Path, is_own_store: bool) -> Finding {
    const ABOUT: &str = "data";
    let shown = data.display();
    let number = rustix::fs::statfs(there).map_or(0, |stat| stat.f_type as u64 & 0xffff_ffff);
    match number {
        0x0102_1994 | 0x8584_58f6 => Finding::warn(
            ABOUT,
            format!("{shown} is in memory: nothing survives a restart of the machine"),
            "use a directory on a disk",
        ),
        0x794c_7630 => Finding::warn(
            ABOUT,
            format!("{shown} is in the container's own layer, which goes with it"),
            "mount a volume there",
        ),
        0x6969 | 0xff53_4d42 | 0xfe53_4d42 | 0x517b if is_own_store => Finding::fail(
            ABOUT,
            format!("{shown} is on a network file system, on which locks and syncs may lie"),
            "use a local disk, or PostgreSQL",
        ),
        _ => Finding::ok(ABOUT, format!("{shown}")),
    }
}

pub(super) fn space(disk: &Disk) -> Finding {
    let reserve = Reserve::default();
    let gib = |bytes: u64| format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30));
    let (free, kept) = (disk.free_bytes, disk.threshold(&reserve));
    let found = format!("{} free, {} are kept back", gib(free), gib(kept));
    if disk.is_full(&reserve) {
        Finding::fail("space", found, "make room: submits would be refused with 507")
    } else if free < kept * 2 {
        Finding::warn("space", found, "make room soon, or set retention.max-bytes")
    } else {
        Finding::ok("space", found)
    }
}

/// How long each of some writes takes until it is on the disk.
fn write_times(there: &Path, clock: &dyn Clock) -> io::Result<Vec<Duration>> {
    let path = there.join(format!(".taskscheduler-doctor-{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    let mut write = || -> io::Result<Duration> {
        let from = clock.mono();
        file.write_all(&[0; WRITE_BYTES])?;
        file.sync_data()?;
        Ok(clock.mono().since(from))
    };
    let times = (0..WRITES).map(|_| write()).collect();
    fs::remove_file(&path)?;
    times
}

pub(super) fn speed(times: &[Duration]) -> Finding {
    const ABOUT: &str = "disk sync";
    let mut times = times.to_vec();
    times.sort_unstable();
    let (middle, worst) = (times[times.len() / 2], times[times.len() - 1]);
    let ms = |time: Duration| format!("{:.2} ms", time.as_secs_f64() * 1e3);
    let found = format!("{} for a write to be kept, {} at worst", ms(middle), ms(worst));
    if middle < TOO_QUICK {
        let cure = "make sure that it honours a sync, or no 201 survives a power cut";
        Finding::warn(ABOUT, format!("{found}, which no disk is"), cure)
    } else if middle > SLOW {
        let cure = "use a quicker disk: every answer to a submit waits for one such write";
        Finding::warn(ABOUT, found, cure)
    } else {
        Finding::ok(ABOUT, found)
    }
}
