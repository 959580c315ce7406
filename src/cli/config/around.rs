//! Where configuration is looked for.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// The world around the process, as far as configuration is looked for in it.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// The environment variables.
    pub variables: BTreeMap<String, String>,
    /// The directories that are searched for files, in order.
    pub directories: Vec<PathBuf>,
}

impl Surroundings {
    /// The real ones. A variable that is not UTF-8 cannot be meant for us.
    pub fn real() -> Surroundings {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Surroundings {
            variables: std::env::vars_os().filter_map(text).collect(),
            directories: vec![PathBuf::from("."), PathBuf::from("/etc/taskscheduler")],
        }
    }

    /// A variable, if it is set to something; compose files set unused ones to nothing.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}
