//! Floor 6: HTTP; it translates and decides nothing.
//!
//! A request comes in complete from the gate. An api thread finds its route, checks what was sent
//! and hands it to the engine together with a receipt, and is free at once; whichever thread knows
//! the answer posts it to the replier, which renders and sends it. So one or two api threads carry
//! hundreds of requests that wait for the same commit.
//!
//! Promise: bad input ends here, with a documented answer that is never a 500. Absent on purpose:
//! the rules about tasks, which are the domain's, and waiting for the engine or the disk.

mod accept;
mod access;
mod ask;
mod callers;
mod desk;
mod docs;
mod exchange;
pub mod gate;
mod guard;
mod json;
mod leases;
mod levels;
mod ops;
mod pack;
mod pen;
mod problem;
mod render;
mod replier;
mod reply;
mod route;
mod router;
mod scribes;
pub mod server;
mod settings;
mod tasks;
mod time;
mod token;
mod traffic;
mod ui;
mod view;
mod wire;

pub use access::{Access, Scope, Token};
pub use callers::Callers;
pub use levels::Levels;
pub use router::Router;
pub use settings::{ApiSettings, Compatibility, ExecutorOf, parse_pool};
