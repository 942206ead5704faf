//! How much of the log a reader anywhere may have seen the effects of.
//!
//! What a leader has *applied* is less than that. A follower that is told of a commit can apply it, and show it, before
//! the leader's own storage has; and a storage shows what it applies a moment before it is known to be applied. A read
//! that is ordered by the applied index alone would then be answered with less than another one has seen before.
//!
//! So the mark rises before anything is shown: before a run is applied here, and before another node is told that
//! something is committed. Both are committed by then, so a read that waits for the mark waits for what will be
//! applied.

use std::sync::atomic::{AtomicU64, Ordering};

/// The highest index that may have been shown.
#[derive(Debug, Default)]
pub(crate) struct Watermark(AtomicU64);

impl Watermark {
    /// Everything up to this index is about to be shown, here or by a node that is about to be told of it.
    pub(crate) fn raise(&self, index: u64) {
        self.0.fetch_max(index, Ordering::AcqRel);
    }

    /// Nothing above this index has been shown by the time of this call.
    pub(crate) fn index(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}
