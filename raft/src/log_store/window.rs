//! The end of the log in memory: replication and apply read from here and not from disk.

use std::collections::VecDeque;
use std::ops::Range;

use openraft::EntryPayload;

use super::disk::Recovered;
use crate::codec;
use crate::types::{Entry, LogId};

/// An entry does not follow the end of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("entry {entry} does not follow the last entry {last:?}")]
pub(super) struct Gap {
    entry: LogId,
    last: Option<LogId>,
}

/// Where the log begins and ends, and its most recent entries, without a hole.
///
/// An entry that is not on disk yet stays, whatever the bound: it can be read nowhere else.
#[derive(Debug)]
pub(super) struct Window {
    /// The last entry of the log, or [`Self::purged`] if there is none.
    pub(super) last: Option<LogId>,
    /// The last entry that was purged.
    pub(super) purged: Option<LogId>,
    /// The last entry that is known to be committed.
    pub(super) committed: Option<LogId>,
    items: VecDeque<Item>,
    bytes: usize,
    max_bytes: usize,
    /// The number of appends so far: the newest one's ticket.
    appended: u64,
    /// Appends up to this ticket are on disk.
    durable: u64,
}

#[derive(Debug)]
struct Item {
    entry: Entry,
    bytes: usize,
    /// Which append brought it. Tickets, unlike indexes, are not given twice, so a flush that ends after its
    /// entries were truncated says nothing of their successors.
    ticket: u64,
}

/// The one with the higher index.
fn later(one: Option<LogId>, other: Option<LogId>) -> Option<LogId> {
    let index = |id: &Option<LogId>| id.map(|id| id.index);
    if index(&other) > index(&one) { other } else { one }
}

/// About how many bytes an entry has in memory and on disk.
pub(super) fn size(entry: &Entry) -> usize {
    // Memberships are rare and small.
    const OTHER: usize = 512;
    codec::OVERHEAD
        + match &entry.payload {
            EntryPayload::Normal(batch) => batch.raw().len(),
            EntryPayload::Blank => 0,
            EntryPayload::Membership(_) => OTHER,
        }
}

impl Window {
    pub(super) fn new(max_bytes: usize, recovered: &Recovered) -> Self {
        let Recovered { last, purged, .. } = *recovered;
        // A crash of the machine may take entries that were not synced (`os-cache`) and leave the word that they
        // were committed.
        let beyond = |committed: &LogId| last.is_none_or(|last| committed.index > last.index);
        let committed =
            if recovered.committed.as_ref().is_some_and(beyond) { last } else { recovered.committed };
        let (items, bytes, appended, durable) = (VecDeque::new(), 0, 0, 0);
        Self { last, purged, committed, items, bytes, max_bytes, appended, durable }
    }

    /// Adds entries behind the last one; answers the append's ticket and the entries' bytes. A hole is refused,
    /// and nothing added.
    pub(super) fn append(&mut self, entries: &[Entry]) -> Result<(u64, usize), Gap> {
        let mut last = self.last;
        for entry in entries {
            if last.is_some_and(|last| entry.log_id.index != last.index + 1) {
                return Err(Gap { entry: entry.log_id, last });
            }
            last = Some(entry.log_id);
        }
        self.appended += 1;
        let mut added = 0;
        for entry in entries {
            let bytes = size(entry);
            self.items.push_back(Item { entry: entry.clone(), bytes, ticket: self.appended });
            added += bytes;
        }
        self.last = last;
        self.bytes += added;
        self.evict();
        Ok((self.appended, added))
    }

    /// Notes that an append and all before it are on disk.
    pub(super) fn set_durable(&mut self, ticket: u64) {
        self.durable = self.durable.max(ticket);
        self.evict();
    }

    /// The index up to which entries are on disk; 0 for none.
    pub(super) fn durable_upto(&self) -> u64 {
        // What is not on disk is here, at the end.
        let waiting = self.items.iter().rev().take_while(|item| item.ticket > self.durable).last();
        match waiting {
            Some(first) => first.entry.log_id.index.saturating_sub(1),
            None => self.last.map_or(0, |last| last.index),
        }
    }

    /// Forgets entries from `since` on; `before` is the last one that stays.
    pub(super) fn truncate(&mut self, since: u64, before: Option<LogId>) {
        while self.items.back().is_some_and(|item| item.entry.log_id.index >= since) {
            self.bytes -= self.items.pop_back().map_or(0, |item| item.bytes);
        }
        self.last = before;
    }

    /// Forgets entries up to and with `upto`, on disk or not.
    pub(super) fn purge(&mut self, upto: LogId) {
        while self.items.front().is_some_and(|item| item.entry.log_id.index <= upto.index) {
            self.pop_front();
        }
        // By their indices: an entry of a later term can come before one of an earlier term that was committed later
        // than it was appended here.
        self.purged = later(self.purged, Some(upto));
        self.last = later(self.last, self.purged);
    }

    /// The entries that are both in `indexes` and here, and the index before which they must be read from disk.
    pub(super) fn read(
        &self,
        indexes: Range<u64>,
        mut keep_on: impl FnMut(usize) -> bool,
    ) -> (u64, Vec<Entry>) {
        let Some(first) = self.items.front().map(|item| item.entry.log_id.index) else {
            return (indexes.end, Vec::new());
        };
        let skip = usize::try_from(indexes.start.saturating_sub(first)).unwrap_or(usize::MAX);
        let items = self.items.iter().skip(skip);
        let cached = items
            .take_while(|item| item.entry.log_id.index < indexes.end && keep_on(item.bytes))
            .map(|item| item.entry.clone())
            .collect();
        (first.clamp(indexes.start, indexes.end.max(indexes.start)), cached)
    }

    /// The log id of an entry that is here.
    pub(super) fn log_id(&self, index: u64) -> Option<LogId> {
        let first = self.items.front()?.entry.log_id.index;
        let at = usize::try_from(index.checked_sub(first)?).ok()?;
        self.items.get(at).map(|item| item.entry.log_id)
    }

    /// The number of entries here and their bytes.
    pub(super) fn usage(&self) -> (usize, usize) {
        (self.items.len(), self.bytes)
    }

    fn evict(&mut self) {
        while self.bytes > self.max_bytes
            && self.items.front().is_some_and(|item| item.ticket <= self.durable)
        {
            self.pop_front();
        }
    }

    fn pop_front(&mut self) {
        self.bytes -= self.items.pop_front().map_or(0, |item| item.bytes);
    }
}
