//! How maps by place hash: quickly, and by a seed of their own, so that nobody can choose keys that collide.

use std::hash::{BuildHasher, Hasher};

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::command::random::fresh_seed;

/// Builds hashers with one seed.
#[derive(Clone, Debug)]
pub(super) struct PlaceHash(u64);

impl Default for PlaceHash {
    fn default() -> Self {
        Self(fresh_seed())
    }
}

impl BuildHasher for PlaceHash {
    type Hasher = PlaceHasher;

    fn build_hasher(&self) -> PlaceHasher {
        PlaceHasher(self.0)
    }
}

/// Hashes one place.
#[derive(Debug)]
pub(super) struct PlaceHasher(u64);

impl Hasher for PlaceHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64_with_seed(bytes, self.0);
    }

    /// The length, which comes before the bytes and is part of their hash already.
    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}
