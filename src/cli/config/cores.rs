//! Which CPUs become engine cores.

use super::setting::{Bare, Setting, must_be};

/// The engine cores asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cores {
    /// The allowed CPUs less one, at least one.
    Auto,
    /// So many of the allowed CPUs.
    Count(usize),
    /// These CPUs by number, in rising order.
    These(Vec<usize>),
}

/// More CPUs than any machine this runs on has; bounds what a range can cost.
const CPU_MAX: usize = 4096;

impl Setting for Cores {
    const FORM: &'static str =
        "auto, a number of cores such as 4, or CPU numbers such as 0-3 or 2,4,6 (one CPU: 2,)";

    fn read(text: &str, _: Bare) -> Result<Cores, String> {
        if text == "auto" {
            return Ok(Cores::Auto);
        }
        if let Ok(count) = text.parse() {
            let fits = (1..=CPU_MAX).contains(&count);
            return if fits { Ok(Cores::Count(count)) } else { Err(must_be::<Cores>()) };
        }
        read_list(text).map(Cores::These).ok_or_else(must_be::<Cores>)
    }

    fn write(&self) -> String {
        match self {
            Cores::Auto => "auto".into(),
            Cores::Count(count) => count.to_string(),
            Cores::These(cpus) if cpus.len() == 1 => format!("{},", cpus[0]),
            Cores::These(cpus) => {
                let cpus: Vec<String> = cpus.iter().map(usize::to_string).collect();
                cpus.join(",")
            }
        }
    }
}

/// Reads `0-3,6`; a trailing comma tells the CPU `2,` from the count `2`.
fn read_list(text: &str) -> Option<Vec<usize>> {
    let mut cpus = Vec::new();
    for part in text.strip_suffix(',').unwrap_or(text).split(',') {
        let (first, last) = part.trim().split_once('-').unwrap_or((part.trim(), part.trim()));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        if first > last || last >= CPU_MAX {
            return None;
        }
        cpus.extend(first..=last);
    }
    cpus.sort_unstable();
    let all = cpus.len();
    cpus.dedup();
    (cpus.len() == all).then_some(cpus)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_ranges_and_lists_are_told_apart() {
        let read = |text: &str| Cores::read(text, Bare::Refused).ok();
        assert_eq!(read("auto"), Some(Cores::Auto));
        assert_eq!(read("4"), Some(Cores::Count(4)));
        assert_eq!(read("0-2,6"), Some(Cores::These(vec![0, 1, 2, 6])));
        assert_eq!(read("2,"), Some(Cores::These(vec![2])));
        for bad in ["0", "", "-1", "3-1", "1,1", "0-3,2", "a", "0-99999999999", "5000", "1,,2"] {
            assert_eq!(read(bad), None, "{bad}");
        }
        for text in ["auto", "3", "2,", "0,1,5"] {
            assert_eq!(read(text).unwrap().write(), text);
        }
    }
}
