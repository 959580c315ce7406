//! Task types between their first submit and its commit.
//!
//! A type that is new is taken up when it is submitted, because later submits in the same batch
//! mean the same one, but it counts for good only once a task of it is stored.

use std::collections::HashMap;
use std::sync::Arc;

/// The types that are in no store yet, with how many submitted tasks name each. Nearly always
/// empty, which is all that a submit of a known type looks at.
#[derive(Debug, Default)]
pub(super) struct Newcomers(HashMap<Arc<str>, usize>);

/// What is left of a type when one of its tasks was not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    /// It stays: it is in the store, or another task may bring it there.
    Something,
    /// Nobody means it any more.
    Nothing,
}

impl Newcomers {
    /// A task names a type for the first time.
    pub fn came(&mut self, name: &Arc<str>) {
        self.0.insert(Arc::clone(name), 1);
    }

    /// A further task names a type.
    pub fn named_again(&mut self, name: &str) {
        if !self.0.is_empty()
            && let Some(tasks) = self.0.get_mut(name)
        {
            *tasks += 1;
        }
    }

    /// A task of this type is stored.
    pub fn stored(&mut self, name: &str) {
        if !self.0.is_empty() {
            self.0.remove(name);
        }
    }

    /// A task of this type is not stored.
    pub fn dropped(&mut self, name: &str) -> Left {
        let Some(tasks) = self.0.get_mut(name) else { return Left::Something };
        *tasks -= 1;
        if *tasks > 0 {
            return Left::Something;
        }
        self.0.remove(name);
        Left::Nothing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_stays_as_long_as_one_task_may_bring_it_into_the_store() {
        let mut newcomers = Newcomers::default();
        newcomers.came(&"A".into());
        newcomers.named_again("A");
        newcomers.named_again("KNOWN");
        assert_eq!(newcomers.dropped("A"), Left::Something);
        assert_eq!(newcomers.dropped("A"), Left::Nothing);
        assert_eq!(newcomers.dropped("A"), Left::Something, "it is gone already");
        newcomers.came(&"B".into());
        newcomers.named_again("B");
        newcomers.stored("B");
        assert_eq!(newcomers.dropped("B"), Left::Something);
        assert_eq!(newcomers.dropped("KNOWN"), Left::Something);
    }
}
