//! A flush batch: a snapshot of the store, and the oldest changes that are not flushed yet.
//!
//! The write-behind worker takes a batch ([`Store::take_flush_batch`]), reads from its snapshot what the changed
//! names look like, writes that to the other storage, and confirms the batch ([`Store::confirm`]) or returns it
//! ([`Store::return_batch`]).

use std::ops::Range;

use rocksdb::{Snapshot, WriteBatch};

use crate::embedded::db::key_range::{KeyRange, lower_bound};
use crate::embedded::db::schema::{Family, KeyBuf, Record, meta_key, split_meta_key, version_start};
use crate::embedded::db::store::Store;
use crate::embedded::error::storage_error;
use crate::embedded::offload::dirty_log::{DirtySet, Segment};
use crate::embedded::offload::placement::Placement;
use crate::embedded::offload::value_ref::{StoredValue, Value};
use crate::embedded::offload::worker_state::WorkerState;
use crate::error::StorageError;
use crate::keyspace::{Direction, Flow, Kind};

/// The state of a key in the batch's snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeyState {
    /// It does not exist.
    Missing,
    /// A short string.
    Short(StoredValue),
    /// Content under a version.
    Content {
        /// Its type.
        kind: Kind,
        /// The version.
        version: u64,
        /// The place of a list's first element.
        head: u64,
        /// Bytes of a string, elements of a collection.
        len: u64,
    },
}

/// The callback of a scan, given a place and what is stored there, or the place of a key and the key.
pub(crate) type Visit<'v> = dyn FnMut(&[u8], &[u8]) -> Result<Flow, StorageError> + 'v;

/// A snapshot of the store, and a dirty set that it covers.
pub(crate) struct FlushBatch<'s> {
    store: &'s Store,
    snapshot: Snapshot<'s>,
    /// The names to flush, from one segment of the dirty log.
    pub(crate) dirty: DirtySet,
    segment: Option<Segment>,
}

impl<'s> FlushBatch<'s> {
    /// The store.
    pub(crate) fn store(&self) -> &'s Store {
        self.store
    }

    /// The state of a key.
    pub(crate) fn key_state(&self, key: &[u8]) -> Result<KeyState, StorageError> {
        let decode = |bytes: &[u8]| {
            let (record, value) = Record::decode(bytes)?;
            Ok(key_state(&record, value))
        };
        let found = self.store.get(Some(&self.snapshot), Family::Meta, &meta_key(key), decode);
        found
            .and_then(|found| found.transpose())
            .map(|found| found.unwrap_or(KeyState::Missing))
            .map_err(storage_error)
    }

    /// A stored value, still encoded.
    pub(crate) fn stored(&self, family: Family, place: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        self.store.get(Some(&self.snapshot), family, place, <[u8]>::to_vec).map_err(storage_error)
    }

    /// Visits what is stored under a version, after a place, in order.
    pub(crate) fn scan(
        &self,
        family: Family,
        version: u64,
        after: Option<&[u8]>,
        visit: &mut Visit<'_>,
    ) -> Result<(), StorageError> {
        self.walk(family, &KeyRange::new(lower_bound(version, after), version_start(version + 1)), visit)
    }

    /// Visits the keys from a place on, with their places.
    pub(crate) fn keys(&self, from: &[u8], visit: &mut Visit<'_>) -> Result<(), StorageError> {
        self.walk(Family::Meta, &KeyRange::from(KeyBuf::from_slice(from)), &mut |place, _| {
            visit(place, split_meta_key(place).map_err(storage_error)?.1)
        })
    }

    fn walk(&self, family: Family, range: &KeyRange, visit: &mut Visit<'_>) -> Result<(), StorageError> {
        let mut cursor = self.store.cursor(Some(&self.snapshot), family, range, Direction::Forward)?;
        while let Some((place, stored)) = cursor.item() {
            if visit(place, stored)?.is_break() {
                break;
            }
            cursor.advance()?;
        }
        Ok(())
    }

    /// What the other storage has of a key.
    pub(crate) fn placement(&self, key: &[u8]) -> Result<Option<Placement>, StorageError> {
        self.store.placement(key)
    }
}

fn key_state(record: &Record, value: Value<'_>) -> KeyState {
    match record.version {
        None => KeyState::Short(StoredValue::of(value)),
        Some(version) => KeyState::Content { kind: record.kind, version, head: record.head, len: record.len },
    }
}

/// The place of a key in the meta family.
pub(crate) fn place_of_key(key: &[u8]) -> Vec<u8> {
    meta_key(key).into_vec()
}

impl Store {
    /// Takes the oldest unflushed changes and makes everything they name durable. A crash cannot lose any of it any
    /// more, so it may be written to the other storage.
    pub(crate) fn take_flush_batch(&self) -> Result<FlushBatch<'_>, StorageError> {
        self.load_head_segment()?;
        let mut flush_batch = {
            let commits = self.lock_commits();
            self.drain_buffer(&commits)?;
            let taken = self.dirty_log().and_then(|dirty_log| dirty_log.queue().take());
            let (segment, dirty) = taken.unzip();
            FlushBatch {
                store: self,
                snapshot: self.raw_snapshot(),
                dirty: dirty.unwrap_or_default(),
                segment,
            }
        };
        match self.sync() {
            Ok(()) => Ok(flush_batch),
            Err(error) => {
                self.return_batch(&mut flush_batch);
                Err(error)
            }
        }
    }

    /// Returns a batch that could not be flushed.
    pub(crate) fn return_batch(&self, flush_batch: &mut FlushBatch<'_>) {
        if let Some((dirty_log, segment)) = self.dirty_log().zip(flush_batch.segment.take()) {
            dirty_log.queue().return_segment(segment, std::mem::take(&mut flush_batch.dirty));
        }
    }

    /// Reads the next segment back from the log, if it is not in memory.
    fn load_head_segment(&self) -> Result<(), StorageError> {
        let Some(dirty_log) = self.dirty_log() else { return Ok(()) };
        let unloaded_head = dirty_log.queue().unloaded_head();
        if let Some(entries) = unloaded_head {
            let dirty = self.read_dirty_log(&entries)?;
            dirty_log.queue().load_head(&entries, dirty);
        }
        Ok(())
    }

    fn read_dirty_log(&self, entries: &Range<u64>) -> Result<DirtySet, StorageError> {
        let place = |number: u64| KeyBuf::from_slice(&number.to_be_bytes());
        let range = KeyRange::new(place(entries.start), place(entries.end));
        let mut stored = self.cursor(None, Family::DirtyLog, &range, Direction::Forward)?;
        let (mut dirty, mut count) = (DirtySet::default(), 0);
        while let Some((_, entry)) = stored.item() {
            dirty.add(DirtySet::decode(entry)?);
            count += 1;
            stored.advance()?;
        }
        if count == entries.end - entries.start {
            Ok(dirty)
        } else {
            Err(StorageError::Corrupt(format!("the journal has {count} of the entries {entries:?}")))
        }
    }

    /// Turns logging on or off. Off drops the log: only while everything will be flushed again anyway.
    pub(crate) fn set_tracking(&self, wanted: bool) -> Result<(), StorageError> {
        let Some(dirty_log) = self.dirty_log().filter(|dirty_log| dirty_log.is_paused() == wanted) else {
            return Ok(());
        };
        let commits = self.lock_commits();
        self.drain_buffer(&commits)?;
        dirty_log.set_paused(!wanted);
        if wanted {
            return Ok(());
        }
        dirty_log.queue().clear();
        let mut batch = WriteBatch::default();
        self.delete_all(&mut batch, Family::DirtyLog)?;
        dirty_log.set_begin(dirty_log.end());
        if batch.is_empty() { Ok(()) } else { self.write(batch) }
    }

    /// The number of dirty names.
    pub(crate) fn dirty_names(&self) -> usize {
        self.dirty_log().map_or(0, |dirty_log| dirty_log.queue().names())
    }

    /// Whether anything is dirty.
    pub(crate) fn has_dirty(&self) -> bool {
        self.has_buffered() || self.dirty_log().is_some_and(|dirty_log| !dirty_log.queue().is_empty())
    }

    /// Confirms that the batch is flushed, except for `remaining`, which is logged again.
    pub(crate) fn confirm(
        &self,
        flush_batch: &mut FlushBatch<'_>,
        remaining: DirtySet,
        worker_state: &WorkerState,
    ) -> Result<(), StorageError> {
        let mut batch = WriteBatch::default();
        let commits = self.lock_commits();
        // Drained first: writing buffered records appends entries of their own, which must not come between.
        self.drain_buffer(&commits)?;
        let done = self.dirty_log().zip(flush_batch.segment.as_ref().map(|segment| segment.entries.end));
        if let Some((dirty_log, through)) = done {
            // One by one: range tombstones would pile up, flush by flush.
            let numbers = (dirty_log.begin()..through).map(u64::to_be_bytes).collect::<Vec<_>>();
            self.put_all(&mut batch, Family::DirtyLog, numbers.iter().map(|number| (&number[..], None)))?;
        }
        self.put_worker_state(&mut batch, worker_state)?;
        self.write_tracked(batch, remaining)?;
        if let Some((dirty_log, through)) = done {
            dirty_log.set_begin(through);
        }
        flush_batch.segment = None;
        Ok(())
    }
}
