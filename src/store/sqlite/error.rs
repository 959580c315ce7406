//! SQLite's result codes, as what a caller must do about them.

use rusqlite::ErrorCode;
use rusqlite::ffi;

use crate::store::StoreError;

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> StoreError {
        let text = error.to_string();
        let rusqlite::Error::SqliteFailure(failure, _) = &error else {
            return other(&error, text);
        };
        // The index file beside the log could not grow: the log itself was not touched.
        if failure.extended_code == ffi::SQLITE_IOERR_SHMSIZE {
            return StoreError::Full(text);
        }
        match failure.code {
            ErrorCode::DiskFull => StoreError::Full(text),
            ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::OutOfMemory
            | ErrorCode::FileLockingProtocolFailed
            | ErrorCode::OperationInterrupted => StoreError::Unavailable(text),
            ErrorCode::ConstraintViolation | ErrorCode::TooBig | ErrorCode::TypeMismatch => {
                StoreError::Data(text)
            }
            ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::NotADatabase => {
                StoreError::Unusable(text)
            }
            // An input or output error, a damaged page, a medium that became read-only, or a code
            // that has no place here: what the disk holds is known only after a restart.
            _ => StoreError::Broken(text),
        }
    }
}

/// Errors that come from our side of the binding.
fn other(error: &rusqlite::Error, text: String) -> StoreError {
    match error {
        rusqlite::Error::ToSqlConversionFailure(_) | rusqlite::Error::NulError(_) => {
            StoreError::Data(text)
        }
        _ => StoreError::Broken(text),
    }
}
