//! What each section starts from: a throw-away server with a database, and nodes on it.

use std::time::Duration;

use taskscheduler::clock::{Clock, Mono, SystemClock};
use test_servers::{Account, Cluster};

use crate::http::client::{Answers, Load, Pace, Until};
use crate::http::node::Node;
use crate::http::requests::single;
use crate::ledger::server::stock;

/// What the throw-away server is told; everything else is as it comes. A checkpoint in a run of
/// seconds would be an accident of its timing.
const SETTINGS: [&str; 2] = ["max_wal_size=8GB", "shared_buffers=512MB"];

/// A server of its own, and a database on it.
pub fn ground() -> (Cluster, Account) {
    let cluster = Cluster::start(&SETTINGS);
    let account = cluster.account();
    (cluster, account)
}

/// The release binary on a database.
pub fn node_on(account: &Account, more: &[String]) -> Node {
    Node::start(|data| {
        let mut command = stock(data);
        command.args(["--database-url", &account.url()]).args(more);
        command
    })
}

/// A load that sends the next request when the last is answered.
pub fn closed(
    node: &Node,
    connections: usize,
    until: Until,
    render: &mut dyn FnMut(u64, &mut Vec<u8>),
) -> Answers {
    let address = node.address();
    Load { address, connections, pace: Pace::Closed, until, render }.run()
}

/// Warm-up: connections opened, plans made, pages faulted in. How many tasks that were.
pub fn warm_up(node: &mut Node) -> u64 {
    let answers = closed(node, 16, Until::Sent(2_000), &mut single("LOAD_TEST"));
    assert_eq!(answers.errors(), 0, "{:?}, {} broken", answers.refused, answers.broken);
    node.wait_completed(answers.times_us.len());
    answers.times_us.len()
}

/// So many things since then, a second.
pub fn rate(things: u64, clock: &SystemClock, from: Mono) -> f64 {
    things as f64 / clock.mono().since(from).as_secs_f64()
}

/// Waits without doing anything.
pub fn pause(wait: Duration) {
    let _ = crossbeam_channel::never::<()>().recv_timeout(wait);
}
