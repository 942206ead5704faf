//! Data that a storage already has and that belongs to no cluster yet, to be imported
//! ([`adoption`](crate::command::adoption)).

use async_trait::async_trait;
use tokio::sync::mpsc;

use crate::command::adoption::Op;
use crate::error::StorageError;

/// Where the data comes from.
#[async_trait]
pub trait ImportSource: Send + Sync {
    /// Makes sure that there is data and that it is nobody's. From here on this node's own changes need not be tracked
    /// for the storage one by one: it is refilled whole, whatever becomes of the import.
    async fn prepare(&self) -> Result<(), ImportError>;

    /// Reads everything, and then once more without the values, to see whether somebody writes to it. Pieces of one key
    /// come in their order. Answers how many keys there were.
    async fn read(&self, pieces: mpsc::Sender<Op>) -> Result<u64, ImportError>;

    /// Declares the storage's data this node's, so that it may be emptied and refilled. Only once all of the data is
    /// applied here: that is made durable first. Idempotent.
    async fn hand_over(&self) -> Result<(), ImportError>;
}

/// Why data is not adopted.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ImportError {
    /// Kiwi cannot be asked.
    #[error("the storage does not answer: {0}")]
    Unreachable(String),
    /// There is nothing that could be adopted.
    #[error("{0}")]
    NothingToImport(String),
    /// Somebody writes to it.
    #[error("{0}; let nobody write to it meanwhile, and begin again")]
    Changed(String),
    /// It does not answer something whole.
    #[error("key '{key}': {reason}")]
    Unreadable {
        /// Which.
        key: String,
        /// Why.
        reason: String,
    },
    /// The index beside has failed.
    #[error(transparent)]
    Index(#[from] StorageError),
    /// Whoever took the data has gone.
    #[error("it was broken off")]
    BrokenOff,
}
