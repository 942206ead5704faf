//! The writer's cache of recently used records.
//!
//! Every write reads the key's record first, to keep counts and deadlines exact. In RocksDB's memtable that costs
//! more than the rest of a `SET` together. Only the writer changes records, so what it has read or committed stays
//! valid, including the absence of a key.

use std::collections::HashMap;

use crate::bytes_hash::BytesHash;
use crate::embedded::db::schema::Record;

/// Two generations of at most this many records: about 40 MiB in all.
const GENERATION: usize = 128 * 1024;
/// Longer keys are not worth their memory.
const LONGEST_KEY: usize = 200;

/// The committed record of each key, or its absence, by the key's place in the meta family.
#[derive(Default)]
pub(crate) struct RecordCache {
    recent: HashMap<Vec<u8>, Option<Record>, BytesHash>,
    /// The previous generation; entries in `recent` take precedence.
    old: HashMap<Vec<u8>, Option<Record>, BytesHash>,
}

impl RecordCache {
    /// The cached record, or absence; none if the key is not cached.
    pub(crate) fn get(&mut self, place: &[u8]) -> Option<Option<Record>> {
        if let Some(known) = self.recent.get(place) {
            return Some(*known);
        }
        let (place, known) = self.old.remove_entry(place)?;
        self.put(place, known);
        Some(known)
    }

    /// Caches what was committed or read.
    pub(crate) fn put(&mut self, place: Vec<u8>, record: Option<Record>) {
        if place.len() > LONGEST_KEY {
            return;
        }
        if self.recent.len() >= GENERATION {
            self.old = std::mem::take(&mut self.recent);
        }
        self.recent.insert(place, record);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_is_known_and_the_number_is_bounded() {
        let mut records = RecordCache::default();
        for n in 0..5 * GENERATION as u64 {
            records.put(b"hot".to_vec(), Some(Record::inline(n)));
            assert_eq!(records.get(b"hot"), Some(Some(Record::inline(n))));
            records.put(n.to_be_bytes().to_vec(), None);
        }
        assert!(records.recent.len() + records.old.len() <= 2 * GENERATION);
        assert_eq!(records.get(&0_u64.to_be_bytes()), None);
        assert_eq!(records.get(&(5 * GENERATION as u64 - 1).to_be_bytes()), Some(None));
    }
}
