//! Which CPUs are chosen, from tables.

use std::fs;
use std::path::Path;

use crate::execution::{CoreWish, allowed_cpus, cgroup_quota, choose};

#[test]
fn cores_are_chosen_out_of_what_is_allowed_and_paid_for() {
    use CoreWish::{AllButOne, Count, List};
    let eight: Vec<usize> = (0..8).collect();
    let sparse = [1, 4, 5, 9];
    for (wish, allowed, quota, cpus, warnings) in [
        (AllButOne, &eight[..], None, &[1, 2, 3, 4, 5, 6, 7][..], 0),
        (AllButOne, &eight[..1], None, &[0], 0),
        (AllButOne, &eight[..2], None, &[1], 0),
        (AllButOne, &eight[..], Some(3.0), &[6, 7], 0),
        (AllButOne, &eight[..], Some(2.5), &[6, 7], 0),
        (AllButOne, &eight[..], Some(0.5), &[7], 0),
        (AllButOne, &sparse, None, &[4, 5, 9], 0),
        (AllButOne, &[], None, &[0], 0),
        (Count(2), &sparse, None, &[5, 9], 0),
        (Count(8), &eight[..], None, &eight[..], 0),
        (Count(9), &eight[..], None, &eight[..], 1),
        (Count(0), &eight[..], None, &[7], 1),
        (Count(4), &eight[..], Some(2.0), &[6, 7], 1),
        (List(vec![5, 1, 5]), &sparse, None, &[5, 1], 0),
        (List(vec![0, 4]), &sparse, None, &[4], 1),
        (List(vec![0]), &sparse, None, &[9], 2),
        (List(vec![0, 1, 2]), &eight[..], Some(2.0), &[0, 1, 2], 1),
    ] {
        let pins = choose(&wish, allowed, quota);
        assert_eq!(pins.cpus, cpus, "{wish:?} of {allowed:?} with {quota:?}");
        assert_eq!(pins.warnings.len(), warnings, "{:?}", pins.warnings);
        assert!(allowed.is_empty() || !pins.rest.is_empty());
    }
}

#[test]
fn this_process_may_use_some_cpu() {
    assert!(!allowed_cpus().is_empty());
}

fn write(root: &Path, name: &str, text: &str) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn quota_of(files: &[(&str, &str)]) -> Option<f64> {
    let root = tempfile::tempdir().unwrap();
    for (name, text) in files {
        write(root.path(), name, text);
    }
    cgroup_quota(root.path())
}

#[test]
fn the_tightest_quota_on_the_way_up_counts_in_both_versions_of_cgroups() {
    let v2 = ("proc/self/cgroup", "0::/a/b\n");
    let v1 = ("proc/self/cgroup", "4:memory:/a\n3:cpu,cpuacct:/a\n0::/\n");
    for (files, quota) in [
        (vec![v2], None),
        (vec![v2, ("sys/fs/cgroup/a/b/cpu.max", "max 100000\n")], None),
        (vec![v2, ("sys/fs/cgroup/a/b/cpu.max", "150000 100000\n")], Some(1.5)),
        (
            vec![
                v2,
                ("sys/fs/cgroup/a/b/cpu.max", "400000 100000\n"),
                ("sys/fs/cgroup/a/cpu.max", "200000 100000\n"),
            ],
            Some(2.0),
        ),
        // In a container the path of the group does not exist; the mount itself has the limit.
        (vec![v2, ("sys/fs/cgroup/cpu.max", "50000 100000\n")], Some(0.5)),
        (
            vec![
                v1,
                ("sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "-1\n"),
                ("sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n"),
            ],
            None,
        ),
        (
            vec![
                v1,
                ("sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "300000\n"),
                ("sys/fs/cgroup/cpu/a/cpu.cfs_period_us", "100000\n"),
            ],
            Some(3.0),
        ),
        (vec![v2, ("sys/fs/cgroup/a/b/cpu.max", "nonsense")], None),
        (vec![], None),
    ] {
        assert_eq!(quota_of(&files), quota, "{files:?}");
    }
}
