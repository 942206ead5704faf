//! How maps by strings of bytes hash: quickly, and by a seed of their own, so that nobody can choose keys that collide.

use std::hash::{BuildHasher, Hasher};

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::command::random::fresh_seed;

/// Builds hashers with one seed.
#[derive(Clone, Debug)]
pub(crate) struct BytesHash(u64);

impl Default for BytesHash {
    fn default() -> Self {
        Self(fresh_seed())
    }
}

impl BuildHasher for BytesHash {
    type Hasher = BytesHasher;

    fn build_hasher(&self) -> BytesHasher {
        BytesHasher(self.0)
    }
}

/// Hashes one string of bytes.
#[derive(Debug)]
pub(crate) struct BytesHasher(u64);

impl Hasher for BytesHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64_with_seed(bytes, self.0);
    }

    /// The length, which comes before the bytes and is part of their hash already.
    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}
