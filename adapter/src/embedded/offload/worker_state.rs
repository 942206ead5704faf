//! Durable state of the write-behind worker.

use rocksdb::WriteBatch;
use serde::{Deserialize, Serialize};

use crate::embedded::db::schema::Family;
use crate::embedded::db::store::Store;
use crate::embedded::error::storage_error;
use crate::error::StorageError;

/// Its name from the first version on.
const WORKER_STATE_KEY: &[u8] = b"carrier";

/// Durable state of the write-behind worker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WorkerState {
    /// The random id that marks the other storage as this node's.
    pub(crate) owner: u128,
    /// The number of batches flushed; stored on the other storage as a fencing marker.
    pub(crate) sequence: u64,
    /// Requests may be in flight.
    pub(crate) in_flight: bool,
    /// The other storage was found to have lost data.
    pub(crate) lost: bool,
    /// A refill in progress: the other storage is emptied and everything is flushed again.
    pub(crate) refill: Option<Refill>,
}

/// The progress of a refill.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Refill {
    /// Whether the other storage has been emptied.
    pub(crate) emptied: bool,
    /// The place of the next key to flush.
    pub(crate) from: Vec<u8>,
}

impl Store {
    /// Durable state of the write-behind worker.
    pub(crate) fn worker_state(&self) -> Result<WorkerState, StorageError> {
        let decode = |bytes: &[u8]| {
            postcard::from_bytes(bytes)
                .map_err(|error| StorageError::Corrupt(format!("the write-behind worker's state: {error}")))
        };
        let found = self.get(None, Family::State, WORKER_STATE_KEY, decode).map_err(storage_error)?;
        found.transpose().map(Option::unwrap_or_default)
    }

    /// Updates it durably.
    pub(crate) fn set_worker_state(&self, worker_state: &WorkerState) -> Result<(), StorageError> {
        let mut batch = WriteBatch::default();
        self.put_worker_state(&mut batch, worker_state)?;
        self.write(batch)?;
        self.sync()
    }

    pub(crate) fn put_worker_state(
        &self,
        batch: &mut WriteBatch,
        worker_state: &WorkerState,
    ) -> Result<(), StorageError> {
        let encoded = postcard::to_allocvec(worker_state)
            .map_err(StorageError::engine("write down the write-behind worker's state"))?;
        self.put(batch, Family::State, WORKER_STATE_KEY, &encoded)
    }
}
