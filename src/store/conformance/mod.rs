//! The questions that every store must answer in the same way.
//!
//! A store joins by one line, `conformance!(make)`, where `make` gives a fresh [`Ground`]: a place
//! that a store can be opened on again and again, as a server is started again and again.

pub(super) mod sample;
pub(super) mod writing;

use crate::store::Store;

pub(super) use sample::NOW;

/// A place for one store at a time.
pub(super) trait Ground {
    /// Opens the store that is there. The one opened before must be gone.
    fn open(&self) -> Box<dyn Store>;
}

/// A pool for recovery.
pub(super) fn pool() -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap()
}

/// Makes one test of each question.
macro_rules! conformance {
    ($make:expr) => {
        $crate::store::conformance::conformance!(@each $make,
            writing::what_was_inserted_comes_back_in_every_field,
            writing::a_stale_change_leaves_nothing,
        );
    };
    (@each $make:expr, $($part:ident :: $question:ident,)*) => {
        $(
            #[test]
            fn $question() {
                $crate::store::conformance::$part::$question(&$make);
            }
        )*
    };
}
pub(super) use conformance;
