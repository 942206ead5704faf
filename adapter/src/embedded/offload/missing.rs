//! Missing values: finding remote values, and bringing them back.

use bytes::Bytes;
use rocksdb::{Snapshot, WriteBatch};

use crate::embedded::db::key_range::{KeyRange, lower_bound};
use crate::embedded::db::schema::{Family, Record, meta_key, split_meta_key, version_start};
use crate::embedded::db::store::Store;
use crate::embedded::error::storage_error;
use crate::embedded::offload::evict::EVICTIONS_PER_BATCH;
use crate::embedded::offload::remote::{ContentId, Part, RemoteValue, ValueId};
use crate::embedded::offload::value_ref::{Value, ValuePointer};
use crate::error::StorageError;
use crate::keyspace::Direction;

/// A pointer found in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RemoteEntry {
    /// Its place in its family.
    pub(crate) at: Vec<u8>,
    pub(crate) need: RemoteValue,
}

/// A search for remote values, with the budget it has left.
struct Search {
    entries: Vec<RemoteEntry>,
    values: usize,
    bytes: u64,
    places: usize,
}

impl Search {
    fn new(values: usize, bytes: u64, places: usize) -> Self {
        Self { entries: Vec::new(), values, bytes, places }
    }

    fn add(&mut self, entry: RemoteEntry) {
        self.bytes = self.bytes.saturating_sub(entry.need.1.len);
        self.entries.push(entry);
    }

    /// Whether it may look at one more place.
    fn goes_on(&mut self) -> bool {
        self.places = self.places.saturating_sub(1);
        self.places > 0 && self.bytes > 0 && self.entries.len() < self.values
    }
}

impl Store {
    /// Remote values of a key's content after a place of it; a few hundred at most.
    pub(crate) fn remote_values_in(
        &self,
        content: &ContentId,
        after: Option<&[u8]>,
    ) -> Result<Vec<RemoteEntry>, StorageError> {
        let mut found = Search::new(EVICTIONS_PER_BATCH, u64::MAX, usize::MAX);
        self.search(None, content, after, &mut found)?;
        Ok(found.entries)
    }

    /// Remote values that a full scan meets next after this one: at most a few thousand, a few MiB, and within the
    /// next tens of thousands of places.
    pub(crate) fn remote_values_after(
        &self,
        snapshot: Option<&Snapshot<'_>>,
        place: &ValueId,
    ) -> Result<Vec<RemoteValue>, StorageError> {
        let mut found = Search::new(4096, 4 << 20, 32 * 1024);
        if let Some((content, at)) = place.in_content() {
            self.search(snapshot, &content, Some(&at), &mut found)?;
        }
        let mut after = meta_key(&place.key);
        after.push(0);
        let mut cursor = self.cursor(snapshot, Family::Meta, &KeyRange::from(after), Direction::Forward)?;
        while let Some((at, record)) = cursor.item()
            && found.goes_on()
        {
            let (_, key) = split_meta_key(at).map_err(storage_error)?;
            let (record, value) = Record::decode(record).map_err(storage_error)?;
            match (value, record.version) {
                (Value::Remote(pointer), _) => {
                    let place = ValueId { key: Bytes::copy_from_slice(key), part: Part::String };
                    found.add(RemoteEntry { at: at.to_vec(), need: (place, pointer) });
                }
                (Value::Inline(_), Some(version)) if Record::values(record.kind).is_some() => {
                    let content = ContentId { key: Bytes::copy_from_slice(key), kind: record.kind, version };
                    self.search(snapshot, &content, None, &mut found)?;
                }
                (Value::Inline(_), _) => {}
            }
            cursor.advance()?;
        }
        Ok(found.entries.into_iter().map(|entry| entry.need).collect())
    }

    fn search(
        &self,
        snapshot: Option<&Snapshot<'_>>,
        content: &ContentId,
        after: Option<&[u8]>,
        found: &mut Search,
    ) -> Result<(), StorageError> {
        let Some(family) = content.family() else { return Ok(()) };
        let range = KeyRange::new(lower_bound(content.version, after), version_start(content.version + 1));
        let mut cursor = self.cursor(snapshot, family, &range, Direction::Forward)?;
        while let Some((at, stored)) = cursor.item()
            && found.goes_on()
        {
            if let Value::Remote(pointer) = Value::decode(stored).map_err(storage_error)? {
                let place = content.at(at).map_err(storage_error)?;
                found.add(RemoteEntry { at: at.to_vec(), need: (place, pointer) });
            }
            cursor.advance()?;
        }
        Ok(())
    }

    /// Replaces pointers by their values, where they are still stored.
    pub(crate) fn restore(
        &self,
        family: Family,
        values: &[(Vec<u8>, ValuePointer, bytes::Bytes)],
    ) -> Result<(), StorageError> {
        let _commits = self.lock_commits();
        let mut batch = WriteBatch::default();
        for (place, pointer, value) in values {
            let is_it =
                |bytes: &[u8]| matches!(Value::decode(bytes), Ok(Value::Remote(found)) if found == *pointer);
            if self.get(None, family, place, is_it).map_err(storage_error)?.unwrap_or(false) {
                self.put(&mut batch, family, place, &Value::Inline(value).encode())?;
            }
        }
        if batch.is_empty() { Ok(()) } else { self.write(batch) }
    }
}
