//! How far a storage is, and what is in it there.

use bytes::Bytes;

/// How far a storage is: the place in the log up to which its data holds every effect and none beyond.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The index of the last applied log entry; 0 before the first.
    pub index: u64,
    /// What the log's owner wants to find again with the data (log id, membership); opaque here.
    pub mark: Bytes,
}

/// The durable facts of a storage, read at start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// How far the data is.
    pub position: Position,
    /// The time of the last applied batch, Unix milliseconds. It never goes backwards.
    pub now_ms: u64,
}

/// A hash of logical content: equal for equal keys, types, deadlines and values, whatever the storage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Digest(pub u128);

impl std::fmt::Display for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}
