//! What has changed here and not yet where the values are kept, for a store whose values live on another storage.
//!
//! Every commit writes the names of what it changes into the journal, in the same RocksDB batch as the changes
//! themselves. What the changes lead to is not noted: whoever carries them over looks at the store as it is by then.
//! So many changes of one thing are carried over as one, and carrying one over twice does no harm.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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

    /// Adds later changes. Answers how many names are new.
    fn merge(&mut self, later: Self) -> usize {
        let mut new = 0;
        for (key, parts) in later.keys {
            match self.keys.entry(key) {
                Entry::Vacant(entry) => {
                    new += 1 + parts.len();
                    entry.insert(parts);
                }
                Entry::Occupied(mut entry) => {
                    let before = entry.get().len();
                    entry.get_mut().extend(parts);
                    new += entry.get().len() - before;
                }
            }
        }
        new
    }

    pub(super) fn encode(&self) -> Result<Vec<u8>, StorageError> {
        postcard::to_allocvec(self).map_err(StorageError::engine("write down what changes"))
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, StorageError> {
        postcard::from_bytes(bytes).map_err(|error| StorageError::Corrupt(format!("the journal: {error}")))
    }
}

/// Changes that wait, with the number of their names.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    changes: Changes,
    names: usize,
}

impl Waiting {
    /// What waits.
    pub(super) const fn changes(&self) -> &Changes {
        &self.changes
    }

    /// How many names wait.
    pub(super) const fn names(&self) -> usize {
        self.names
    }

    /// Takes what waits.
    pub(super) fn take(&mut self) -> Changes {
        std::mem::take(self).changes
    }

    /// Adds later changes.
    pub(super) fn add(&mut self, later: Changes) {
        if later.cleared {
            *self = Self { names: later.count(), changes: later };
        } else {
            self.names += self.changes.merge(later);
        }
    }

    /// Adds earlier changes.
    pub(super) fn add_earlier(&mut self, earlier: Changes) {
        let later = self.take();
        *self = Self { names: earlier.count(), changes: earlier };
        self.add(later);
    }
}

/// The journal's end, and what of it nobody carries over yet.
#[derive(Debug, Default)]
pub(super) struct Journal {
    next: AtomicU64,
    first: AtomicU64,
    waiting: Mutex<Waiting>,
    /// Everything will be carried over anew: changes are not noted meanwhile.
    idle: AtomicBool,
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

    /// Whether changes are not noted.
    pub(super) fn is_idle(&self) -> bool {
        self.idle.load(Ordering::Acquire)
    }

    pub(super) fn set_idle(&self, idle: bool) {
        self.idle.store(idle, Ordering::Release);
    }

    /// What waits to be carried over.
    pub(super) fn waiting(&self) -> MutexGuard<'_, Waiting> {
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
    fn changes_merge_in_both_directions_are_counted_and_come_back_as_written() {
        let (early, late) = (changes(false, &[("a", &[1]), ("b", &[])]), changes(false, &[("a", &[2])]));
        let both = changes(false, &[("a", &[1, 2]), ("b", &[])]);
        let mut waiting = Waiting::default();
        waiting.add(early.clone());
        waiting.add(late.clone());
        assert_eq!((waiting.changes(), waiting.names()), (&both, 4));
        assert_eq!(waiting.take(), both);
        assert_eq!(waiting.names(), 0);
        waiting.add(late);
        waiting.add_earlier(early.clone());
        assert_eq!((waiting.changes(), waiting.names()), (&both, both.count()));
        assert_eq!(Changes::decode(&both.encode().unwrap()).unwrap(), both);
        assert!(Changes::decode(&both.encode().unwrap()[..5]).is_err());

        let cleared = changes(true, &[("c", &[])]);
        waiting.add(cleared.clone());
        assert_eq!((waiting.changes(), waiting.names()), (&cleared, 1));
        waiting.add_earlier(early.clone());
        assert_eq!((waiting.changes(), waiting.names()), (&cleared, 1));
        waiting.add(early);
        let all = changes(true, &[("a", &[1]), ("b", &[]), ("c", &[])]);
        assert_eq!((waiting.changes(), waiting.names()), (&all, 4));
    }
}
