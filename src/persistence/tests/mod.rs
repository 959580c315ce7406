//! The writer and the persist thread, stepped on one thread with a manual clock and a store that
//! fails on demand.

mod commands;
mod corners;
mod crossings;
mod doubt;
mod faults;
mod leases;
mod node;
mod rooms;
mod several;
mod starts;
