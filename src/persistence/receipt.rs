//! A receipt: the right to one answer, handed over with a request.
//!
//! Whoever sends a request keeps nothing and waits for nothing; the answer comes through the
//! receipt, from whichever thread settles it. One that is dropped unanswered answers
//! [`Refusal::Unknown`], so no client is ever left without a word.

use std::fmt;

use super::{Answer, Refusal};

type Settle = Box<dyn FnOnce(Result<Answer, Refusal>) + Send>;

/// The right to one answer.
pub struct Receipt(Option<Settle>);

impl Receipt {
    /// A receipt that hands its answer to `answer`. That runs on the writer's thread, so it must
    /// only pass the answer on and never wait.
    pub fn new(answer: impl FnOnce(Result<Answer, Refusal>) + Send + 'static) -> Receipt {
        Receipt(Some(Box::new(answer)))
    }

    /// Answers now what will be settled later; that answer then goes nowhere.
    pub fn answer_early(&mut self, answer: Result<Answer, Refusal>) {
        if let Some(settle) = self.0.take() {
            settle(answer);
        }
    }

    /// Answers.
    pub fn settle(mut self, answer: Result<Answer, Refusal>) {
        if let Some(settle) = self.0.take() {
            settle(answer);
        }
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        if let Some(settle) = self.0.take() {
            settle(Err(Refusal::Unknown));
        }
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Receipt")
    }
}
