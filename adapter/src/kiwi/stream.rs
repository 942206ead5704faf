//! All content at one position, while writes go on.
//!
//! The index is fixed by a snapshot of it. Values that are on Kiwi are read there when the walk comes to them, many at
//! a time; until it has passed a key, nothing of that key is changed on Kiwi ([`Freezes`]).

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Handle;

use super::fetch::Fetcher;
use super::link::{Missed, missing};
use crate::embedded::EmbeddedAdapter;
use crate::embedded::encoding::Stub;
use crate::embedded::source::{Elsewhere, Next, Place, Whole};
use crate::embedded::store::Store;
use crate::error::{Outcome, Stop, StorageError};
use crate::keyspace::Point;
use crate::step;

/// How often a value is asked for before the walk is given up, and the wait between.
const TRIES: u32 = 20;
const RETRY: Duration = Duration::from_millis(200);

/// The walks that are under way.
#[derive(Clone, Default)]
pub(super) struct Freezes(Arc<Mutex<Vec<Weak<AtomicU64>>>>);

impl Freezes {
    /// Holds back all changes on Kiwi from now on, until the walk passes or ends.
    pub(super) fn begin(&self) -> Passed {
        let passed = Arc::new(AtomicU64::new(0));
        self.list().push(Arc::downgrade(&passed));
        Passed(passed)
    }

    /// Keys before this point may be changed on Kiwi; none for all.
    pub(super) fn passed(&self) -> Option<Point> {
        let mut list = self.list();
        list.retain(|passed| passed.strong_count() > 0);
        list.iter().filter_map(Weak::upgrade).map(|passed| Point(passed.load(Ordering::Acquire))).min()
    }

    fn list(&self) -> std::sync::MutexGuard<'_, Vec<Weak<AtomicU64>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How far a walk is. Dropping it ends the walk.
pub(super) struct Passed(Arc<AtomicU64>);

/// Values for a walk in order: what it asks for is fetched with what comes next, of this key and of those behind it.
/// Blocks.
pub(super) struct Streaming {
    pub(super) index: Arc<EmbeddedAdapter>,
    pub(super) fetcher: Fetcher,
    pub(super) runtime: Handle,
    pub(super) passed: Passed,
    pub(super) missed: Missed,
    /// The generation that is walked over.
    pub(super) store: Arc<Store>,
    pub(super) ahead: RefCell<HashMap<Place, (Stub, Bytes)>>,
}

impl Streaming {
    /// Whether the generation that is walked over is no longer in use.
    pub(super) fn is_replaced(&self) -> bool {
        !Arc::ptr_eq(&self.store, &self.index.store())
    }

    fn fetch(&self, place: &Place, stub: Stub, next: &Next<'_>) -> Outcome<Bytes> {
        step::reached("snapshot-reading");
        let mut last = None;
        for _ in 0..TRIES {
            // What is on Kiwi, and where, is soon only known of the generation in use.
            if self.is_replaced() {
                return Err(StorageError::Lost(missing(place)).into());
            }
            let mut needs = vec![(place.clone(), stub)];
            needs.extend(next(place)?);
            match self.runtime.block_on(self.fetcher.fetch(needs)) {
                Ok(found) => {
                    last = None;
                    let mut ahead = self.ahead.borrow_mut();
                    ahead.clear();
                    for ((place, stub), value) in found {
                        if let Some(value) = value {
                            ahead.insert(place, (stub, value));
                        }
                    }
                    if let Some((_, value)) = ahead.remove(place).filter(|(found, _)| *found == stub) {
                        return Ok(value);
                    }
                }
                Err(error) => last = Some(error),
            }
            std::thread::sleep(RETRY);
        }
        match last {
            Some(error) if !self.index.store().carrier()?.lost => {
                Err(StorageError::Away(error.to_string()).into())
            }
            Some(error) => Err(StorageError::Lost(error.to_string()).into()),
            None => {
                // The values of a generation that was replaced are not on Kiwi for good reason.
                if !self.is_replaced() {
                    self.missed.note(missing(place));
                }
                Err(StorageError::Lost(missing(place)).into())
            }
        }
    }
}

impl Elsewhere for Streaming {
    fn value(&self, place: Place, stub: Stub, next: &Next<'_>) -> Outcome<Bytes> {
        let found = self.ahead.borrow_mut().remove(&place);
        match found {
            Some((known, value)) if known == stub => Ok(value),
            _ => self.fetch(&place, stub, next),
        }
    }

    fn whole(&self, _whole: Whole) -> Stop {
        // Nothing is moved or copied in a walk.
        Stop::Pending
    }

    fn lacks(&self) -> bool {
        false
    }

    fn look_on(&self) -> bool {
        false
    }

    fn walk_begins(&self, key: &[u8]) {
        self.passed.0.store(Point::of(key).0, Ordering::Release);
    }
}
