//! `worker`: leases tasks from a server and runs a command for each.
//!
//! One thread asks for as many tasks as there are free hands, one keeps all leases alive whatever
//! the commands do, and each hand runs one command at a time and reports how it ended. A server
//! that is away is asked again until it is back; what was done meanwhile is reported then.
//!
//! Absent on purpose: anything the HTTP API does not say; the worker may run on any machine.

mod hand;
mod held;
mod link;
mod pause;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, never, select};

use crate::cli::args::WorkerArgs;
use crate::cli::config::Surroundings;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::note;
use crate::cli::signals::Signals;
use crate::clock::{Clock, SystemClock};

use hand::Hand;
use held::{Held, Lease};
use link::{Leased, Link, Problem, Task};
use pause::Pause;

/// What the threads of a worker share.
struct Shared {
    link: Link,
    held: Held,
    clock: SystemClock,
    /// No new task is taken from now on.
    draining: AtomicBool,
    /// Never says anything.
    never: Receiver<()>,
}

/// A task to be run.
type Given = (Arc<Lease>, Task);

/// How often leases are renewed at the least, so that a wish to cancel is soon heard.
const BEAT_MAX: Duration = Duration::from_secs(2);
/// How long what was told to stop may take for that.
const LAST: Duration = Duration::from_secs(10);

/// Works until a signal asks for an end, or the server refuses for good.
pub fn run(args: &WorkerArgs, around: &Surroundings) -> Result<Exit, Failure> {
    let name = args.name.clone().unwrap_or_else(own_name);
    let shared = Arc::new(Shared {
        link: Link::new(args, &name, around)?,
        held: Held::default(),
        clock: SystemClock::new(),
        draining: AtomicBool::new(false),
        never: never(),
    });
    let hurried = Arc::clone(&shared);
    let signals = Signals::watch(move || hurried.held.give_back())?;
    let hands = usize::from(args.concurrency);
    let (free, freed) = bounded(hands);
    let (give, given) = bounded::<Given>(hands);
    for number in 0..hands {
        let hand = Hand::new(&args.command, Arc::clone(&shared));
        let (given, free) = (given.clone(), free.clone());
        spawn(&format!("hand-{number}"), move || work(&hand, &given, &free))?;
    }
    drop((given, free));
    let (keep_beating, stopped) = bounded::<()>(0);
    let beating = Arc::clone(&shared);
    let every = (args.lease / 3).min(BEAT_MAX);
    spawn("beats", move || beat(&beating, every, &stopped))?;
    let leasing = Arc::clone(&shared);
    let (keep_leasing, over) = bounded::<()>(0);
    let (tell, refused) = bounded(1);
    let leases = spawn("leases", move || {
        if let Err(failure) = lease(&leasing, &freed, &give, &over) {
            let _ = tell.send(failure);
        }
    })?;
    note(&format!("taskscheduler: worker {name} waits for tasks"));

    let end = select! {
        recv(signals.asked) -> signal => {
            let signal = signal.unwrap_or("the end of its signals");
            note(&format!("taskscheduler: {signal}: taking no more tasks"));
            Ok(Exit::Done)
        }
        recv(refused) -> why => Err(why.unwrap_or_else(|_| {
            Failure::new(Exit::Failed, "the thread that leases tasks has died")
        })),
    };
    // Relaxed, here and below: a flag that orders nothing else.
    shared.draining.store(true, Ordering::Relaxed);
    drop(keep_leasing);
    // What an answer under way still brings is given back by that thread.
    shared.link.hang_up();
    let _ = leases.join();
    drain(&shared, args.drain_timeout)?;
    drop(keep_beating);
    end
}

/// Lets what runs finish; then stops it and gives it back.
fn drain(shared: &Shared, at_most: Duration) -> Result<(), Failure> {
    if all_left(shared, at_most) {
        return Ok(());
    }
    note("taskscheduler: stopping what still runs and giving it back");
    shared.held.give_back();
    if all_left(shared, LAST) {
        return Ok(());
    }
    Err(Failure::new(Exit::Failed, "some tasks could not be given back; their leases run out"))
}

/// Waits until no lease is held, at most this long.
fn all_left(shared: &Shared, at_most: Duration) -> bool {
    let until = shared.clock.mono().plus(at_most);
    while !shared.held.is_empty() {
        let left = until.since(shared.clock.mono());
        if left.is_zero() {
            return false;
        }
        shared.held.wait_for_change(left);
    }
    true
}

/// A hand's life: takes tasks until there are no more.
fn work(hand: &Hand, given: &Receiver<Given>, free: &Sender<()>) {
    while free.send(()).is_ok() {
        let Ok((lease, task)) = given.recv() else { return };
        hand.run(&lease, &task);
    }
}

/// Asks for as many tasks as there are free hands, again and again, until `over` is closed or the
/// server refuses for good.
fn lease(
    shared: &Shared,
    freed: &Receiver<()>,
    give: &Sender<Given>,
    over: &Receiver<()>,
) -> Result<(), Failure> {
    let mut pause = Pause::default();
    let mut free = 0;
    while !shared.draining.load(Ordering::Relaxed) {
        if free == 0 {
            select! {
                recv(freed) -> hand => free += usize::from(hand.is_ok()),
                recv(over) -> _ => return Ok(()),
            }
        }
        free += freed.try_iter().count();
        let leases = match shared.link.lease(free) {
            Ok(leases) => leases,
            Err(_) if shared.draining.load(Ordering::Relaxed) => return Ok(()),
            Err(Problem::Lasting(failure)) => return Err(failure),
            Err(Problem::Passing(problem)) => {
                pause.after(&problem, over);
                continue;
            }
        };
        pause = Pause::default();
        for leased in leases {
            free = free.saturating_sub(usize::from(hand_out(shared, give, leased)));
        }
    }
    Ok(())
}

/// Gives a task to a hand, or back to the server. Whether a hand has it.
fn hand_out(shared: &Shared, give: &Sender<Given>, leased: Leased) -> bool {
    let Leased { token, task } = leased;
    let why = match shared.held.take(&token) {
        Ok(lease) if !shared.draining.load(Ordering::Relaxed) => {
            // There is room: no more were asked for than hands are free.
            match give.try_send((lease, task)) {
                Ok(()) => return true,
                Err(_) => "the server gave more than was asked for".to_owned(),
            }
        }
        Ok(_) => "the worker ends".to_owned(),
        Err(error) => error.to_string(),
    };
    if let Err(problem) = shared.link.report(&token, &link::Report::Released) {
        note(&format!("taskscheduler: a lease was not taken ({why}) and runs out: {problem:?}"));
    }
    shared.held.leave(&token);
    false
}

/// Renews all leases, from a thread that no command can hold up.
fn beat(shared: &Shared, every: Duration, stopped: &Receiver<()>) {
    let mut silent = false;
    while stopped.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
        let tokens = shared.held.tokens();
        if tokens.is_empty() {
            continue;
        }
        // What is not answered is told again with the next one.
        match shared.link.beat(&tokens) {
            Ok(beaten) => {
                silent = false;
                for lease in &beaten {
                    shared.held.heard(lease);
                }
            }
            Err(Problem::Passing(why) | Problem::Lasting(Failure::Said { message: why, .. }))
                if !silent =>
            {
                silent = true;
                note(&format!("taskscheduler: leases cannot be renewed: {why}; trying again"));
            }
            Err(_) => {}
        }
    }
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, Failure> {
    Ok(thread::Builder::new().name(name.into()).spawn(body)?)
}

/// What a worker calls itself that was given no name.
fn own_name() -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("{host}-{}", std::process::id())
}
