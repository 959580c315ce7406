//! The task types of the configuration as handlers beside those that are compiled in.

use crate::cli::config::{Executor, Loaded};
use crate::cli::exit::{Exit, Failure};
use crate::execution::{Http, Process, Registry};

/// Adds them; an error names the type that cannot be.
pub fn register(mut registry: Registry, loaded: &Loaded) -> Result<Registry, Failure> {
    for setting in &loaded.types {
        let name = &setting.name;
        let blocking = setting.blocking(&loaded.config.circuit_breaker);
        let added = match &setting.executor {
            Executor::Builtin => {
                let limit = setting.max_concurrency;
                let known =
                    limit.map_or(registry.slot(name).is_some(), |most| registry.limit(name, most));
                if !known {
                    let text = format!("types.{name} is said to be builtin, and is not");
                    return Err(Failure::new(Exit::Conflict, text));
                }
                continue;
            }
            Executor::Process(setup) => {
                registry.register_blocking(name, Process::new(setup.clone()), blocking)
            }
            Executor::Http(setup) => {
                registry.register_blocking(name, Http::new(setup.clone()), blocking)
            }
        };
        added.map_err(|error| Failure::new(Exit::Conflict, format!("types.{name}: {error}")))?;
    }
    Ok(registry)
}
