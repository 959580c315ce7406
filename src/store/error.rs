//! What can go wrong in a store, and the one question its caller has: what now?

/// A store's failure.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the message says what the budget is")]
pub enum StoreError {
    /// It does not answer, or answers that it cannot now; nothing was stored.
    #[error("reach the store: {0}")]
    Unavailable(String),
    /// It went silent while it was to commit: the batch is stored, or it is not.
    #[error("learn whether the batch was stored: {0}")]
    Unknown(String),
    /// It counts this node among the dead: others have what it held.
    #[error("write as this node: {0}")]
    Fenced(String),
    /// It cannot hold this data; nothing was stored.
    #[error("store the data: {0}")]
    Data(String),
    /// The disk is full; nothing was stored.
    #[error("store more: the disk is full ({0})")]
    Full(String),
    /// A write or a sync failed: what is on the disk is known only after a restart.
    #[error("write to the disk: {0}")]
    Broken(String),
    /// The question would take too long.
    #[error("answer within {budget_ms} ms: the query is too broad")]
    TooBroad { budget_ms: u32 },
    /// The files are not what this program can work with.
    #[error("use the store: {0}")]
    Unusable(String),
}

/// What to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cure {
    /// Send the same batch again, a little later.
    RetryBatch,
    /// Keep the batch as it is until [`Store::settle`](super::Store::settle) has an answer.
    SettleBatch,
    /// Find the unit that does not fit, by halves.
    BisectBatch,
    /// Refuse what takes more space, send the rest again.
    RefuseInserts,
    /// End the process and start from what is stored; never try that sync again.
    StopServer,
}

impl StoreError {
    /// What to do about it.
    pub fn cure(&self) -> Cure {
        match self {
            StoreError::Unavailable(_) | StoreError::TooBroad { .. } => Cure::RetryBatch,
            StoreError::Unknown(_) => Cure::SettleBatch,
            StoreError::Data(_) => Cure::BisectBatch,
            StoreError::Full(_) => Cure::RefuseInserts,
            StoreError::Broken(_) | StoreError::Unusable(_) | StoreError::Fenced(_) => {
                Cure::StopServer
            }
        }
    }
}
