//! What removals leave behind, and how it is kept from making everything after it dearer.
//!
//! RocksDB removes nothing at once: it writes tombstones, and whoever reads afterwards steps over them and over what
//! they cover, until both meet in a flush or a compaction. In a write buffer that never fills up they would gather
//! without end: a thousand `FLUSHALL`s on a few keys were a thousand range tombstones, looked at by every read. So:
//!
//! * A family that nothing was written to since it was cleared is not cleared again ([`Tombstones::occupied`]).
//! * Clearing walks over nothing: its bounds are the same each time. RocksDB keeps range tombstones with equal bounds
//!   as one with several ages, and cuts overlapping ones into pieces at every bound.
//! * Write buffers are flushed when too many range tombstones, or too much that they cover, is in them
//!   ([`Tombstones::is_due`]). Range tombstones are laid over many entries only, so the flushes are paid for by what
//!   was written before.
//! * Whoever looks for keys that are due begins at the first deadline that there may be, not at those that have been
//!   removed ([`Tombstones::first_deadline`]).

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::encoding::Family;

/// Range tombstones in the write buffer of a family at which the buffers are flushed.
const MOST_RANGES: u64 = 128;
/// Entries in the write buffer of a family that is cleared which count for as much as all of those.
const MOST_COVERED: u64 = 64 * 1024;

/// See the module.
pub(super) struct Tombstones {
    /// Whether a family may have content. Only for families that nobody but the writer of runs writes to.
    occupied: [AtomicBool; Family::ALL.len()],
    /// By family: range tombstones since the last flush, and what counts as such.
    ranges: [AtomicU64; Family::ALL.len()],
    /// There is no deadline before this one. Changed only by who keeps commits from becoming visible.
    first_deadline: AtomicU64,
    /// The first of the deadlines that were written since the last commit.
    new_deadline: AtomicU64,
}

impl Default for Tombstones {
    /// Of a store whose content is not known.
    fn default() -> Self {
        Self {
            occupied: std::array::from_fn(|_| AtomicBool::new(true)),
            ranges: std::array::from_fn(|_| AtomicU64::new(0)),
            first_deadline: AtomicU64::new(0),
            new_deadline: AtomicU64::new(u64::MAX),
        }
    }
}

impl Tombstones {
    /// Something is put into a family.
    pub(super) fn occupy(&self, family: Family) {
        self.occupied[family as usize].store(true, Ordering::Release);
    }

    /// A family is cleared. Answers whether there may be anything in it.
    pub(super) fn vacate(&self, family: Family) -> bool {
        self.occupied[family as usize].swap(false, Ordering::AcqRel)
    }

    /// A write has failed: who knows what is where.
    pub(super) fn forget(&self) {
        Family::ALL.into_iter().for_each(|family| self.occupy(family));
    }

    /// A range tombstone is laid in a family, over so many entries in its write buffer that it is worth to be rid of
    /// them soon; 0 for few.
    pub(super) fn lay(&self, family: Family, covered: u64) {
        let weight = 1 + covered * MOST_RANGES / MOST_COVERED;
        self.ranges[family as usize].fetch_add(weight, Ordering::AcqRel);
    }

    /// Whether the write buffers should be flushed. After yes, the count begins anew.
    pub(super) fn is_due(&self) -> bool {
        let is_due = self.ranges.iter().any(|count| count.load(Ordering::Acquire) >= MOST_RANGES);
        if is_due {
            self.flushed();
        }
        is_due
    }

    /// The write buffers are flushed.
    pub(super) fn flushed(&self) {
        self.ranges.iter().for_each(|count| count.store(0, Ordering::Release));
    }

    /// The most range tombstones that a write buffer may hold now.
    #[cfg(test)]
    pub(super) fn most(&self) -> u64 {
        self.ranges.iter().map(|count| count.load(Ordering::Acquire)).max().unwrap_or(0)
    }

    /// A deadline is written; it counts from the commit on.
    pub(super) fn add_deadline(&self, deadline: u64) {
        self.new_deadline.fetch_min(deadline, Ordering::AcqRel);
    }

    /// What was added becomes visible. Only for who holds `commits` as a writer.
    pub(super) fn commit_deadlines(&self) {
        let first = self.new_deadline.swap(u64::MAX, Ordering::AcqRel);
        self.first_deadline.fetch_min(first, Ordering::AcqRel);
    }

    /// The first deadline that there may be.
    pub(super) fn first_deadline(&self) -> u64 {
        self.first_deadline.load(Ordering::Acquire)
    }

    /// A reader has found that there is no deadline before this one. Only for who holds `commits` as a reader, and has
    /// held it since before it looked.
    pub(super) fn none_before(&self, deadline: u64) {
        self.first_deadline.fetch_max(deadline, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_that_is_written_after_a_look_is_found_by_the_next_one() {
        let tombstones = Tombstones::default();
        tombstones.none_before(100);
        tombstones.add_deadline(50);
        // A reader that looks before the commit does not see it.
        tombstones.none_before(200);
        assert_eq!(tombstones.first_deadline(), 200);
        tombstones.commit_deadlines();
        assert_eq!(tombstones.first_deadline(), 50);
    }

    #[test]
    fn a_clear_over_many_entries_is_due_for_a_flush_at_once() {
        let tombstones = Tombstones::default();
        tombstones.lay(Family::Meta, 10);
        assert!(!tombstones.is_due());
        tombstones.lay(Family::Meta, MOST_COVERED);
        assert!(tombstones.is_due());
        assert!(!tombstones.is_due(), "once");
    }

    #[test]
    fn a_family_is_cleared_once_until_something_is_put_into_it() {
        let tombstones = Tombstones::default();
        assert!(tombstones.vacate(Family::Fields));
        assert!(!tombstones.vacate(Family::Fields));
        tombstones.occupy(Family::Fields);
        assert!(tombstones.vacate(Family::Fields));
    }
}
