//! How long the log takes, for operators.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use metrics::Histogram;

/// Appends whose commit is still waited for; more than ever are under way between two commits.
const MAX_WAITING: usize = 4096;

/// The times of one log.
pub(super) struct Timing {
    append: Histogram,
    commit: Histogram,
    fsync: Histogram,
    /// The last index of each append that is not committed yet, and when it came.
    waiting: Mutex<VecDeque<(u64, Instant)>>,
}

impl Timing {
    pub(super) fn new() -> Self {
        Self {
            append: metrics::histogram!("raft_proxy_append_log_duration_seconds"),
            commit: metrics::histogram!("raft_proxy_commit_log_duration_seconds"),
            fsync: metrics::histogram!("raft_proxy_disk_wal_fsync_duration_seconds"),
            waiting: Mutex::default(),
        }
    }

    /// Entries up to this index are to be appended.
    pub(super) fn appending(&self, last: u64) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() == MAX_WAITING {
            waiting.pop_front();
        }
        waiting.push_back((last, Instant::now()));
    }

    /// An append that came at this moment is done.
    pub(super) fn appended(&self, began: Instant) {
        self.append.record(began.elapsed());
    }

    /// Everything up to this index is committed.
    pub(super) fn committed(&self, upto: u64) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((_, began)) = waiting.pop_front_if(|(last, _)| *last <= upto) {
            self.commit.record(began.elapsed());
        }
    }

    /// What was appended from this index on is gone.
    pub(super) fn truncated(&self, since: u64) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|(last, _)| *last < since);
    }

    /// The log was synced.
    pub(super) fn synced(&self, took: Duration) {
        self.fsync.record(took);
    }
}
