//! Values of Kiwi that are at hand while a command runs, and those that it lacks.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::embedded::encoding::Stub;
use crate::embedded::source::{Elsewhere, Need, Next, Part, Place, Whole};
use crate::error::{Outcome, Stop};

/// What a value takes in the cache beside itself, bytes, about.
const OVERHEAD: usize = 160;
/// Values that a command's first run may lack; each later run may lack four times as many.
const FIRST_NEEDS: usize = 64;
/// Values, and bytes of values, that a run may lack at most before they are fetched.
const MOST_NEEDS: usize = 16 * 1024;
const MOST_BYTES: u64 = 32 << 20;
/// Steps of walks that look on for what else is lacking.
const MOST_STEPS: usize = 64 * 1024;

/// Recently used values, by where they are. One is used only if its stub is the one that is looked for.
pub(super) struct ValueCache {
    values: Option<Cache<Place, (Stub, Bytes), Weight>>,
    hits: AtomicU64,
    misses: AtomicU64,
}

#[derive(Clone)]
struct Weight;

impl Weighter<Place, (Stub, Bytes)> for Weight {
    fn weight(&self, place: &Place, (_, value): &(Stub, Bytes)) -> u64 {
        let field = if let Part::Field(_, field) = &place.part { field.len() } else { 0 };
        (place.key.len() + field + value.len() + OVERHEAD) as u64
    }
}

impl ValueCache {
    /// A cache of so many bytes; of none, no cache.
    pub(super) fn new(bytes: usize) -> Self {
        let values = (bytes > 0).then(|| Cache::with_weighter(bytes / 256, bytes as u64, Weight));
        Self { values, hits: AtomicU64::new(0), misses: AtomicU64::new(0) }
    }

    fn get(&self, place: &Place, stub: Stub) -> Option<Bytes> {
        let found = self.values.as_ref()?.get(place).filter(|(known, _)| *known == stub);
        let counter = if found.is_some() { &self.hits } else { &self.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        found.map(|(_, value)| value)
    }

    pub(super) fn put(&self, place: Place, stub: Stub, value: Bytes) {
        if let Some(values) = &self.values {
            values.insert(place, (stub, value));
        }
    }

    /// Hits, misses and bytes.
    pub(super) fn counts(&self) -> (u64, u64, u64) {
        let bytes = self.values.as_ref().map_or(0, Cache::weight);
        (self.hits.load(Ordering::Relaxed), self.misses.load(Ordering::Relaxed), bytes)
    }
}

/// What is at hand for the runs of a command, or of a run of batches.
pub(super) struct AtHand<'c> {
    cache: &'c ValueCache,
    fetched: HashMap<Place, (Stub, Bytes)>,
    needs: RefCell<Vec<Need>>,
    wholes: RefCell<Vec<Whole>>,
    needed_bytes: Cell<u64>,
    steps: Cell<usize>,
    most_needs: usize,
}

impl<'c> AtHand<'c> {
    pub(super) fn new(cache: &'c ValueCache) -> Self {
        Self {
            cache,
            fetched: HashMap::new(),
            needs: RefCell::default(),
            wholes: RefCell::default(),
            needed_bytes: Cell::new(0),
            steps: Cell::new(0),
            most_needs: FIRST_NEEDS,
        }
    }

    /// What the run lacked; the next may lack more.
    pub(super) fn take_needs(&mut self) -> Vec<Need> {
        self.most_needs = (self.most_needs * 4).min(MOST_NEEDS);
        self.needed_bytes.set(0);
        self.steps.set(0);
        self.needs.take()
    }

    /// The content that the last run needs to be in the store.
    pub(super) fn take_wholes(&mut self) -> Vec<Whole> {
        self.wholes.take()
    }

    /// A run of many commands lacks much at once.
    pub(super) fn expect_many(&mut self) {
        self.most_needs = MOST_NEEDS;
    }

    pub(super) fn add(&mut self, (place, stub): Need, value: Bytes) {
        self.fetched.insert(place, (stub, value));
    }
}

impl Elsewhere for AtHand<'_> {
    fn value(&self, place: Place, stub: Stub, _next: &Next<'_>) -> Outcome<Bytes> {
        if let Some((_, value)) = self.fetched.get(&place).filter(|(known, _)| *known == stub) {
            return Ok(value.clone());
        }
        if let Some(value) = self.cache.get(&place, stub) {
            return Ok(value);
        }
        self.needed_bytes.set(self.needed_bytes.get() + stub.len);
        self.needs.borrow_mut().push((place, stub));
        Err(Stop::Pending)
    }

    fn whole(&self, whole: Whole) -> Stop {
        self.wholes.borrow_mut().push(whole);
        Stop::Pending
    }

    fn lacks(&self) -> bool {
        !self.needs.borrow().is_empty() || !self.wholes.borrow().is_empty()
    }

    fn look_on(&self) -> bool {
        self.steps.set(self.steps.get() + 1);
        self.steps.get() < MOST_STEPS
            && self.needed_bytes.get() < MOST_BYTES
            && self.needs.borrow().len() < self.most_needs
    }
}
