//! Why a flush has failed.

use crate::error::StorageError;
use crate::kiwi::client::RequestError;
use crate::kiwi::compatibility::ProbeError;

/// Why a flush has failed.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum FlushError {
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error(transparent)]
    Store(#[from] StorageError),
    /// Everything left to do is behind the snapshot gate.
    #[error("a snapshot is being made")]
    Gated,
    /// Kiwi has lost data.
    #[error("{0}")]
    Lost(String),
    /// Kiwi must not be used.
    #[error("{0}")]
    Refused(String),
}

impl From<ProbeError> for FlushError {
    fn from(error: ProbeError) -> Self {
        match error {
            ProbeError::Request(failure) => Self::Request(failure),
            ProbeError::Incompatible(reason) => Self::Refused(reason),
        }
    }
}
