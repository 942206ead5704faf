//! The dirty log: what has changed here and has not been flushed to the other storage yet.
//!
//! Every commit logs the names of what it changes, in the same RocksDB batch as the changes themselves. The new
//! values are not logged: a flush reads the store as it is by then. So many changes of one thing are flushed as
//! one, and flushing one twice does no harm.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::embedded::db::schema::Family;
use crate::error::StorageError;

/// The names that have changed, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DirtySet {
    /// Everything was removed before the changes in `keys`.
    pub(crate) cleared: bool,
    /// The keys whose record, or any part of whose content, may have changed.
    pub(crate) keys: BTreeMap<Vec<u8>, DirtyParts>,
}

/// Dirty parts of a key's content: their families and their keys therein. Content under a new version has none
/// here: all of it is dirty.
pub(crate) type DirtyParts = BTreeSet<(Family, Vec<u8>)>;

/// The part that marks content which came from another key: all of it is dirty under this one.
pub(crate) fn moved_marker() -> (Family, Vec<u8>) {
    (Family::Meta, Vec::new())
}

impl DirtySet {
    pub(crate) fn is_empty(&self) -> bool {
        !self.cleared && self.keys.is_empty()
    }

    /// The number of names.
    pub(crate) fn count(&self) -> usize {
        self.keys.values().map(|parts| 1 + parts.len()).sum()
    }

    /// Adds the set of a later entry.
    pub(crate) fn add(&mut self, later: Self) {
        if later.cleared {
            *self = later;
        } else {
            self.merge(later);
        }
    }

    /// Merges a later set that does not start by removing everything. Returns how many names are new.
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

    pub(crate) fn encode(&self) -> Result<Vec<u8>, StorageError> {
        postcard::to_allocvec(self).map_err(StorageError::engine("write down what changes"))
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, StorageError> {
        postcard::from_bytes(bytes).map_err(|error| StorageError::Corrupt(format!("the journal: {error}")))
    }
}

/// The approximate number of names per segment, and so per flush.
pub(crate) const SEGMENT_NAMES: usize = 50_000;
/// Segments kept in memory, besides the last one. The others are read back from the log when their turn comes.
const SEGMENTS_IN_MEMORY: usize = 2;

/// A segment of the log.
#[derive(Debug)]
pub(crate) struct Segment {
    /// The numbers of its log entries.
    pub(crate) entries: Range<u64>,
    names: usize,
    cleared: bool,
    /// The keys whose content came from another key.
    moved: BTreeSet<Vec<u8>>,
    /// Its dirty set; none if it has to be read back from the log.
    dirty: Option<DirtySet>,
}

impl Segment {
    fn new(dirty: DirtySet, entry: u64) -> Self {
        Self {
            entries: entry..entry + 1,
            names: dirty.count(),
            cleared: dirty.cleared,
            moved: moved_keys(&dirty).collect(),
            dirty: Some(dirty),
        }
    }

    /// Whether it takes further entries.
    const fn is_open(&self) -> bool {
        self.dirty.is_some() && self.names < SEGMENT_NAMES
    }

    /// Adds the next entry.
    fn add(&mut self, later: DirtySet, entry: u64) {
        self.entries.end = entry + 1;
        self.moved.extend(moved_keys(&later));
        if let Some(dirty) = &mut self.dirty {
            self.names += dirty.merge(later);
        }
    }
}

fn moved_keys(dirty: &DirtySet) -> impl Iterator<Item = Vec<u8>> {
    let is_moved = |parts: &DirtyParts| parts.contains(&moved_marker());
    dirty.keys.iter().filter(move |(_, parts)| is_moved(parts)).map(|(key, _)| key.clone())
}

/// Segments waiting to be flushed. Each is flushed as a batch of its own, so a batch always fits in memory, and
/// flushing a part of the changes never rewrites the rest. However many wait, only a few are in memory.
#[derive(Debug, Default)]
pub(crate) struct SegmentQueue {
    segments: VecDeque<Segment>,
}

impl SegmentQueue {
    /// The number of names waiting. A name in several segments counts for each.
    pub(crate) fn names(&self) -> usize {
        self.segments.iter().map(|segment| segment.names).sum()
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// Whether the next flush starts by removing everything.
    pub(crate) fn is_cleared(&self) -> bool {
        self.segments.front().is_some_and(|first| first.cleared)
    }

    /// Whether a segment says that this key's content came from another key.
    pub(crate) fn has_moved(&self, key: &[u8]) -> bool {
        self.segments.iter().any(|segment| segment.moved.contains(key))
    }

    /// The entries of the first segment, if they have to be read back before it can be taken.
    pub(crate) fn unloaded_head(&self) -> Option<Range<u64>> {
        self.segments.front().filter(|first| first.dirty.is_none()).map(|first| first.entries.clone())
    }

    /// Sets the dirty set that was read back for these entries.
    pub(crate) fn load_head(&mut self, entries: &Range<u64>, dirty: DirtySet) {
        if let Some(first) = self.segments.front_mut().filter(|first| first.entries == *entries) {
            first.dirty = Some(dirty);
        }
    }

    /// Takes the first segment and its dirty set, if there is one in memory.
    pub(crate) fn take(&mut self) -> Option<(Segment, DirtySet)> {
        let dirty = self.segments.front_mut()?.dirty.take()?;
        Some((self.segments.pop_front()?, dirty))
    }

    /// Returns a segment that could not be flushed.
    pub(crate) fn return_segment(&mut self, segment: Segment, dirty: DirtySet) {
        if !self.is_cleared() {
            self.segments.push_front(Segment { dirty: Some(dirty), ..segment });
        }
    }

    /// Adds the entry just appended to the log.
    pub(crate) fn add(&mut self, later: DirtySet, entry: u64) {
        if later.cleared {
            self.segments.clear();
        }
        let many = self.segments.len() >= SEGMENTS_IN_MEMORY;
        match self.segments.back_mut() {
            Some(last) if last.is_open() => last.add(later, entry),
            last => {
                if let Some(last) = last.filter(|_| many) {
                    last.dirty = None;
                }
                self.segments.push_back(Segment::new(later, entry));
            }
        }
    }

    /// Drops everything.
    pub(crate) fn clear(&mut self) {
        self.segments.clear();
    }
}

/// The bounds of the log, and the segments waiting to be flushed.
#[derive(Debug, Default)]
pub(crate) struct DirtyLog {
    next: AtomicU64,
    first: AtomicU64,
    queue: Mutex<SegmentQueue>,
    /// Nothing is logged: everything will be flushed again anyway.
    paused: AtomicBool,
}

impl DirtyLog {
    /// The number of the next entry.
    pub(crate) fn end(&self) -> u64 {
        self.next.load(Ordering::Acquire)
    }

    /// A lower bound on the number of the first remaining entry.
    pub(crate) fn begin(&self) -> u64 {
        self.first.load(Ordering::Acquire)
    }

    pub(crate) fn set_begin(&self, first: u64) {
        self.first.store(first, Ordering::Release);
    }

    pub(crate) fn set_end(&self, next: u64) {
        self.next.store(next, Ordering::Release);
    }

    /// Whether logging is paused.
    pub(crate) fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Acquire)
    }

    pub(crate) fn set_paused(&self, paused: bool) {
        self.paused.store(paused, Ordering::Release);
    }

    /// The segments waiting to be flushed.
    pub(crate) fn queue(&self) -> MutexGuard<'_, SegmentQueue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;

    fn dirty(cleared: bool, keys: &[(&str, &[u8])]) -> DirtySet {
        let mut dirty = DirtySet { cleared, ..DirtySet::default() };
        for (key, parts) in keys {
            let parts = parts.iter().map(|part| (Family::Fields, vec![*part]));
            dirty.keys.insert(key.as_bytes().to_vec(), parts.collect());
        }
        dirty
    }

    fn take(queue: &mut SegmentQueue) -> Option<(DirtySet, Range<u64>)> {
        queue.take().map(|(segment, dirty)| (dirty, segment.entries))
    }

    #[test]
    fn changes_merge_are_counted_and_come_back_as_written() {
        let both = dirty(false, &[("a", &[1, 2]), ("b", &[])]);
        let mut queue = SegmentQueue::default();
        queue.add(dirty(false, &[("a", &[1]), ("b", &[])]), 0);
        queue.add(dirty(false, &[("a", &[2])]), 1);
        assert_eq!(queue.names(), 4);
        assert_eq!(take(&mut queue), Some((both.clone(), 0..2)));
        assert_eq!((queue.names(), queue.is_empty()), (0, true));
        assert_eq!(DirtySet::decode(&both.encode().unwrap()).unwrap(), both);
        assert!(DirtySet::decode(&both.encode().unwrap()[..5]).is_err());
    }

    #[test]
    fn many_changes_wait_in_segments_few_of_them_in_memory() {
        const EACH: usize = SEGMENT_NAMES / 2 + 1;
        let entry = |number: u64| {
            let names = number as usize * EACH..(number as usize + 1) * EACH;
            let keys = names.map(|name| (format!("{name:08}").into_bytes(), DirtyParts::new())).collect();
            DirtySet { cleared: false, keys }
        };
        let pair = |first: u64| {
            let mut both = entry(first);
            both.add(entry(first + 1));
            (both, first..first + 2)
        };
        let mut queue = SegmentQueue::default();
        (0..15).for_each(|number| queue.add(entry(number), number));
        assert_eq!(queue.names(), 15 * EACH);

        let (segment, first) = queue.take().unwrap();
        assert_eq!((first.clone(), segment.entries.clone()), pair(0));
        queue.return_segment(segment, first);
        assert_eq!(queue.names(), 15 * EACH);
        for number in 0..8 {
            let unloaded_head = queue.unloaded_head();
            let is_kept = (number as usize) < SEGMENTS_IN_MEMORY - 1 || number == 7;
            assert_eq!(unloaded_head.is_none(), is_kept, "{number}");
            let (dirty, entries) = if number == 7 { (entry(14), 14..15) } else { pair(number * 2) };
            if let Some(range) = unloaded_head {
                assert!(take(&mut queue).is_none());
                assert_eq!(range, entries);
                queue.load_head(&(0..1), DirtySet::default());
                queue.load_head(&range, dirty.clone());
            }
            assert_eq!(take(&mut queue), Some((dirty, entries)));
        }
        assert!(take(&mut queue).is_none() && queue.names() == 0);
    }

    #[test]
    fn what_waited_before_everything_was_removed_is_not_carried_over() {
        let early = dirty(false, &[("a", &[]), ("b", &[1])]);
        let cleared = dirty(true, &[("c", &[])]);
        let mut queue = SegmentQueue::default();
        queue.add(early.clone(), 0);
        let (segment, taken) = queue.take().unwrap();
        queue.add(early.clone(), 1);
        queue.add(cleared.clone(), 2);
        queue.return_segment(segment, taken);
        assert!(queue.is_cleared());
        let (segment, taken) = queue.take().unwrap();
        assert_eq!((&taken, segment.entries.clone()), (&cleared, 2..3));
        // Nor is the removal of everything forgotten.
        queue.add(early.clone(), 3);
        assert!(!queue.is_cleared());
        queue.return_segment(segment, taken);
        assert!(queue.is_cleared());
        assert_eq!(take(&mut queue), Some((cleared.clone(), 2..3)));
        assert_eq!(take(&mut queue), Some((early.clone(), 3..4)));
        let mut read = early.clone();
        read.add(cleared.clone());
        assert_eq!(read, cleared);
        read.add(early);
        assert_eq!(read, dirty(true, &[("a", &[]), ("b", &[1]), ("c", &[])]));
    }

    #[test]
    fn it_is_known_which_content_came_from_another_key_until_that_is_taken() {
        let mut renamed = dirty(false, &[("b", &[1])]);
        renamed.keys.get_mut(&b"b"[..]).unwrap().insert(moved_marker());
        let mut queue = SegmentQueue::default();
        queue.add(dirty(false, &[("a", &[]), ("b", &[1])]), 0);
        queue.add(renamed, 1);
        assert!(queue.has_moved(b"b") && !queue.has_moved(b"a"));
        let (segment, taken) = queue.take().unwrap();
        assert!(!queue.has_moved(b"b"));
        queue.return_segment(segment, taken);
        assert!(queue.has_moved(b"b"));
    }
}
