//! The read threads: questions that memory cannot answer, each from one snapshot of the store.
//!
//! A question is a closure that gets a reader and sends its answer itself, so that neither the
//! asker nor this floor waits. The queue of questions is bounded; what finds no room is refused.

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use crate::store::Reader;

/// A question, which also answers itself.
pub type Question = Box<dyn FnOnce(&mut dyn Reader) + Send>;

/// Where questions are asked.
#[derive(Debug, Clone)]
pub struct Reads(Sender<Question>);

impl Reads {
    /// How many questions may wait.
    const WAITING_MAX: usize = 1024;

    /// The asking end, and the end that the reading threads share.
    pub fn new() -> (Reads, Receiver<Question>) {
        let (ask, asked) = bounded(Self::WAITING_MAX);
        (Reads(ask), asked)
    }

    /// Asks; gives the question back when too many wait.
    pub fn ask(&self, question: Question) -> Result<(), Question> {
        self.0.try_send(question).map_err(|error| match error {
            TrySendError::Full(question) | TrySendError::Disconnected(question) => question,
        })
    }
}

/// The body of a reading thread: answers until nobody can ask any more.
pub fn answer_all(reader: &mut dyn Reader, asked: &Receiver<Question>) {
    for question in asked {
        // A question is foreign code: its panic is its own end, not that of the thread.
        let answered = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| question(reader)));
        if answered.is_err() {
            log::error!("a question to the store panicked");
        }
    }
}
