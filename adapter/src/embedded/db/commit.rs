//! Committing: batches of effects, records that are buffered first, and when both become visible.

use std::sync::PoisonError;

use rocksdb::{Snapshot, WriteBatch};

use crate::embedded::db::commit_lock::{CommitGuard, CommitPin};
use crate::embedded::db::record_cache::RecordCache;
use crate::embedded::db::schema::{Family, is_change, split_meta_key};
use crate::embedded::db::state::{STATE_KEY, State};
use crate::embedded::db::store::{Log, Store};
use crate::embedded::db::write_buffer::BufferedRecords;
use crate::embedded::offload::dirty_log::{DirtyLog, DirtyParts, DirtySet};
use crate::error::StorageError;

impl Store {
    /// Writes a batch together with a dirty log entry for what it changes.
    pub(crate) fn write_tracked(&self, mut batch: WriteBatch, dirty: DirtySet) -> Result<(), StorageError> {
        let is_tracked = |dirty_log: &&DirtyLog| !dirty.is_empty() && !dirty_log.is_paused();
        let Some(dirty_log) = self.dirty_log.as_ref().filter(is_tracked) else { return self.write(batch) };
        let number = dirty_log.end();
        self.put(&mut batch, Family::DirtyLog, &number.to_be_bytes(), &dirty.encode()?)?;
        self.write(batch)?;
        // Only now: the next entry reuses the number of one that could not be written.
        dirty_log.set_end(number + 1);
        dirty_log.queue().add(dirty, number);
        Ok(())
    }

    /// The dirty set of buffered records.
    fn dirty_records(&self, records: &BufferedRecords) -> DirtySet {
        let mut dirty = DirtySet::default();
        if self.dirty_log.is_some() {
            dirty.keys.extend(
                records.in_order().into_iter().filter(|(_, record)| is_change(*record)).filter_map(
                    |(place, _)| Some((split_meta_key(place).ok()?.1.to_vec(), DirtyParts::new())),
                ),
            );
        }
        dirty
    }

    /// Lends the record cache to a run. It is lost if the run fails.
    pub(crate) fn take_record_cache(&self) -> RecordCache {
        std::mem::take(&mut *self.records.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns it.
    pub(crate) fn return_record_cache(&self, records: RecordCache) {
        *self.records.lock().unwrap_or_else(PoisonError::into_inner) = records;
    }

    /// Commits a batch of effects together with the resulting state.
    pub(crate) fn commit(
        &self,
        mut batch: WriteBatch,
        state: State,
        dirty: DirtySet,
    ) -> Result<(), StorageError> {
        self.put(&mut batch, Family::State, STATE_KEY, &state.encode())?;
        {
            let commits = self.lock_commits();
            self.drain_buffer(&commits)?;
            self.write_tracked(batch, dirty)?;
            self.tombstones.commit_deadlines();
            self.set_state(state);
        }
        // Not while readers are kept waiting.
        if self.tombstones.is_due() { self.flush_buffers(false) } else { Ok(()) }
    }

    /// Whether record-only runs may be buffered: not if they must be durable at once.
    pub(crate) fn may_buffer(&self) -> bool {
        self.log != Log::EveryRun
    }

    /// Commits records to the buffer only, together with the resulting state.
    pub(crate) fn buffer_records(
        &self,
        records: impl IntoIterator<Item = (Vec<u8>, Option<Vec<u8>>)>,
        state: State,
    ) -> Result<(), StorageError> {
        let commits = self.lock_commits();
        let fill = {
            let mut buffer = self.buffer.write().unwrap_or_else(PoisonError::into_inner);
            records.into_iter().for_each(|(place, record)| buffer.active.put(place, record));
            buffer.has_run = true;
            buffer.fill()
        };
        self.set_state(state);
        // Far over the limit: nobody has sealed it.
        if fill > 4 { self.drain_buffer(&commits) } else { Ok(()) }
    }

    /// Whether the buffer should be sealed and written.
    pub(crate) fn is_buffer_full(&self) -> bool {
        self.buffer.read().unwrap_or_else(PoisonError::into_inner).fill() > 0
    }

    /// Sets the size at which the buffer is full.
    #[cfg(test)]
    pub(crate) fn set_buffer_bound(&self, bytes: usize) {
        self.buffer.write().unwrap_or_else(PoisonError::into_inner).bound = bytes;
    }

    /// Seals the buffer, for [`Store::write_sealed`].
    pub(crate) fn seal_buffer(&self) -> Result<(), StorageError> {
        let _commits = self.lock_commits();
        self.write_sealed()?;
        self.buffer.write().unwrap_or_else(PoisonError::into_inner).seal(self.state());
        Ok(())
    }

    /// Writes the sealed buffer to the database. Readers see the same content before, during and after.
    pub(crate) fn write_sealed(&self) -> Result<(), StorageError> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let sealed = self.buffer.read().unwrap_or_else(PoisonError::into_inner).sealed.clone();
        let Some(sealed) = sealed else { return Ok(()) };
        let mut batch = WriteBatch::with_capacity_bytes(sealed.records.bytes());
        self.put_all(&mut batch, Family::Meta, sealed.records.in_order().into_iter())?;
        self.put(&mut batch, Family::State, STATE_KEY, &sealed.state.encode())?;
        self.write_tracked(batch, self.dirty_records(&sealed.records))?;
        self.buffer.write().unwrap_or_else(PoisonError::into_inner).sealed = None;
        Ok(())
    }

    /// Writes everything buffered.
    pub(crate) fn drain_buffer(&self, _commits: &CommitGuard<'_>) -> Result<(), StorageError> {
        self.write_sealed()?;
        self.buffer.write().unwrap_or_else(PoisonError::into_inner).seal(self.state());
        self.write_sealed()
    }

    /// The same, taking the commit lock.
    pub(super) fn lock_and_drain(&self) -> Result<(), StorageError> {
        let commits = self.lock_commits();
        self.drain_buffer(&commits)
    }

    /// Takes the commit lock.
    pub(crate) fn lock_commits(&self) -> CommitGuard<'_> {
        self.commits.lock()
    }

    /// Whether the record of a key is buffered.
    pub(crate) fn is_buffered(&self, place: &[u8]) -> bool {
        self.buffer.read().unwrap_or_else(PoisonError::into_inner).get(place).is_some()
    }

    /// Whether anything is buffered.
    pub(crate) fn has_buffered(&self) -> bool {
        self.buffer.read().unwrap_or_else(PoisonError::into_inner).has_buffered()
    }

    /// A RocksDB snapshot that does not include buffered records.
    pub(crate) fn raw_snapshot(&self) -> Snapshot<'_> {
        self.db.snapshot()
    }

    /// Keeps runs from becoming visible, so that several look-ups see one state. Hold it briefly.
    pub(crate) fn pin_commits(&self) -> CommitPin<'_> {
        self.commits.pin()
    }

    /// The same; none if a run is just becoming visible.
    pub(crate) fn try_pin_commits(&self) -> Option<CommitPin<'_>> {
        self.commits.try_pin()
    }
}
