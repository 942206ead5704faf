//! An iterator over stored keys.

use rocksdb::DBRawIterator;

use crate::error::StorageError;
use crate::keyspace::Direction;

/// An iterator over stored keys.
pub(crate) struct Cursor<'a> {
    pub(super) inner: DBRawIterator<'a>,
    pub(super) direction: Direction,
}

impl Cursor<'_> {
    /// The current key and value; none at the end.
    pub(crate) fn item(&self) -> Option<(&[u8], &[u8])> {
        self.inner.item()
    }

    /// Moves to the next key.
    pub(crate) fn advance(&mut self) -> Result<(), StorageError> {
        match self.direction {
            Direction::Forward => self.inner.next(),
            Direction::Backward => self.inner.prev(),
        }
        self.check()
    }

    /// RocksDB's iterator looks the same at the end and after an error: ask which.
    pub(super) fn check(&self) -> Result<(), StorageError> {
        if self.inner.valid() {
            return Ok(());
        }
        self.inner.status().map_err(StorageError::engine("read on"))
    }
}
