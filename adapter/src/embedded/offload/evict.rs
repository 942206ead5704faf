//! Eviction: replacing flushed values by pointers.

use bytes::Bytes;
use rocksdb::WriteBatch;

use crate::embedded::db::schema::{Family, Record, meta_key};
use crate::embedded::db::store::Store;
use crate::embedded::error::storage_error;
use crate::embedded::offload::value_ref::{Value, ValuePointer};
use crate::error::StorageError;

/// Values evicted in one batch, while readers and the writer wait.
pub(crate) const EVICTIONS_PER_BATCH: usize = 256;

/// A flushed value: where it is stored here, and its pointer.
#[derive(Clone, Debug)]
pub(crate) struct FlushedValue {
    /// The key under which it was flushed.
    pub(crate) key: Bytes,
    pub(crate) family: Family,
    pub(crate) place: Vec<u8>,
    pub(crate) pointer: ValuePointer,
}

impl Store {
    /// Replaces flushed values by pointers, where they are still the newest. Not while a run is being applied: what
    /// it has found inline must stay inline until it ends.
    pub(crate) fn evict(&self, flushed: &[FlushedValue]) -> Result<(), StorageError> {
        let _commits = self.lock_commits();
        // The other storage is about to be emptied: nothing on it is there for good.
        if self.dirty_log().is_none_or(|dirty_log| dirty_log.queue().is_cleared()) {
            return Ok(());
        }
        let mut batch = WriteBatch::default();
        for flushed in flushed {
            if let Some(pointer) = self.pointer_for(flushed)? {
                self.put(&mut batch, flushed.family, &flushed.place, &pointer)?;
            }
        }
        if batch.is_empty() { Ok(()) } else { self.write(batch) }
    }

    /// What to store in place of a flushed value; none if it has been overwritten.
    fn pointer_for(&self, flushed: &FlushedValue) -> Result<Option<Vec<u8>>, StorageError> {
        let FlushedValue { key, family, place, pointer } = flushed;
        let is_there = match family.version_of(place) {
            None => !self.is_buffered(place),
            // The content may belong to another key by now, under which it was not flushed.
            Some(version) => self.is_current_content(key, version)?,
        };
        if !is_there {
            return Ok(None);
        }
        let is_it = |bytes: &[u8]| ValuePointer::of(bytes) == *pointer;
        let replace = |bytes: &[u8]| {
            if *family != Family::Meta {
                let same = matches!(Value::decode(bytes)?, Value::Inline(value) if is_it(value));
                return Ok(same.then(|| Value::Remote(*pointer).encode()));
            }
            let (record, value) = Record::decode(bytes)?;
            let same = record.version.is_none() && matches!(value, Value::Inline(value) if is_it(value));
            Ok(same.then(|| record.encode(Value::Remote(*pointer))))
        };
        let found = self.get(None, *family, place, replace).and_then(|found| found.transpose());
        found.map(Option::flatten).map_err(storage_error)
    }

    /// Whether a version is the content of a key, and has been since it was flushed under that key.
    fn is_current_content(&self, key: &[u8], version: u64) -> Result<bool, StorageError> {
        if self.dirty_log().is_some_and(|dirty_log| dirty_log.queue().has_moved(key)) {
            return Ok(false);
        }
        let decode = |bytes: &[u8]| Record::decode(bytes).map(|(record, _)| record.version);
        let found = self.get(None, Family::Meta, &meta_key(key), decode).and_then(Option::transpose);
        Ok(found.map_err(storage_error)?.flatten() == Some(version))
    }
}
