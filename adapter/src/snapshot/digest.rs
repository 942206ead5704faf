//! The digest of content, made incrementally.
//!
//! The digest is the wrapping sum over all keys of XXH3-128 of the key's canonical form, so it does not depend on
//! the order of keys. Likewise fields and members enter by the sum of their hashes; elements and string bytes in
//! order.

use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use super::{ContentSink, Digest, KeyHead};
use crate::error::StorageError;

/// Makes a [`Digest`] of what it is given. Its calls never fail.
#[derive(Default)]
pub struct DigestBuilder {
    total: u128,
    key: Xxh3,
    unordered: u128,
    items: u64,
}

impl DigestBuilder {
    /// The digest of all keys that have ended.
    pub fn digest(&self) -> Digest {
        Digest(self.total)
    }

    fn unordered_item(&mut self, hash: u128) {
        self.unordered = self.unordered.wrapping_add(hash);
        self.items += 1;
    }
}

impl ContentSink for DigestBuilder {
    fn begin_key(&mut self, head: &KeyHead, key: &[u8]) -> Result<(), StorageError> {
        let KeyHead { kind, deadline, revision } = *head;
        self.key.reset();
        self.key.update(&[kind.code(), u8::from(deadline.is_some())]);
        self.key.update(&deadline.unwrap_or_default().to_le_bytes());
        self.key.update(&(key.len() as u64).to_le_bytes());
        self.key.update(key);
        // What has none has the hash that it had before there were revisions.
        if revision > 0 {
            self.key.update(&revision.to_le_bytes());
        }
        (self.unordered, self.items) = (0, 0);
        Ok(())
    }

    fn string_chunk(&mut self, piece: &[u8]) -> Result<(), StorageError> {
        self.key.update(piece);
        Ok(())
    }

    fn element(&mut self, element: &[u8]) -> Result<(), StorageError> {
        self.key.update(&(element.len() as u64).to_le_bytes());
        self.key.update(element);
        self.items += 1;
        Ok(())
    }

    fn member(&mut self, member: &[u8]) -> Result<(), StorageError> {
        self.unordered_item(xxh3_128(member));
        Ok(())
    }

    fn scored(&mut self, member: &[u8], score: f64) -> Result<(), StorageError> {
        // Adding zero makes the two zeros one.
        self.unordered_item(pair(xxh3_128(member), (score + 0.0).to_bits().into()));
        Ok(())
    }

    fn field(&mut self, field: &[u8], value: &[u8]) -> Result<(), StorageError> {
        self.unordered_item(pair(xxh3_128(field), xxh3_128(value)));
        Ok(())
    }

    fn end_key(&mut self) -> Result<(), StorageError> {
        self.key.update(&self.unordered.to_le_bytes());
        self.key.update(&self.items.to_le_bytes());
        self.total = self.total.wrapping_add(self.key.digest128());
        Ok(())
    }
}

fn pair(left: u128, right: u128) -> u128 {
    let mut both = [0; 32];
    both[..16].copy_from_slice(&left.to_le_bytes());
    both[16..].copy_from_slice(&right.to_le_bytes());
    xxh3_128(&both)
}
