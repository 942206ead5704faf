//! What the state machine keeps in the adapter's position, and so with the data: log id and membership.

use adapter::Position;
use serde::{Deserialize, Serialize};

use crate::types::{LogId, StoredMembership};

/// The last applied log id, and the last applied membership with the log id that brought it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    pub(crate) applied: Option<LogId>,
    pub(crate) membership: StoredMembership,
}

impl Mark {
    /// The position that says this.
    pub(crate) fn position(&self) -> Result<Position, String> {
        let mark =
            postcard::to_stdvec(self).map_err(|error| format!("the position cannot be encoded: {error}"))?;
        Ok(Position { index: self.applied.map_or(0, |applied| applied.index), mark: mark.into() })
    }

    /// Reads a position. That of a storage in which nothing was applied yet has no mark.
    pub(crate) fn of(position: &Position) -> Result<Self, String> {
        if position.mark.is_empty() && position.index == 0 {
            return Ok(Self::default());
        }
        let mark: Self = postcard::from_bytes(&position.mark)
            .map_err(|error| format!("the storage's position is not one of a Raft log: {error}"))?;
        let index = mark.applied.map_or(0, |applied| applied.index);
        if index != position.index {
            return Err(format!("the storage's position is {} and its mark says {index}", position.index));
        }
        Ok(mark)
    }
}
