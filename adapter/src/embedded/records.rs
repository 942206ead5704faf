//! Records that the one writer has seen lately.
//!
//! Every write looks at the key's record first, to keep counts and deadlines exact. In RocksDB's write buffer that
//! costs more than all the rest of a `SET`. Nobody but the writer changes records, so what it has read or
//! committed stays true, the absence of a key included.

use std::collections::HashMap;

use super::encoding::Record;
use crate::bytes_hash::BytesHash;

/// Records are kept in two generations of at most this many: about 40 MiB in all.
const GENERATION: usize = 128 * 1024;
/// Longer keys are not worth their memory.
const LONGEST_KEY: usize = 200;

/// The committed record, or the absence, of keys, by their place in the family of records.
#[derive(Default)]
pub(super) struct Records {
    young: HashMap<Vec<u8>, Option<Record>, BytesHash>,
    /// What was young before; an entry here is overruled by a young one.
    old: HashMap<Vec<u8>, Option<Record>, BytesHash>,
}

impl Records {
    /// What is known of a key: none if nothing.
    pub(super) fn get(&mut self, place: &[u8]) -> Option<Option<Record>> {
        if let Some(known) = self.young.get(place) {
            return Some(*known);
        }
        let (place, known) = self.old.remove_entry(place)?;
        self.put(place, known);
        Some(known)
    }

    /// Notes what is committed.
    pub(super) fn put(&mut self, place: Vec<u8>, record: Option<Record>) {
        if place.len() > LONGEST_KEY {
            return;
        }
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(place, record);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_is_known_and_the_number_is_bounded() {
        let mut records = Records::default();
        for n in 0..5 * GENERATION as u64 {
            records.put(b"hot".to_vec(), Some(Record::inline(n)));
            assert_eq!(records.get(b"hot"), Some(Some(Record::inline(n))));
            records.put(n.to_be_bytes().to_vec(), None);
        }
        assert!(records.young.len() + records.old.len() <= 2 * GENERATION);
        assert_eq!(records.get(&0_u64.to_be_bytes()), None);
        assert_eq!(records.get(&(5 * GENERATION as u64 - 1).to_be_bytes()), Some(None));
    }
}
