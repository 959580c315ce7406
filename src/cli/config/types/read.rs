//! From what stands in the files to types that can be run, or to all that is wrong.

use std::time::Duration;

use super::raw::{RawTypes, RawValue, TypeKeys};
use super::{Executor, TypeSetting};
use crate::cli::config::around::Surroundings;
use crate::cli::config::nearest::nearest;
use crate::cli::config::origin::{Origin, Problem};
use crate::cli::config::setting::{Bare, Setting};
use crate::cli::config::size::{MIB, Size};
use crate::domain::{Rate, Submission};
use crate::execution::{HttpSetup, ProcessLimits, ProcessSetup, SigningKey, find_program};

/// The keys of every type.
const ALL: &[&str] = &["executor", "max-concurrency"];
/// Those of types whose runs block.
const BLOCKING: &[&str] = &["rate-per-second", "burst", "circuit-breaker"];
const PROCESS: &[&str] = &[
    "command",
    "directory",
    "environment",
    "permanent-exit-codes",
    "output-max",
    "stop-grace",
    "memory-max",
    "cpu-time-max",
    "open-files-max",
    "file-size-max",
    "processes-max",
];
const HTTP: &[&str] = &["url", "secret", "secret-env", "headers", "allow-private", "response-max"];

/// Reads all types; what is wrong goes to `problems`.
pub fn read_all(
    raw: &RawTypes,
    around: &Surroundings,
    problems: &mut Vec<Problem>,
) -> Vec<TypeSetting> {
    let read = |(name, keys): (&String, &TypeKeys)| {
        let mut section = Section { name, keys, around, problems };
        section.read()
    };
    raw.0.iter().filter_map(read).collect()
}

struct Section<'a> {
    name: &'a str,
    keys: &'a TypeKeys,
    around: &'a Surroundings,
    problems: &'a mut Vec<Problem>,
}

impl Section<'_> {
    fn read(&mut self) -> Option<TypeSetting> {
        let before = self.problems.len();
        let chars = self.name.chars().count();
        if self.name.trim().is_empty() || chars > Submission::TYPE_CHARS_MAX {
            self.wrong_type("is no task type: it has 1 to 100 characters");
        }
        let executor = self.text("executor");
        let executor = match executor.as_deref() {
            Some("builtin") => self.known(&[ALL]).map(|()| Executor::Builtin),
            Some("process") => self.known(&[ALL, BLOCKING, PROCESS]).and_then(|()| self.process()),
            Some("http") => self.known(&[ALL, BLOCKING, HTTP]).and_then(|()| self.http()),
            Some(_) => {
                self.wrong("executor", "must be builtin, process or http");
                None
            }
            None => {
                self.wrong_type("needs executor = \"builtin\", \"process\" or \"http\"");
                None
            }
        };
        let setting = TypeSetting {
            name: self.name.into(),
            max_concurrency: self.number("max-concurrency", 1, 1_000_000).map(|n| n as usize),
            rate: self.rate(),
            breaker: self.switch("circuit-breaker").unwrap_or(true),
            executor: executor?,
        };
        (self.problems.len() == before).then_some(setting)
    }

    fn process(&mut self) -> Option<Executor> {
        let command = self.list("command").filter(|command| !command.is_empty());
        let Some(command) = command else {
            self.wrong_type("needs command = [\"program\", \"argument\", ...]");
            return None;
        };
        let Some(program) = find_program(&command[0]) else {
            let text = format!("names {}, and there is no such program to run", command[0]);
            self.wrong("command", &text);
            return None;
        };
        let arguments = command.into_iter().skip(1).map(Into::into);
        let mut setup = ProcessSetup::new(std::iter::once(program).chain(arguments).collect());
        setup.directory = self.text("directory").map(Into::into);
        if setup.directory.as_ref().is_some_and(|path: &std::path::PathBuf| !path.is_dir()) {
            self.wrong("directory", "must be a directory");
        }
        let environment = self.table("environment").unwrap_or_default();
        let is_bad = |name: &str| name.is_empty() || name.contains(['=', '\0']);
        if environment.iter().any(|(name, value)| is_bad(name) || value.contains('\0')) {
            self.wrong("environment", "must be a table of variables and their values");
        }
        setup.environment =
            environment.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        if let Some(codes) = self.list("permanent-exit-codes") {
            let read = |code: &String| code.parse().ok().filter(|code| (1..=255).contains(code));
            match codes.iter().map(read).collect() {
                Some(codes) => setup.permanent_codes = codes,
                None => self.wrong("permanent-exit-codes", "must be a list of numbers to 255"),
            }
        }
        if let Some(size) = self.size("output-max", MIB) {
            setup.output_bytes_max = size as usize;
        }
        let most = ProcessSetup::STOP_GRACE_MAX;
        if let Some(grace) = self.time("stop-grace", Duration::ZERO, most) {
            setup.stop_grace = grace;
        }
        setup.limits = ProcessLimits {
            memory_bytes: self.size("memory-max", u64::MAX),
            cpu_s: self
                .time("cpu-time-max", Duration::from_secs(1), Duration::from_hours(24))
                .map(|time| time.as_secs()),
            descriptors: self.number("open-files-max", 3, 1_000_000),
            file_bytes: self.size("file-size-max", u64::MAX),
            processes: self.number("processes-max", 1, 1_000_000),
        };
        Some(Executor::Process(setup))
    }

    fn http(&mut self) -> Option<Executor> {
        let Some(url) = self.text("url") else {
            self.wrong_type("needs url = \"https://...\"");
            return None;
        };
        let mut setup = match HttpSetup::new(&url) {
            Ok(setup) => setup,
            Err(wrong) => {
                self.wrong("url", &wrong);
                return None;
            }
        };
        setup.secret = self.secret().map(SigningKey::new);
        setup.allow_private = self.switch("allow-private").unwrap_or(false);
        if let Some(size) = self.size("response-max", MIB) {
            setup.response_bytes_max = size as usize;
        }
        for (name, value) in self.table("headers").unwrap_or_default() {
            if let Err(wrong) = setup.add_header(&name, &value) {
                self.wrong("headers", &wrong);
            }
        }
        Some(Executor::Http(setup))
    }

    fn secret(&mut self) -> Option<Box<[u8]>> {
        let (text, variable) = (self.text("secret"), self.text("secret-env"));
        let secret = match (text, variable) {
            (Some(_), Some(_)) => {
                self.wrong("secret-env", "and secret exclude each other");
                None
            }
            (None, Some(variable)) => {
                let secret = self.around.variable(&variable).map(String::from);
                if secret.is_none() {
                    let text = format!("names {variable}, and no such variable is set");
                    self.wrong("secret-env", &text);
                }
                secret
            }
            (text, None) => text,
        };
        secret.filter(|secret| !secret.is_empty()).map(|secret| secret.into_bytes().into())
    }

    fn rate(&mut self) -> Option<Rate> {
        let burst = self.number("burst", 1, 1_000_000).map(|burst| burst as u32);
        let Some(text) = self.text("rate-per-second") else {
            if burst.is_some() {
                self.wrong("burst", "means nothing without rate-per-second");
            }
            return None;
        };
        let rate = f64::read(&text, Bare::Refused).ok();
        let Some(per_second) = rate.filter(|rate| (0.001..=1e6).contains(rate)) else {
            self.wrong("rate-per-second", "must be a number from 0.001 to 1000000");
            return None;
        };
        Some(Rate { per_second, burst: burst.unwrap_or(1) })
    }

    /// Whether all keys are among these; says which are not.
    fn known(&mut self, groups: &[&[&'static str]]) -> Option<()> {
        let known = || groups.iter().flat_map(|group| group.iter().copied());
        let unknown: Vec<&String> =
            self.keys.keys().filter(|key| !known().any(|known| known == *key)).collect();
        for key in &unknown {
            let near = nearest(key, known());
            let hint = near.map_or(String::new(), |near| format!("; did you mean {near}?"));
            self.wrong(key, &format!("is no key of such a type{hint}"));
        }
        unknown.is_empty().then_some(())
    }

    fn text(&mut self, key: &str) -> Option<String> {
        if let (RawValue::One(text), _) = self.keys.get(key)? {
            return Some(text.clone());
        }
        self.wrong(key, "must be one value");
        None
    }

    fn list(&mut self, key: &str) -> Option<Vec<String>> {
        if let (RawValue::List(items), _) = self.keys.get(key)? {
            return Some(items.clone());
        }
        self.wrong(key, "must be a list");
        None
    }

    fn table(&mut self, key: &str) -> Option<Vec<(String, String)>> {
        if let (RawValue::Table(fields), _) = self.keys.get(key)? {
            return Some(fields.clone());
        }
        self.wrong(key, "must be a table of texts");
        None
    }

    fn number(&mut self, key: &str, least: u64, most: u64) -> Option<u64> {
        let text = self.text(key)?;
        let number = text.replace('_', "").parse().ok();
        let number = number.filter(|number| (least..=most).contains(number));
        if number.is_none() {
            self.wrong(key, &format!("must be a whole number from {least} to {most}"));
        }
        number
    }

    fn switch(&mut self, key: &str) -> Option<bool> {
        let text = self.text(key)?;
        let switch = bool::read(&text, Bare::Refused);
        switch.map_err(|wrong| self.wrong(key, &wrong)).ok()
    }

    fn size(&mut self, key: &str, most: u64) -> Option<u64> {
        let text = self.text(key)?;
        let size = Size::read(&text, Bare::Refused).map(|size| size.0);
        let size = size.ok().filter(|size| (1..=most).contains(size));
        if size.is_none() {
            let bound = if most == u64::MAX {
                String::new()
            } else {
                format!(", from 1B to {}", Size(most).write())
            };
            self.wrong(key, &format!("must be {}{bound}", Size::FORM));
        }
        size
    }

    fn time(&mut self, key: &str, least: Duration, most: Duration) -> Option<Duration> {
        let text = self.text(key)?;
        let time = Duration::read(&text, Bare::Refused).ok();
        let time = time.filter(|time| (least..=most).contains(time));
        if time.is_none() {
            let (least, most) = (least.write(), most.write());
            self.wrong(key, &format!("must be {}, from {least} to {most}", Duration::FORM));
        }
        time
    }

    fn wrong(&mut self, key: &str, message: &str) {
        let origin = self.keys.get(key).map_or(Origin::Together, |(_, origin)| origin.clone());
        let message = format!("types.{}.{key} {message}", self.name);
        self.problems.push(Problem { origin, message });
    }

    fn wrong_type(&mut self, message: &str) {
        let origin = self.keys.values().next().map_or(Origin::Together, |(_, at)| at.clone());
        let message = format!("types.{} {message}", self.name);
        self.problems.push(Problem { origin, message });
    }
}
