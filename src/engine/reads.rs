//! The read threads: questions that memory cannot answer, each from one snapshot of the store.
//!
//! A question is a closure that gets a reader and sends its answer itself, so that neither the
//! asker nor this floor waits. The queue of questions is bounded; what finds no room is refused.
//!
//! A store that has stopped answering holds a thread for as long as it likes. What has waited for
//! it for [`Reads::PATIENCE`] is given up, and while all threads are held so, every other question
//! is at once; the first of them that comes back ends that.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded, never};

use crate::clock::{Clock, Mono};
use crate::metrics::{DURATIONS_US, Histogram, SharedHistogram};
use crate::store::Reader;

/// A question, which also answers itself.
pub struct Question {
    /// Asks, and answers unless it was given up meanwhile.
    pub ask: Ask,
    /// Answers in its place that the store does not.
    pub give_up: GiveUp,
}

type Ask = Box<dyn FnOnce(&mut dyn Reader) + Send>;
type GiveUp = Box<dyn FnOnce() + Send>;

impl Question {
    /// One whose asker hears nothing where the store is silent.
    pub fn new(ask: impl FnOnce(&mut dyn Reader) + Send + 'static) -> Question {
        Question { ask: Box::new(ask), give_up: Box::new(|| ()) }
    }
}

impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Question")
    }
}

/// Where questions are asked.
#[derive(Debug, Clone)]
pub struct Reads {
    ask: Sender<Question>,
    shared: Arc<Shared>,
}

/// The end that the reading threads share.
#[derive(Clone)]
pub struct Asked {
    questions: Receiver<Question>,
    shared: Arc<Shared>,
}

struct Shared {
    took: SharedHistogram,
    clock: Arc<dyn Clock>,
    seats: Mutex<Vec<Arc<Mutex<Seat>>>>,
    /// Whether all threads wait for a store that does not answer.
    is_stuck: AtomicBool,
}

/// What one thread is at.
#[derive(Default)]
struct Seat {
    since: Option<Mono>,
    give_up: Option<GiveUp>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shared")
    }
}

impl Reads {
    /// How many questions may wait.
    const WAITING_MAX: usize = 1024;
    /// How long a question may be with the store.
    pub const PATIENCE: Duration = Duration::from_secs(5);
    /// How often it is looked at.
    const LOOK: Duration = Duration::from_millis(250);

    /// The asking end, and the end that the reading threads share.
    pub fn new(clock: Arc<dyn Clock>) -> (Reads, Asked) {
        let (ask, questions) = bounded(Self::WAITING_MAX);
        let took = SharedHistogram::new(DURATIONS_US);
        let (seats, is_stuck) = (Mutex::default(), AtomicBool::new(false));
        let shared = Arc::new(Shared { took, clock, seats, is_stuck });
        (Reads { ask, shared: Arc::clone(&shared) }, Asked { questions, shared })
    }

    /// How long questions took, in microseconds.
    pub fn took(&self) -> Histogram {
        self.shared.took.read()
    }

    /// How many questions wait.
    pub fn waiting(&self) -> usize {
        self.ask.len()
    }

    /// Asks; gives the question back when too many wait.
    pub fn ask(&self, question: Question) -> Result<(), Question> {
        // Relaxed, as everywhere here: a question that comes in between is given up a little later.
        if self.shared.is_stuck.load(Ordering::Relaxed) {
            (question.give_up)();
            return Ok(());
        }
        self.ask.try_send(question).map_err(|error| match error {
            TrySendError::Full(question) | TrySendError::Disconnected(question) => question,
        })
    }
}

impl Asked {
    /// The body of a reading thread: answers until nobody can ask any more.
    pub fn answer_all(&self, reader: &mut dyn Reader) {
        let seat = Arc::new(Mutex::new(Seat::default()));
        lock(&self.shared.seats).push(Arc::clone(&seat));
        for Question { ask, give_up } in &self.questions {
            let from = self.shared.clock.mono();
            *lock(&seat) = Seat { since: Some(from), give_up: Some(give_up) };
            // A question is foreign code: its panic is its own end, not that of the thread.
            let answered = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| ask(reader)));
            if answered.is_err() {
                log::error!("a question to the store panicked");
            }
            *lock(&seat) = Seat::default();
            // Looked at first: each thread does this for each question.
            let is_stuck = &self.shared.is_stuck;
            if is_stuck.load(Ordering::Relaxed) && is_stuck.swap(false, Ordering::Relaxed) {
                log::info!("the store answers questions again");
            }
            self.shared.took.add(self.shared.clock.mono().since(from).as_micros() as u64);
        }
    }

    /// The body of the thread that gives up what the store does not answer, until nobody reads.
    pub fn watch_all(self) {
        let Asked { questions, shared } = self;
        // The threads end when nobody can ask, and that must not hang on this one.
        let weak = Arc::downgrade(&shared);
        drop(shared);
        loop {
            let _ = never::<()>().recv_timeout(Reads::LOOK);
            let Some(shared) = weak.upgrade() else { return };
            Asked { questions: questions.clone(), shared }.look();
        }
    }

    /// Gives up what has waited for too long.
    fn look(&self) {
        let now = self.shared.clock.mono();
        let seats = lock(&self.shared.seats).clone();
        let mut held = 0;
        for seat in &seats {
            let mut seat = lock(seat);
            if seat.since.is_some_and(|since| now.since(since) >= Reads::PATIENCE) {
                held += 1;
                let late = seat.give_up.take();
                drop(seat);
                if let Some(give_up) = late {
                    give_up();
                }
            }
        }
        if held == 0 || held < seats.len() {
            return;
        }
        if !self.shared.is_stuck.swap(true, Ordering::Relaxed) {
            log::error!("the store has not answered a question for {:?}", Reads::PATIENCE);
        }
        for question in self.questions.try_iter().take(Reads::WAITING_MAX) {
            (question.give_up)();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::domain::TimeMs;
    use crate::store::memory::MemoryDisk;
    use crate::store::{NodeId, Store};

    const WAIT: Duration = Duration::from_secs(30);

    #[test]
    fn a_store_that_does_not_answer_holds_up_no_question_and_is_asked_again_when_it_does() {
        let clock = ManualClock::at(TimeMs(0));
        let (reads, asked) = Reads::new(clock.clone());
        let store = MemoryDisk::new().join(NodeId(1), "n");
        let mut readers: Vec<_> = (0..2).map(|_| store.reader().unwrap()).collect();
        let (tell, told) = bounded(16);
        let (begin, begun) = bounded(2);
        let (go_on, gone_on) = bounded::<()>(2);
        let question = |name: &'static str, hangs: bool| {
            let (tell, tell_late) = (tell.clone(), tell.clone());
            let (begin, gone_on) = (begin.clone(), gone_on.clone());
            let ask = Box::new(move |_: &mut dyn Reader| {
                if hangs {
                    begin.send(()).unwrap();
                    gone_on.recv_timeout(WAIT).unwrap();
                }
                tell.send((name, "answered")).unwrap();
            });
            Question { ask, give_up: Box::new(move || tell_late.send((name, "late")).unwrap()) }
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = readers
                .iter_mut()
                .map(|reader| {
                    let asked = asked.clone();
                    scope.spawn(move || asked.answer_all(&mut **reader))
                })
                .collect();
            // A thread that has not sat down yet is none that could go on.
            while lock(&asked.shared.seats).len() < threads.len() {
                std::thread::yield_now();
            }
            reads.ask(question("first", true)).unwrap();
            begun.recv_timeout(WAIT).unwrap();
            clock.advance(Reads::PATIENCE);
            asked.look();
            assert_eq!(told.recv_timeout(WAIT), Ok(("first", "late")));
            // The other thread goes on.
            reads.ask(question("second", false)).unwrap();
            assert_eq!(told.recv_timeout(WAIT), Ok(("second", "answered")));
            reads.ask(question("third", true)).unwrap();
            begun.recv_timeout(WAIT).unwrap();
            reads.ask(question("fourth", false)).unwrap();
            asked.look();
            assert!(told.is_empty(), "they have time left");
            clock.advance(Reads::PATIENCE);
            asked.look();
            let mut late: Vec<_> = (0..2).map(|_| told.recv_timeout(WAIT).unwrap()).collect();
            late.sort_unstable();
            assert_eq!(late, [("fourth", "late"), ("third", "late")]);
            reads.ask(question("fifth", false)).unwrap();
            assert_eq!(told.try_recv(), Ok(("fifth", "late")), "it is not even tried");
            (0..2).for_each(|_| go_on.send(()).unwrap());
            // What comes back answers nobody, as its question is settled; here it says so itself.
            for _ in 0..2 {
                told.recv_timeout(WAIT).unwrap();
            }
            let again = || {
                reads.ask(question("last", false)).unwrap();
                told.recv_timeout(WAIT) == Ok(("last", "answered"))
            };
            assert!((0..1000).any(|_| again()), "it is asked again");
            drop(reads);
            for thread in threads {
                thread.join().unwrap();
            }
        });
    }
}
