//! Records that are committed and seen by every reader, but not yet written to RocksDB.
//!
//! Finding a key's place among some hundred thousand others in RocksDB's write buffer costs more than all the rest
//! of a `SET`: keys are in hash order, so each lands elsewhere. Many records that are written together, in their
//! order, cost a fraction of that, and a key that is set again meanwhile is written once. So a run that changes
//! records alone (strings of usual length, without deadlines) is held back here, until something comes that must
//! be written behind it, or until there are [`BOUND`] bytes. Then they are set aside, still seen by every reader,
//! and written while further runs are held.
//!
//! A crash loses what is here as it loses what is in RocksDB's write buffer: neither is durable before a flush, and
//! both are applied again from the log.

use std::collections::HashMap;
use std::sync::Arc;

use super::store::State;
use crate::bytes_hash::BytesHash;

/// Bytes at which the records are set aside to be written. More at once cost less each.
const BOUND: usize = 8 * 1024 * 1024;
/// What a record takes in memory beside its place and itself, bytes, about.
const OVERHEAD: usize = 80;

/// All that is held back.
pub(super) struct Layers {
    /// Bytes at which `young` should be set aside.
    pub(super) bound: usize,
    /// What comes in; it overrules the rest.
    pub(super) young: Held,
    /// A run has been held since records were set aside last, though perhaps one without records.
    pub(super) advanced: bool,
    /// What is being written.
    pub(super) aside: Option<Arc<Aside>>,
}

/// Records that are being written, with the state behind the last of their runs.
pub(super) struct Aside {
    pub(super) held: Held,
    pub(super) state: State,
}

impl Default for Layers {
    fn default() -> Self {
        Self { bound: BOUND, young: Held::default(), advanced: false, aside: None }
    }
}

impl Layers {
    /// How many times the bound is held.
    pub(super) fn fill(&self) -> usize {
        self.young.bytes / self.bound
    }

    /// What is held for a place: none if nothing is.
    pub(super) fn get(&self, place: &[u8]) -> Option<Option<&[u8]>> {
        self.young.get(place).or_else(|| self.aside.as_ref()?.held.get(place))
    }

    /// Whether anything is held.
    pub(super) fn holds_any(&self) -> bool {
        !self.young.is_empty() || self.aside.is_some()
    }

    /// Sets the young records aside, and where they lead to. What was set aside before must be written.
    pub(super) fn set_aside(&mut self, state: State) {
        debug_assert!(self.aside.is_none(), "records are set aside over others");
        if !std::mem::take(&mut self.advanced) {
            return;
        }
        // The next will be about as many.
        let next = Held::with_capacity(self.young.records.len());
        self.aside = Some(Arc::new(Aside { held: std::mem::replace(&mut self.young, next), state }));
    }
}

/// The newest records of some keys, by place; none for a key that is gone.
#[derive(Default)]
pub(super) struct Held {
    records: HashMap<Vec<u8>, Option<Vec<u8>>, BytesHash>,
    bytes: usize,
}

impl Held {
    fn with_capacity(records: usize) -> Self {
        Self { records: HashMap::with_capacity_and_hasher(records, BytesHash::default()), bytes: 0 }
    }

    fn get(&self, place: &[u8]) -> Option<Option<&[u8]>> {
        self.records.get(place).map(Option::as_deref)
    }

    pub(super) fn put(&mut self, place: Vec<u8>, record: Option<Vec<u8>>) {
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

    /// Bytes in memory, about.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// All of them, in the order of their places.
    pub(super) fn in_order(&self) -> Vec<(&[u8], Option<&[u8]>)> {
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
        let mut held = Held::default();
        held.put(b"b".to_vec(), Some(vec![1; 100]));
        held.put(b"a".to_vec(), None);
        held.put(b"b".to_vec(), Some(vec![2; 10]));
        assert_eq!(held.get(b"b"), Some(Some(&[2; 10][..])));
        assert_eq!((held.get(b"a"), held.get(b"c")), (Some(None), None));
        assert_eq!(held.bytes, 2 * (1 + OVERHEAD) + 10);
        let places: Vec<_> = held.in_order().into_iter().map(|(place, _)| place).collect();
        assert_eq!(places, [b"a", b"b"]);
        assert!(!held.is_empty());
    }
}
