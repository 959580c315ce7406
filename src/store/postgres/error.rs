//! PostgreSQL's errors, as what a caller must do about them.

use std::error::Error as _;

use postgres::error::SqlState;

use crate::store::StoreError;

impl From<postgres::Error> for StoreError {
    fn from(error: postgres::Error) -> StoreError {
        let Some(db) = error.as_db_error() else {
            return without_answer(&error);
        };
        let code = db.code();
        let text = format!("{} ({})", db.message(), code.code());
        // Two letters name the class of an error.
        match (code.code().get(..2).unwrap_or_default(), code) {
            (_, &SqlState::DISK_FULL) => StoreError::Full(text),
            // A name of ours that is not there: the schema was taken away under us.
            ("42", &SqlState::UNDEFINED_TABLE | &SqlState::UNDEFINED_COLUMN) => {
                StoreError::Unusable(text)
            }
            ("22" | "23" | "54", _) => StoreError::Data(text),
            // All else says that the server cannot now: it stops or starts, it has become a
            // standby, it is out of connections or memory, it ended a deadlock or a statement.
            _ => StoreError::Unavailable(text),
        }
    }
}

/// An error on our side of the wire, or of the wire itself.
fn without_answer(error: &postgres::Error) -> StoreError {
    let cause = error.source().map(ToString::to_string);
    let text = match cause {
        Some(cause) if !error.to_string().contains(&cause) => format!("{error}: {cause}"),
        _ => error.to_string(),
    };
    StoreError::Unavailable(text)
}

/// Whether the connection is of no use after this error, even where the server did not end it:
/// a server that became read-only will not take a batch again.
pub(super) fn ends_session(error: &postgres::Error) -> bool {
    match error.code() {
        None => true,
        Some(code) => {
            let class = code.code().get(..2).unwrap_or_default();
            matches!(class, "08" | "57" | "25" | "58" | "XX") && *code != SqlState::QUERY_CANCELED
        }
    }
}

/// Whether the same transaction may well succeed if it is tried again at once. A check is violated
/// by a row whose partition another node has just dropped.
pub(super) fn is_collision(error: &postgres::Error) -> bool {
    let collisions = [
        SqlState::T_R_DEADLOCK_DETECTED,
        SqlState::T_R_SERIALIZATION_FAILURE,
        SqlState::CHECK_VIOLATION,
    ];
    error.code().is_some_and(|code| collisions.contains(code))
}
