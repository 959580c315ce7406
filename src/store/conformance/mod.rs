//! The questions that every store must answer in the same way.
//!
//! A store joins by one line, `conformance!(make)`, where `make` gives a fresh [`Ground`]: a place
//! that a store can be opened on again and again, as a server is started again and again.

pub(super) mod claiming;
pub(super) mod histories;
pub(super) mod keys;
pub(super) mod leasing;
pub(super) mod nodes;
pub(super) mod reading;
pub(super) mod sample;
pub(super) mod starting;
pub(super) mod writing;

use crate::domain::TimeMs;
use crate::store::{Recovered, Store};

pub(super) use sample::NOW;

/// A place for one store at a time.
pub(super) trait Ground {
    /// Opens the store that is there. The one opened before must be gone.
    fn open(&self) -> Box<dyn Store>;
}

/// Gives a place where nothing is stored yet.
pub(super) type Fresh<'f> = &'f dyn Fn() -> Box<dyn Ground>;

/// Opens a store and takes over what the one before held.
pub(super) fn start(ground: &dyn Ground, now: TimeMs) -> (Box<dyn Store>, Recovered) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    let mut store = ground.open();
    let recovered = store.recover(now, &pool).unwrap();
    (store, recovered)
}

/// Makes one test of each question.
macro_rules! conformance {
    ($make:expr) => {
        $crate::store::conformance::conformance!(@each $make,
            writing::what_was_inserted_comes_back_in_every_field,
            writing::a_stale_change_leaves_nothing,
            writing::fates_come_in_the_order_of_units,
            writing::odd_texts_come_back_as_they_were,
            writing::every_kind_of_failure_comes_back,
            writing::after_bad_data_nothing_of_the_batch_is_stored,
            writing::a_retried_task_leaves_the_history_and_comes_back,
            writing::minutes_count_what_happened_in_them,
            keys::the_same_key_and_body_replay_what_they_led_to,
            keys::the_same_key_with_another_body_is_refused,
            keys::a_unique_key_has_one_unfinished_task,
            keys::unique_keys_are_settled_inside_one_batch,
            keys::a_revived_task_takes_its_unique_key_again_or_is_refused,
            keys::old_idempotency_keys_are_forgotten,
            claiming::claims_take_due_rows_in_the_order_of_time_and_id,
            claiming::a_claim_over_all_bands_takes_the_higher_ones_first,
            claiming::a_claim_names_its_types_and_band_and_limit,
            claiming::a_claimed_row_has_the_next_epoch_and_is_not_claimed_again,
            claiming::paused_and_held_rows_are_not_claimed,
            claiming::ids_are_never_given_twice,
            claiming::the_oldest_free_row_is_known,
            starting::a_crash_makes_suspects_and_raises_epochs,
            starting::a_release_makes_none,
            leasing::a_claim_for_a_worker_starts_its_tasks_and_leaves_them_free,
            leasing::a_change_that_has_not_heard_of_a_cancel_is_stale,
            leasing::a_renewed_lease_ends_later_but_never_after_its_attempt,
            leasing::what_runs_out_is_taken_back_under_the_next_epoch,
            leasing::leases_are_counted_by_worker_and_type,
            leasing::a_lease_goes_on_over_a_restart_and_so_does_the_key,
            starting::free_rows_and_types_outlive_a_restart,
            reading::pages_agree_with_a_naive_model,
            reading::walking_by_cursor_meets_every_task_once,
            reading::a_cursor_stands_while_tasks_come_and_end,
            reading::a_cursor_of_another_order_is_refused,
            reading::waiting_tasks_come_by_band_time_and_id,
            reading::payloads_stay_behind_unless_wanted,
            reading::tasks_are_found_by_id_in_the_order_asked,
            reading::ended_tasks_are_pruned_by_age_and_status,
            histories::random_histories_agree_with_the_memory_store,
        );
    };
    (@each $make:expr, $($part:ident :: $question:ident,)*) => {
        $(
            #[test]
            fn $question() {
                $crate::store::conformance::$part::$question(&|| Box::new($make));
            }
        )*
    };
}
pub(super) use conformance;
