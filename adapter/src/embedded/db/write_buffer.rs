//! The write buffer: records that are committed and visible to every reader, but not yet written to RocksDB.
//!
//! Inserting a key into RocksDB's memtable among some hundred thousand others costs more than the rest of a `SET`
//! together: keys are in hash order, so every insert lands in another spot. Writing many records at once, sorted,
//! costs a fraction of that, and a key that is set repeatedly is written once. So a run that changes nothing but
//! records (strings of usual length, without deadlines) is buffered here, until something comes that must be
//! written after it, or until the buffer holds [`SEAL_BYTES`]. Then it is sealed: still visible to every reader,
//! and written while further runs fill the next one.
//!
//! A crash loses the buffer just as it loses RocksDB's memtable: neither is durable before a flush, and the log
//! replays both.

use std::collections::HashMap;
use std::sync::Arc;

use crate::bytes_hash::BytesHash;
use crate::embedded::db::state::State;

/// The size at which the buffer is sealed, bytes. Larger batches are cheaper per record.
const SEAL_BYTES: usize = 8 * 1024 * 1024;
/// Approximate memory overhead of a record, bytes.
const OVERHEAD: usize = 80;

/// The active and the sealed buffer.
pub(crate) struct WriteBuffer {
    /// The size at which `active` should be sealed, bytes.
    pub(crate) bound: usize,
    /// Takes new records; has precedence over `sealed`.
    pub(crate) active: BufferedRecords,
    /// Whether a run was buffered since the last seal, perhaps one without records.
    pub(crate) has_run: bool,
    /// What is being written to the database.
    pub(crate) sealed: Option<Arc<Sealed>>,
}

/// A sealed buffer, with the state after the last of its runs.
pub(crate) struct Sealed {
    pub(crate) records: BufferedRecords,
    pub(crate) state: State,
}

impl Default for WriteBuffer {
    fn default() -> Self {
        Self { bound: SEAL_BYTES, active: BufferedRecords::default(), has_run: false, sealed: None }
    }
}

impl WriteBuffer {
    /// The size in multiples of the bound.
    pub(crate) fn fill(&self) -> usize {
        self.active.bytes / self.bound
    }

    /// The buffered record of a place, or its removal; none if nothing is buffered for it.
    pub(crate) fn get(&self, place: &[u8]) -> Option<Option<&[u8]>> {
        self.active.get(place).or_else(|| self.sealed.as_ref()?.records.get(place))
    }

    /// Whether anything is buffered.
    pub(crate) fn has_buffered(&self) -> bool {
        !self.active.is_empty() || self.sealed.is_some()
    }

    /// Seals the active records, with the state they lead to. The previous sealed buffer must have been written.
    pub(crate) fn seal(&mut self, state: State) {
        debug_assert!(self.sealed.is_none(), "the previous sealed buffer is not written yet");
        if !std::mem::take(&mut self.has_run) {
            return;
        }
        // The next one will be about as large.
        let next = BufferedRecords::with_capacity(self.active.records.len());
        self.sealed = Some(Arc::new(Sealed { records: std::mem::replace(&mut self.active, next), state }));
    }
}

/// The newest records of some keys, by place; none for a removed key.
#[derive(Default)]
pub(crate) struct BufferedRecords {
    records: HashMap<Vec<u8>, Option<Vec<u8>>, BytesHash>,
    bytes: usize,
}

impl BufferedRecords {
    fn with_capacity(records: usize) -> Self {
        Self { records: HashMap::with_capacity_and_hasher(records, BytesHash::default()), bytes: 0 }
    }

    fn get(&self, place: &[u8]) -> Option<Option<&[u8]>> {
        self.records.get(place).map(Option::as_deref)
    }

    pub(crate) fn put(&mut self, place: Vec<u8>, record: Option<Vec<u8>>) {
        let size = |record: &Option<Vec<u8>>| record.as_ref().map_or(0, Vec::len);
        self.bytes += size(&record);
        let place_size = place.len() + OVERHEAD;
        match self.records.insert(place, record) {
            Some(replaced) => self.bytes -= size(&replaced),
            None => self.bytes += place_size,
        }
    }

    fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Approximate memory use, bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// All records, sorted by place.
    pub(crate) fn in_order(&self) -> Vec<(&[u8], Option<&[u8]>)> {
        let mut records: Vec<_> =
            self.records.iter().map(|(place, record)| (place.as_slice(), record.as_deref())).collect();
        records.sort_unstable_by_key(|(place, _)| *place);
        records
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_record_counts_once_and_comes_in_its_place() {
        let mut records = BufferedRecords::default();
        records.put(b"b".to_vec(), Some(vec![1; 100]));
        records.put(b"a".to_vec(), None);
        records.put(b"b".to_vec(), Some(vec![2; 10]));
        assert_eq!(records.get(b"b"), Some(Some(&[2; 10][..])));
        assert_eq!((records.get(b"a"), records.get(b"c")), (Some(None), None));
        assert_eq!(records.bytes, 2 * (1 + OVERHEAD) + 10);
        let places: Vec<_> = records.in_order().into_iter().map(|(place, _)| place).collect();
        assert_eq!(places, [b"a", b"b"]);
        assert!(!records.is_empty());
    }
}
