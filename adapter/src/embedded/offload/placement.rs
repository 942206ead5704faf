//! Placements: what the other storage has of each key.

use rocksdb::WriteBatch;
use serde::{Deserialize, Serialize};

use crate::embedded::db::schema::{Family, meta_key};
use crate::embedded::db::store::Store;
use crate::embedded::error::storage_error;
use crate::error::StorageError;
use crate::keyspace::Kind;

/// What the other storage has of a key's content. Never more than this store has once had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Placement {
    /// The content's version.
    pub(crate) version: u64,
    /// Its type.
    pub(crate) kind: Kind,
    /// Lists: the place of the first element there.
    pub(crate) head: u64,
    /// Lists: the number of elements there.
    pub(crate) len: u64,
    /// Other types: flushed up to this place; none if completely.
    pub(crate) upto: Option<Vec<u8>>,
    /// Lists: an operation that may or may not have been done.
    pub(crate) pending_op: Option<ListOp>,
}

/// An operation on a list's ends. The list's length afterwards tells how much of it was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ListOp {
    /// Removes so many elements at the head and so many at the tail, in one request.
    Trim(u64, u64),
    /// Pushes so many elements at the head, then so many at the tail.
    Push(u64, u64),
}

impl Store {
    /// What the other storage has of a key.
    pub(crate) fn placement(&self, key: &[u8]) -> Result<Option<Placement>, StorageError> {
        let decode = |bytes: &[u8]| {
            postcard::from_bytes(bytes)
                .map_err(|error| StorageError::Corrupt(format!("what is known of a key elsewhere: {error}")))
        };
        self.get(None, Family::Placements, &meta_key(key), decode).map_err(storage_error)?.transpose()
    }

    /// Records what the other storage has of keys, or is about to have. Durable with the next batch, or with
    /// [`Store::sync`].
    pub(crate) fn set_placements(&self, keys: &[(Vec<u8>, Option<Placement>)]) -> Result<(), StorageError> {
        let mut batch = WriteBatch::default();
        for (key, placement) in keys {
            let encoded = placement.as_ref().map(postcard::to_allocvec).transpose();
            let encoded = encoded.map_err(StorageError::engine("write down what is elsewhere"))?;
            let place = meta_key(key);
            self.put_all(
                &mut batch,
                Family::Placements,
                std::iter::once((place.as_slice(), encoded.as_deref())),
            )?;
        }
        if batch.is_empty() { Ok(()) } else { self.write(batch) }
    }

    /// Records that the other storage is empty.
    pub(crate) fn clear_placements(&self) -> Result<(), StorageError> {
        let mut batch = WriteBatch::default();
        self.delete_all(&mut batch, Family::Placements)?;
        if batch.is_empty() { Ok(()) } else { self.write(batch) }
    }
}
