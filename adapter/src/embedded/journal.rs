//! What has changed here and not yet where the values are kept, for a store whose values live on another storage.
//!
//! Every commit writes the names of what it changes into the journal, in the same RocksDB batch as the changes
//! themselves. What the changes lead to is not noted: whoever carries them over looks at the store as it is by then.
//! So many changes of one thing are carried over as one, and carrying one over twice does no harm.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::encoding::Family;
use crate::error::StorageError;

/// The changes between two moments, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Changes {
    /// Everything was removed, before what follows.
    pub(crate) cleared: bool,
    /// The keys whose record, or any part of whose content, may have changed.
    pub(crate) keys: BTreeMap<Vec<u8>, Parts>,
}

/// Parts of the content of a key: their families and their keys in them. A version that is new with the change has none
/// here: all of it is new.
pub(crate) type Parts = BTreeSet<(Family, Vec<u8>)>;

/// Stands among the parts of a key whose content came from another key: all of it is new under this one.
pub(crate) fn moved() -> (Family, Vec<u8>) {
    (Family::Meta, Vec::new())
}

impl Changes {
    pub(crate) fn is_empty(&self) -> bool {
        !self.cleared && self.keys.is_empty()
    }

    /// How many names it holds.
    pub(crate) fn count(&self) -> usize {
        self.keys.values().map(|parts| 1 + parts.len()).sum()
    }

    /// Adds later changes.
    pub(crate) fn merge(&mut self, later: Self) {
        if later.cleared || self.keys.is_empty() {
            *self = Self { cleared: self.cleared || later.cleared, keys: later.keys };
            return;
        }
        for (key, parts) in later.keys {
            self.keys.entry(key).or_default().extend(parts);
        }
    }

    /// Adds earlier changes.
    pub(crate) fn merge_earlier(&mut self, mut earlier: Self) {
        earlier.merge(std::mem::take(self));
        *self = earlier;
    }

    pub(super) fn encode(&self) -> Result<Vec<u8>, StorageError> {
        postcard::to_allocvec(self).map_err(StorageError::engine("write down what changes"))
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, StorageError> {
        postcard::from_bytes(bytes).map_err(|error| StorageError::Corrupt(format!("the journal: {error}")))
    }
}

/// The journal's end, and what of it nobody carries over yet.
#[derive(Debug, Default)]
pub(super) struct Journal {
    next: AtomicU64,
    first: AtomicU64,
    waiting: Mutex<Changes>,
}

impl Journal {
    /// The number of the next entry.
    pub(super) fn end(&self) -> u64 {
        self.next.load(Ordering::Acquire)
    }

    /// The number of the first entry that is still there, at most.
    pub(super) fn begin(&self) -> u64 {
        self.first.load(Ordering::Acquire)
    }

    pub(super) fn set_begin(&self, first: u64) {
        self.first.store(first, Ordering::Release);
    }

    pub(super) fn set_end(&self, next: u64) {
        self.next.store(next, Ordering::Release);
    }

    /// What waits to be carried over.
    pub(super) fn waiting(&self) -> MutexGuard<'_, Changes> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;

    fn changes(cleared: bool, keys: &[(&str, &[u8])]) -> Changes {
        let mut changes = Changes { cleared, ..Changes::default() };
        for (key, parts) in keys {
            let parts = parts.iter().map(|part| (Family::Fields, vec![*part]));
            changes.keys.insert(key.as_bytes().to_vec(), parts.collect());
        }
        changes
    }

    #[test]
    fn changes_merge_in_both_directions_and_come_back_as_written() {
        let (early, late) = (changes(false, &[("a", &[1]), ("b", &[])]), changes(false, &[("a", &[2])]));
        let both = changes(false, &[("a", &[1, 2]), ("b", &[])]);
        let mut merged = early.clone();
        merged.merge(late.clone());
        assert_eq!(merged, both);
        let mut merged = late;
        merged.merge_earlier(early.clone());
        assert_eq!(merged, both);
        assert_eq!(merged.count(), 4);
        assert_eq!(Changes::decode(&merged.encode().unwrap()).unwrap(), merged);
        assert!(Changes::decode(&merged.encode().unwrap()[..5]).is_err());

        merged.merge(changes(true, &[("c", &[])]));
        assert_eq!(merged, changes(true, &[("c", &[])]));
        merged.merge(early.clone());
        assert_eq!(
            merged,
            Changes {
                cleared: true,
                keys: {
                    let mut keys = early.keys;
                    keys.insert(b"c".to_vec(), Parts::new());
                    keys
                }
            }
        );
    }
}
