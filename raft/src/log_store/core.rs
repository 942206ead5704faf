//! What the log's parts share.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::disk::Disk;
use super::extent::Extent;
use super::options::Options;
use super::timing::Timing;
use super::window::Window;
use crate::data_id::DataId;
use crate::types::Vote;

/// See the module.
pub(super) struct Core {
    pub(super) options: Options,
    pub(super) disk: Disk,
    pub(super) data: DataId,
    pub(super) extent: Mutex<Extent>,
    pub(super) window: Mutex<Window>,
    pub(super) vote: Mutex<Option<Vote>>,
    pub(super) counters: Counters,
    pub(super) timing: Timing,
}

impl Core {
    pub(super) fn window(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Held for a moment by the thread that writes, or by who has the log offline.
    pub(super) fn extent(&self) -> MutexGuard<'_, Extent> {
        self.extent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) grown: AtomicU64,
    pub(super) truncations: AtomicU64,
    pub(super) writes: AtomicU64,
    pub(super) syncs: AtomicU64,
}

impl Counters {
    pub(super) fn written(&self, sync: bool) {
        self.writes.fetch_add(1, Ordering::Relaxed);
        self.syncs.fetch_add(u64::from(sync), Ordering::Relaxed);
    }
}
