//! Keeps keys on Kiwi unchanged until every running snapshot scan has passed them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::keyspace::Point;

/// The snapshot scans in progress.
#[derive(Clone, Default)]
pub(super) struct SnapshotGate(Arc<Mutex<Vec<Weak<AtomicU64>>>>);

impl SnapshotGate {
    /// Closes the gate for all keys; it opens as the scan advances or ends.
    pub(super) fn begin_scan(&self) -> ScanProgress {
        let progress = Arc::new(AtomicU64::new(0));
        self.scans().push(Arc::downgrade(&progress));
        ScanProgress(progress)
    }

    /// Keys before this point may be changed on Kiwi; none if all may.
    pub(super) fn open_below(&self) -> Option<Point> {
        let mut scans = self.scans();
        scans.retain(|progress| progress.strong_count() > 0);
        scans.iter().filter_map(Weak::upgrade).map(|progress| Point(progress.load(Ordering::Acquire))).min()
    }

    fn scans(&self) -> std::sync::MutexGuard<'_, Vec<Weak<AtomicU64>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How far a scan has come. Dropping it ends the scan.
pub(super) struct ScanProgress(Arc<AtomicU64>);

impl ScanProgress {
    /// The scan has reached this key.
    pub(super) fn advance_to(&self, key: &[u8]) {
        self.0.store(Point::of(key).0, Ordering::Release);
    }
}
