//! Entries from memory where they are there, else from disk.

use std::fmt::Debug;
use std::ops::{Bound, Range, RangeBounds};
use std::sync::Arc;

use openraft::{AnyError, EntryPayload, OptionalSend, RaftLogReader, StorageIOError};

use super::core::Core;
use crate::TypeConfig;
use crate::types::{Entry, LogId, NodeId, Peer, StorageError};

const UNBOUNDED: usize = usize::MAX;
/// Entries that a search reads at once.
const ENTRIES_AT_ONCE: u64 = 1024;

type Membership = openraft::Membership<NodeId, Peer>;

/// Reads the log beside its writer. Cheap to clone.
#[derive(Clone)]
pub struct LogReader {
    shared: Arc<Core>,
}

impl LogReader {
    pub(super) fn new(shared: Arc<Core>) -> Self {
        Self { shared }
    }

    /// The node that the log is of.
    pub(crate) fn node_id(&self) -> NodeId {
        self.shared.options.node_id
    }

    /// The log id of the entry at `index`, if there is one.
    pub(crate) async fn log_id(&self, index: u64) -> Result<Option<LogId>, StorageError> {
        let cached = self.shared.window().log_id(index);
        if cached.is_some() {
            return Ok(cached);
        }
        let entries = self.read(index..index + 1, UNBOUNDED).await?;
        Ok(entries.first().map(|entry| entry.log_id))
    }

    /// The last membership among the entries of a range; none if there is none, or they are not there any more.
    pub(crate) async fn last_membership(
        &self,
        indexes: Range<u64>,
    ) -> Result<Option<Membership>, StorageError> {
        let mut end = indexes.end;
        while end > indexes.start {
            let start = end.saturating_sub(ENTRIES_AT_ONCE).max(indexes.start);
            let entries = self.read(start..end, UNBOUNDED).await?;
            if entries.is_empty() {
                break;
            }
            for entry in entries.into_iter().rev() {
                if let EntryPayload::Membership(membership) = entry.payload {
                    return Ok(Some(membership));
                }
            }
            end = start;
        }
        Ok(None)
    }

    /// Reads entries as long as their bytes are at most `max_bytes`, or none is read yet. With a bound, entries from
    /// disk are not joined with those from memory: the caller asks again for the rest.
    async fn read(&self, indexes: Range<u64>, max_bytes: usize) -> Result<Vec<Entry>, StorageError> {
        if indexes.is_empty() {
            return Ok(Vec::new());
        }
        let (on_disk_before, cached) = self.shared.window().read(indexes.clone(), budget(max_bytes));
        if on_disk_before <= indexes.start {
            return Ok(cached);
        }
        let mut entries = self.read_disk(indexes.start..on_disk_before, max_bytes).await?;
        if max_bytes == UNBOUNDED {
            entries.extend(cached);
        }
        Ok(entries)
    }

    async fn read_disk(&self, indexes: Range<u64>, max_bytes: usize) -> Result<Vec<Entry>, StorageError> {
        let start = indexes.start;
        let failed = |error: AnyError| StorageError::from(StorageIOError::read_log_at_index(start, error));
        let shared = Arc::clone(&self.shared);
        let read = tokio::task::spawn_blocking(move || shared.disk.read(indexes, budget(max_bytes))).await;
        let read = read.map_err(|error| failed(AnyError::new(&error)))?;
        read.map_err(|error| failed(AnyError::error(error)))
    }
}

/// Says yes to the first size, and to more as long as the sum is at most `max_bytes`.
fn budget(max_bytes: usize) -> impl FnMut(usize) -> bool + Send + 'static {
    let mut used = None::<usize>;
    move |bytes| {
        let sum = used.map_or(bytes, |used| used.saturating_add(bytes));
        let fits = used.is_none() || sum <= max_bytes;
        used = Some(sum);
        fits
    }
}

impl RaftLogReader<TypeConfig> for LogReader {
    async fn try_get_log_entries<RB>(&mut self, range: RB) -> Result<Vec<Entry>, StorageError>
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let start = match range.start_bound() {
            Bound::Included(start) => *start,
            Bound::Excluded(before) => before.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let last = self.shared.window().last;
        let after_last = last.map_or(0, |last| last.index.saturating_add(1));
        let end = match range.end_bound() {
            Bound::Included(last) => last.saturating_add(1),
            Bound::Excluded(end) => *end,
            Bound::Unbounded => after_last,
        };
        self.read(start..end.min(after_last), UNBOUNDED).await
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>, StorageError> {
        let entries = self.read(start..end, self.shared.options.max_append_bytes).await?;
        // A leader that was deposed may still be replicating what its successor has truncated. An error would be
        // fatal to the node; openraft takes nothing for a heartbeat and asks again.
        if start < end && entries.first().map(|entry| entry.log_id.index) != Some(start) {
            tracing::warn!(index = start, "a log entry to replicate is gone: it was truncated or purged");
            return Ok(Vec::new());
        }
        Ok(entries)
    }
}
