//! The configuration: typed, checked, and able to say where each value comes from.
//!
//! Sources, the later winning: default, `taskscheduler.toml`, profile files, environment, flags.
//! [`load()`] brings them together; `keys` is the one table of what can be set.
//!
//! Promise: whoever holds a [`Config`] holds values that were read, are within their ranges and fit
//! together; all that is wrong is reported at once; no output shows a secret.
//! Absent on purpose: threads, the network, and files other than configuration files.

mod around;
mod check;
mod cores;
mod database;
mod env;
mod file;
mod keys;
mod legacy;
mod listen;
mod load;
mod nearest;
mod origin;
mod redis;
mod secret;
mod setting;
mod show;
mod size;
mod table;
mod tokens;
mod types;
mod url;
mod wiring;
mod words;

pub use around::Surroundings;
pub use cores::Cores;
pub use database::DatabaseUrl;
pub use keys::{
    Api, CircuitBreaker, Config, Database, Engine, KEYS, Log, Node, Priority, PriorityQueue, Redis,
    Retention, TaskDefaults, ThreadPool, Workers,
};
pub use listen::Listen;
pub use load::{Asked, Loaded, load};
pub use origin::{ConfigError, Origin, Origins, Problem};
pub use redis::RedisUrl;
pub use secret::Secret;
pub use setting::{Bare, Setting, Shape};
pub use show::{as_json, as_toml, defaults};
pub use size::{Size, SizeLimit};
pub use table::Key;
pub use tokens::Tokens;
pub use types::{Executor, RawTypes, TypeSetting};
pub use url::Url;
pub use words::{Choice, Compatibility, LogFormat, LogLevel, Migrate};
