//! How a run ends: its effects as one write batch, or nothing.

use rocksdb::WriteBatch;

use super::{Overlay, Spill, effects};
use crate::embedded::db::record_cache::RecordCache;
use crate::embedded::db::schema::{Family, Record, is_change, split_meta_key};
use crate::embedded::error::storage_error;
use crate::embedded::offload::dirty_log::{DirtySet, moved_marker};
use crate::error::StorageError;

/// Runs with larger effects are not buffered, bytes.
const MAX_BUFFERED_RUN: usize = 2 * 1024 * 1024;

impl Overlay<'_> {
    /// Whether the run changes nothing but records, and few enough to be buffered.
    fn may_be_buffered(&self) -> bool {
        let others = || Family::ALL.into_iter().filter(|family| *family != Family::Meta);
        self.store.may_buffer()
            && self.spill == Spill::NewVersions
            && !self.cleared
            && self.ranges.is_empty()
            && self.moved.is_empty()
            && self.bytes <= MAX_BUFFERED_RUN
            && others().all(|family| self.pending[family as usize].is_empty())
    }

    pub(super) fn commit(self) -> Result<(), StorageError> {
        let (store, loading) = (self.store, self.loading);
        // Set before the commit, so that no client reads data that is still loading.
        if loading {
            store.set_loading(true);
        }
        self.commit_effects()?;
        store.set_loading(loading);
        Ok(())
    }

    fn commit_effects(mut self) -> Result<(), StorageError> {
        if self.may_be_buffered() {
            let pending = std::mem::take(&mut self.pending[Family::Meta as usize]);
            let mut records = self.records.take();
            for (place, record) in &pending {
                records.put(place.clone(), decode_record(record.as_deref())?);
            }
            self.store.buffer_records(pending, self.state)?;
            self.store.return_record_cache(records);
            return Ok(());
        }
        let mut batch = WriteBatch::with_capacity_bytes(self.bytes + 1024);
        if self.cleared {
            for family in Family::ALL.into_iter().filter(|family| *family != Family::State) {
                self.store.delete_all(&mut batch, family)?;
            }
        }
        self.take_ranges(&mut batch, |_| true)?;
        for family in Family::ALL {
            self.store.put_all(&mut batch, family, effects(&self.pending[family as usize]))?;
        }
        let dirty = self.dirty_set()?;
        self.store.commit(batch, self.state, dirty)?;
        let mut records = if self.cleared { RecordCache::default() } else { self.records.take() };
        for (place, record) in std::mem::take(&mut self.pending[Family::Meta as usize]) {
            let record = decode_record(record.as_deref())?;
            records.put(place, record);
        }
        if self.spill == Spill::NewVersions {
            self.store.return_record_cache(records);
        }
        Ok(())
    }

    /// Abandons the run; nothing has changed.
    pub(super) fn abandon(self) -> Result<(), StorageError> {
        if self.unspilled_from > self.new_from {
            self.store.drop_unfinished(self.new_from)?;
        }
        self.store.return_record_cache(self.records.take());
        Ok(())
    }

    /// The names of what the run changes.
    fn dirty_set(&self) -> Result<DirtySet, StorageError> {
        let mut dirty = DirtySet { cleared: self.cleared, ..DirtySet::default() };
        // After a load everything is flushed again anyway.
        if self.store.dirty_log().is_none() || self.spill == Spill::Everything {
            return Ok(DirtySet::default());
        }
        for (place, record) in &self.pending[Family::Meta as usize] {
            if is_change(record.as_deref()) {
                let key = split_meta_key(place).map_err(storage_error)?.1;
                dirty.keys.entry(key.to_vec()).or_default();
            }
        }
        for key in &self.moved {
            dirty.keys.entry(key.clone()).or_default().insert(moved_marker());
        }
        for family in Family::VERSIONED.into_iter().filter(|family| *family != Family::Scores) {
            for place in self.pending[family as usize].keys() {
                let name = family.version_of(place).and_then(|version| self.owners.get(&version));
                if let Some(key) = name {
                    dirty.keys.entry(key.clone()).or_default().insert((family, place.clone()));
                }
            }
        }
        Ok(dirty)
    }
}

fn decode_record(bytes: Option<&[u8]>) -> Result<Option<Record>, StorageError> {
    let record = bytes.map(|bytes| Record::decode(bytes).map(|(record, _)| record));
    record.transpose().map_err(storage_error)
}
