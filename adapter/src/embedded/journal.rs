//! What has changed here and not yet where the values are kept, for a store whose values live on another storage.
//!
//! Every commit writes the names of what it changes into the journal, in the same RocksDB batch as the changes
//! themselves. What the changes lead to is not noted: whoever carries them over looks at the store as it is by then.
//! So many changes of one thing are carried over as one, and carrying one over twice does no harm.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
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

    /// Adds what a later entry of the journal says.
    pub(super) fn add(&mut self, later: Self) {
        if later.cleared {
            *self = later;
        } else {
            self.merge(later);
        }
    }

    /// Adds later changes, before which not everything was removed. Answers how many names are new.
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

/// The names that a wave is about, about.
pub(crate) const STRETCH_NAMES: usize = 50_000;
/// The names of so many stretches are kept in memory. Those of later ones, but for the last, are read from the journal
/// when it is their turn.
const AT_HAND: usize = 2;

/// A stretch of the journal.
#[derive(Debug)]
pub(super) struct Stretch {
    /// The numbers of its entries.
    pub(super) entries: Range<u64>,
    names: usize,
    cleared: bool,
    /// The keys that have got their content from other ones.
    moved: BTreeSet<Vec<u8>>,
    /// What has changed; none if only the journal says it.
    changes: Option<Changes>,
}

impl Stretch {
    fn new(changes: Changes, entry: u64) -> Self {
        Self {
            entries: entry..entry + 1,
            names: changes.count(),
            cleared: changes.cleared,
            moved: moved_keys(&changes).collect(),
            changes: Some(changes),
        }
    }

    /// Whether more goes into it.
    const fn is_open(&self) -> bool {
        self.changes.is_some() && self.names < STRETCH_NAMES
    }

    /// Adds the changes of the entry behind it.
    fn add(&mut self, later: Changes, entry: u64) {
        self.entries.end = entry + 1;
        self.moved.extend(moved_keys(&later));
        if let Some(changes) = &mut self.changes {
            self.names += changes.merge(later);
        }
    }
}

fn moved_keys(changes: &Changes) -> impl Iterator<Item = Vec<u8>> {
    let is_moved = |parts: &Parts| parts.contains(&moved());
    changes.keys.iter().filter(move |(_, parts)| is_moved(parts)).map(|(key, _)| key.clone())
}

/// Changes that wait, in stretches of the journal: each is carried over by a wave of its own, so that no wave is about
/// more than is easily held, and none is noted anew when a part of them has been carried over. However many wait, few of
/// them are in memory.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    stretches: VecDeque<Stretch>,
}

impl Waiting {
    /// How many names wait. What has changed in several stretches counts for each.
    pub(super) fn names(&self) -> usize {
        self.stretches.iter().map(|stretch| stretch.names).sum()
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.stretches.is_empty()
    }

    /// Whether everything waits to be removed.
    pub(super) fn is_cleared(&self) -> bool {
        self.stretches.front().is_some_and(|first| first.cleared)
    }

    /// Whether it waits to be carried over that a key has got its content from another one.
    pub(super) fn has_moved(&self, key: &[u8]) -> bool {
        self.stretches.iter().any(|stretch| stretch.moved.contains(key))
    }

    /// The entries of the first stretch, if they are to be read before it can be taken.
    pub(super) fn is_to_be_read(&self) -> Option<Range<u64>> {
        self.stretches.front().filter(|first| first.changes.is_none()).map(|first| first.entries.clone())
    }

    /// What was read of these entries.
    pub(super) fn was_read(&mut self, entries: &Range<u64>, changes: Changes) {
        if let Some(first) = self.stretches.front_mut().filter(|first| first.entries == *entries) {
            first.changes = Some(changes);
        }
    }

    /// Takes the first stretch, if it is there, and its changes.
    pub(super) fn take(&mut self) -> Option<(Stretch, Changes)> {
        let changes = self.stretches.front_mut()?.changes.take()?;
        Some((self.stretches.pop_front()?, changes))
    }

    /// What was taken has not been carried over.
    pub(super) fn give_back(&mut self, stretch: Stretch, changes: Changes) {
        if !self.is_cleared() {
            self.stretches.push_front(Stretch { changes: Some(changes), ..stretch });
        }
    }

    /// Adds the changes of the journal's last entry.
    pub(super) fn add(&mut self, later: Changes, entry: u64) {
        if later.cleared {
            self.stretches.clear();
        }
        let many = self.stretches.len() >= AT_HAND;
        match self.stretches.back_mut() {
            Some(last) if last.is_open() => last.add(later, entry),
            last => {
                if let Some(last) = last.filter(|_| many) {
                    last.changes = None;
                }
                self.stretches.push_back(Stretch::new(later, entry));
            }
        }
    }

    /// Forgets what waits.
    pub(super) fn clear(&mut self) {
        self.stretches.clear();
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

    fn take(waiting: &mut Waiting) -> Option<(Changes, Range<u64>)> {
        waiting.take().map(|(stretch, changes)| (changes, stretch.entries))
    }

    #[test]
    fn changes_merge_are_counted_and_come_back_as_written() {
        let both = changes(false, &[("a", &[1, 2]), ("b", &[])]);
        let mut waiting = Waiting::default();
        waiting.add(changes(false, &[("a", &[1]), ("b", &[])]), 0);
        waiting.add(changes(false, &[("a", &[2])]), 1);
        assert_eq!(waiting.names(), 4);
        assert_eq!(take(&mut waiting), Some((both.clone(), 0..2)));
        assert_eq!((waiting.names(), waiting.is_empty()), (0, true));
        assert_eq!(Changes::decode(&both.encode().unwrap()).unwrap(), both);
        assert!(Changes::decode(&both.encode().unwrap()[..5]).is_err());
    }

    #[test]
    fn many_changes_wait_in_stretches_few_of_them_in_memory() {
        const EACH: usize = STRETCH_NAMES / 2 + 1;
        let entry = |number: u64| {
            let names = number as usize * EACH..(number as usize + 1) * EACH;
            let keys = names.map(|name| (format!("{name:08}").into_bytes(), Parts::new())).collect();
            Changes { cleared: false, keys }
        };
        let pair = |first: u64| {
            let mut both = entry(first);
            both.add(entry(first + 1));
            (both, first..first + 2)
        };
        let mut waiting = Waiting::default();
        (0..15).for_each(|number| waiting.add(entry(number), number));
        assert_eq!(waiting.names(), 15 * EACH);

        let (stretch, first) = waiting.take().unwrap();
        assert_eq!((first.clone(), stretch.entries.clone()), pair(0));
        waiting.give_back(stretch, first);
        assert_eq!(waiting.names(), 15 * EACH);
        for number in 0..8 {
            let is_to_be_read = waiting.is_to_be_read();
            let is_kept = (number as usize) < AT_HAND - 1 || number == 7;
            assert_eq!(is_to_be_read.is_none(), is_kept, "{number}");
            let (changes, entries) = if number == 7 { (entry(14), 14..15) } else { pair(number * 2) };
            if let Some(range) = is_to_be_read {
                assert!(take(&mut waiting).is_none());
                assert_eq!(range, entries);
                waiting.was_read(&(0..1), Changes::default());
                waiting.was_read(&range, changes.clone());
            }
            assert_eq!(take(&mut waiting), Some((changes, entries)));
        }
        assert!(take(&mut waiting).is_none() && waiting.names() == 0);
    }

    #[test]
    fn what_waited_before_everything_was_removed_is_not_carried_over() {
        let early = changes(false, &[("a", &[]), ("b", &[1])]);
        let cleared = changes(true, &[("c", &[])]);
        let mut waiting = Waiting::default();
        waiting.add(early.clone(), 0);
        let (stretch, taken) = waiting.take().unwrap();
        waiting.add(early.clone(), 1);
        waiting.add(cleared.clone(), 2);
        waiting.give_back(stretch, taken);
        assert!(waiting.is_cleared());
        let (stretch, taken) = waiting.take().unwrap();
        assert_eq!((&taken, stretch.entries.clone()), (&cleared, 2..3));
        // Nor is it forgotten that everything is to be removed.
        waiting.add(early.clone(), 3);
        assert!(!waiting.is_cleared());
        waiting.give_back(stretch, taken);
        assert!(waiting.is_cleared());
        assert_eq!(take(&mut waiting), Some((cleared.clone(), 2..3)));
        assert_eq!(take(&mut waiting), Some((early.clone(), 3..4)));
        let mut read = early.clone();
        read.add(cleared.clone());
        assert_eq!(read, cleared);
        read.add(early);
        assert_eq!(read, changes(true, &[("a", &[]), ("b", &[1]), ("c", &[])]));
    }

    #[test]
    fn it_is_known_which_content_came_from_another_key_until_that_is_taken() {
        let mut renamed = changes(false, &[("b", &[1])]);
        renamed.keys.get_mut(&b"b"[..]).unwrap().insert(moved());
        let mut waiting = Waiting::default();
        waiting.add(changes(false, &[("a", &[]), ("b", &[1])]), 0);
        waiting.add(renamed, 1);
        assert!(waiting.has_moved(b"b") && !waiting.has_moved(b"a"));
        let (stretch, taken) = waiting.take().unwrap();
        assert!(!waiting.has_moved(b"b"));
        waiting.give_back(stretch, taken);
        assert!(waiting.has_moved(b"b"));
    }
}
