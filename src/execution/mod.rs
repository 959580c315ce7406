//! Floor 4: pinned cores, threads that may block, and the handlers they run.
//!
//! A [`Handler`] is what a task type does; the [`Registry`] finds it. A [`Core`] takes tickets and
//! runs them; [`Cores`] puts each core on a thread of its own, pinned to a CPU, and watches them.
//! [`Slots`] are the threads of types whose runs block.
//!
//! Absent on purpose: stores, retries and verdicts. What happened is reported, and the writer
//! decides what it means.

mod alarm;
mod attempt;
mod core;
mod cores;
mod ending;
mod executors;
mod handler;
mod mail;
mod pin;
pub mod program;
mod registry;
mod slots;
mod watch;

#[cfg(all(test, not(modelled)))]
mod tests;

pub use self::core::{Core, Step};
pub use alarm::Alarm;
pub use attempt::Attempt;
pub use cores::{Cores, Stopped, Tick};
pub use executors::http::{Http, HttpSetup, SigningKey};
pub use executors::process::{Process, ProcessSetup};
pub use handler::{Doing, Handler};
pub use mail::Mail;
pub use pin::{CoreWish, Pins, allowed_cpus, cgroup_quota, choose, confine, pin};
pub use program::{ProcessLimits, find_program};
pub use registry::{Blocking, Registry, RegistryError};
pub use slots::{Slots, time_limit};
