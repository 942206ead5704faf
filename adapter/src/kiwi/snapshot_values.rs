//! The values of a snapshot scan, at one position while writes go on.
//!
//! The index is pinned by a RocksDB snapshot. Values on Kiwi are fetched when the scan reaches them, many at a
//! time; until the scan has passed a key, nothing of that key is changed on Kiwi
//! ([`SnapshotGate`](super::snapshot_gate::SnapshotGate)).

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Handle;

use super::connection_state::{LossReport, missing_value_message};
use super::fetcher::Fetcher;
use super::snapshot_gate::ScanProgress;
use crate::embedded::EmbeddedAdapter;
use crate::embedded::db::store::Store;
use crate::embedded::offload::remote::{ContentId, Readahead, RemoteValues, ValueId};
use crate::embedded::offload::value_ref::ValuePointer;
use crate::error::{Outcome, Stop, StorageError};
use crate::failpoint;

/// Attempts to fetch a value before the scan fails, and the delay between them.
const TRIES: u32 = 20;
const RETRY: Duration = Duration::from_millis(200);

/// Remote values for a scan in order: each fetch reads ahead, in this key and those after it. Blocking.
pub(super) struct SnapshotValues {
    pub(super) index: Arc<EmbeddedAdapter>,
    pub(super) fetcher: Fetcher,
    pub(super) runtime: Handle,
    pub(super) progress: ScanProgress,
    pub(super) losses: LossReport,
    /// The generation being scanned.
    pub(super) store: Arc<Store>,
    pub(super) prefetched: RefCell<HashMap<ValueId, (ValuePointer, Bytes)>>,
}

impl SnapshotValues {
    /// Whether the generation being scanned has been replaced.
    pub(super) fn is_replaced(&self) -> bool {
        !Arc::ptr_eq(&self.store, &self.index.store())
    }

    fn fetch(&self, id: &ValueId, pointer: ValuePointer, next: &Readahead<'_>) -> Outcome<Bytes> {
        failpoint::reached("snapshot-reading");
        let mut last = None;
        for _ in 0..TRIES {
            // Kiwi is about to be refilled for the current generation only.
            if self.is_replaced() {
                return Err(StorageError::Lost(missing_value_message(id)).into());
            }
            let mut needs = vec![(id.clone(), pointer)];
            needs.extend(next(id)?);
            match self.runtime.block_on(self.fetcher.fetch(needs)) {
                Ok(found) => {
                    last = None;
                    let mut prefetched = self.prefetched.borrow_mut();
                    prefetched.clear();
                    for ((id, pointer), value) in found {
                        if let Some(value) = value {
                            prefetched.insert(id, (pointer, value));
                        }
                    }
                    if let Some((_, value)) = prefetched.remove(id).filter(|(found, _)| *found == pointer) {
                        return Ok(value);
                    }
                }
                Err(error) => last = Some(error),
            }
            std::thread::sleep(RETRY);
        }
        match last {
            Some(error) if !self.index.store().worker_state()?.lost => {
                Err(StorageError::Away(error.to_string()).into())
            }
            Some(error) => Err(StorageError::Lost(error.to_string()).into()),
            None => {
                // Values of a replaced generation are legitimately gone from Kiwi.
                if !self.is_replaced() {
                    self.losses.note(missing_value_message(id));
                }
                Err(StorageError::Lost(missing_value_message(id)).into())
            }
        }
    }
}

impl RemoteValues for SnapshotValues {
    fn value(&self, id: ValueId, pointer: ValuePointer, next: &Readahead<'_>) -> Outcome<Bytes> {
        let found = self.prefetched.borrow_mut().remove(&id);
        match found {
            Some((known, value)) if known == pointer => Ok(value),
            _ => self.fetch(&id, pointer, next),
        }
    }

    fn fetch_all(&self, _content: ContentId) -> Stop {
        // A scan never moves or copies content.
        Stop::Pending
    }

    fn has_missing(&self) -> bool {
        false
    }

    fn keep_looking(&self) -> bool {
        false
    }

    fn scan_reached(&self, key: &[u8]) {
        self.progress.advance_to(key);
    }
}
