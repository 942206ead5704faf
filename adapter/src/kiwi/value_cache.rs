//! The cache of values that were fetched from Kiwi or flushed to it.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::embedded::offload::remote::{Part, ValueId};
use crate::embedded::offload::value_ref::ValuePointer;

/// Approximate overhead of a cache entry, bytes.
const OVERHEAD: usize = 160;
/// Recently used values by id. A hit counts only if the cached pointer is the one looked for.
pub(super) struct ValueCache {
    values: Option<Cache<ValueId, (ValuePointer, Bytes), Weight>>,
    hits: AtomicU64,
    misses: AtomicU64,
}

#[derive(Clone)]
struct Weight;

impl Weighter<ValueId, (ValuePointer, Bytes)> for Weight {
    fn weight(&self, id: &ValueId, (_, value): &(ValuePointer, Bytes)) -> u64 {
        let field = if let Part::Field(_, field) = &id.part { field.len() } else { 0 };
        (id.key.len() + field + value.len() + OVERHEAD) as u64
    }
}

impl ValueCache {
    /// A cache of this capacity; zero disables it.
    pub(super) fn new(bytes: usize) -> Self {
        let values = (bytes > 0).then(|| Cache::with_weighter(bytes / 256, bytes as u64, Weight));
        Self { values, hits: AtomicU64::new(0), misses: AtomicU64::new(0) }
    }

    pub(super) fn get(&self, id: &ValueId, pointer: ValuePointer) -> Option<Bytes> {
        let found = self.values.as_ref()?.get(id).filter(|(known, _)| *known == pointer);
        let counter = if found.is_some() { &self.hits } else { &self.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        found.map(|(_, value)| value)
    }

    pub(super) fn put(&self, id: ValueId, pointer: ValuePointer, value: Bytes) {
        if let Some(values) = &self.values {
            values.insert(id, (pointer, value));
        }
    }

    /// Hits, misses and bytes.
    pub(super) fn counts(&self) -> (u64, u64, u64) {
        let bytes = self.values.as_ref().map_or(0, Cache::weight);
        (self.hits.load(Ordering::Relaxed), self.misses.load(Ordering::Relaxed), bytes)
    }
}
