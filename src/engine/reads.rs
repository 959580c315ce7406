//! The read threads: questions that memory cannot answer, each from one snapshot of the store.
//!
//! A question is a closure that gets a reader and sends its answer itself, so that neither the
//! asker nor this floor waits. The queue of questions is bounded; what finds no room is refused.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use crate::clock::Clock;
use crate::metrics::{DURATIONS_US, Histogram, SharedHistogram};
use crate::store::Reader;

/// A question, which also answers itself.
pub type Question = Box<dyn FnOnce(&mut dyn Reader) + Send>;

/// Where questions are asked.
#[derive(Debug, Clone)]
pub struct Reads {
    ask: Sender<Question>,
    took: Arc<SharedHistogram>,
}

/// The end that the reading threads share.
#[derive(Clone)]
pub struct Asked {
    questions: Receiver<Question>,
    took: Arc<SharedHistogram>,
    clock: Arc<dyn Clock>,
}

impl Reads {
    /// How many questions may wait.
    const WAITING_MAX: usize = 1024;

    /// The asking end, and the end that the reading threads share.
    pub fn new(clock: Arc<dyn Clock>) -> (Reads, Asked) {
        let (ask, questions) = bounded(Self::WAITING_MAX);
        let took = Arc::new(SharedHistogram::new(DURATIONS_US));
        (Reads { ask, took: Arc::clone(&took) }, Asked { questions, took, clock })
    }

    /// How long questions took, in microseconds.
    pub fn took(&self) -> Histogram {
        self.took.read()
    }

    /// How many questions wait.
    pub fn waiting(&self) -> usize {
        self.ask.len()
    }

    /// Asks; gives the question back when too many wait.
    pub fn ask(&self, question: Question) -> Result<(), Question> {
        self.ask.try_send(question).map_err(|error| match error {
            TrySendError::Full(question) | TrySendError::Disconnected(question) => question,
        })
    }
}

/// The body of a reading thread: answers until nobody can ask any more.
pub fn answer_all(reader: &mut dyn Reader, asked: &Asked) {
    for question in &asked.questions {
        let from = asked.clock.mono();
        // A question is foreign code: its panic is its own end, not that of the thread.
        let answered = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| question(reader)));
        if answered.is_err() {
            log::error!("a question to the store panicked");
        }
        asked.took.add(asked.clock.mono().since(from).as_micros() as u64);
    }
}
