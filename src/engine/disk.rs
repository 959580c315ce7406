//! How full the disk is.

use std::path::Path;

/// Free space on the file system of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disk {
    /// Bytes a program without privileges can still write.
    pub free_bytes: u64,
    /// Bytes in all.
    pub total_bytes: u64,
}

/// How much space is kept back for outcomes and upkeep.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reserve {
    /// At least so many bytes.
    pub bytes: u64,
    /// At least this share of the file system.
    pub share: f64,
}

impl Default for Reserve {
    fn default() -> Reserve {
        Reserve { bytes: 1 << 30, share: 0.05 }
    }
}

impl Disk {
    /// Looks at the file system that holds `path`.
    pub fn of(path: &Path) -> std::io::Result<Disk> {
        let stat = rustix::fs::statvfs(path)?;
        let block = stat.f_frsize;
        Ok(Disk { free_bytes: stat.f_bavail * block, total_bytes: stat.f_blocks * block })
    }

    /// Free bytes below which no new task is accepted.
    pub fn threshold(&self, reserve: &Reserve) -> u64 {
        reserve.bytes.max((self.total_bytes as f64 * reserve.share) as u64)
    }

    /// Whether new tasks must be refused.
    pub fn is_full(&self, reserve: &Reserve) -> bool {
        self.free_bytes < self.threshold(reserve)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn submits_stop_at_a_gigabyte_or_a_twentieth_whichever_is_more() {
        let reserve = Reserve::default();
        let disk =
            |free: u64, total: u64| Disk { free_bytes: free << 30, total_bytes: total << 30 };
        assert!(!disk(1, 10).is_full(&reserve));
        assert!(Disk { free_bytes: (1 << 30) - 1, total_bytes: 10 << 30 }.is_full(&reserve));
        assert!(disk(4, 100).is_full(&reserve));
        assert!(!disk(5, 100).is_full(&reserve));
    }

    #[test]
    fn the_real_disk_has_some_size() {
        let disk = Disk::of(Path::new("/")).unwrap();
        assert!(disk.total_bytes > 0 && disk.free_bytes <= disk.total_bytes);
    }
}
