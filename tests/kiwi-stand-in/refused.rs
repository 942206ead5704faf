//! Writes that were refused because the storage was unavailable. They are kept, and run when others succeed again: then
//! they land on top of whatever has been acknowledged since.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

/// How many are kept.
const KEPT: usize = 1000;
/// How many run with each success.
const AT_ONCE: usize = 10;

/// The writes, and for how long the storage is unavailable.
#[derive(Debug)]
pub(crate) struct Refused {
    unavailable_until: Option<Instant>,
    writes: VecDeque<(Instant, Vec<Bytes>)>,
    keep_for: Duration,
}

impl Refused {
    /// Nothing yet. A write is given up when it is as old as this.
    pub(crate) fn new(keep_for: Duration) -> Self {
        Self { unavailable_until: None, writes: VecDeque::new(), keep_for }
    }

    /// Nothing is served for this long.
    pub(crate) fn begin(&mut self, time: Duration) {
        self.unavailable_until = Some(Instant::now() + time);
    }

    /// Whether the storage is unavailable.
    pub(crate) fn is_unavailable(&self) -> bool {
        self.unavailable_until.is_some_and(|until| Instant::now() < until)
    }

    /// Keeps a write.
    pub(crate) fn keep(&mut self, args: Vec<Bytes>) {
        if self.writes.len() < KEPT {
            self.writes.push_back((Instant::now(), args));
        }
    }

    /// The writes that run behind a command that succeeded, oldest first.
    pub(crate) fn take(&mut self) -> Vec<Vec<Bytes>> {
        let count = self.writes.len().min(AT_ONCE);
        let taken = self.writes.drain(..count);
        taken.filter(|(since, _)| since.elapsed() < self.keep_for).map(|(_, args)| args).collect()
    }
}
