//! The hasher of maps keyed by byte strings: fast, and seeded per map, so that nobody can choose colliding keys.

use std::hash::{BuildHasher, Hasher};

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Builds hashers with the same seed.
#[derive(Clone, Debug)]
pub(crate) struct BytesHash(u64);

impl Default for BytesHash {
    fn default() -> Self {
        Self(rand::random())
    }
}

impl BuildHasher for BytesHash {
    type Hasher = BytesHasher;

    fn build_hasher(&self) -> BytesHasher {
        BytesHasher(self.0)
    }
}

/// Hashes one byte string.
#[derive(Debug)]
pub(crate) struct BytesHasher(u64);

impl Hasher for BytesHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64_with_seed(bytes, self.0);
    }

    /// The length prefix; the hash covers the length already.
    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}
