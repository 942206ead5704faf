//! Keys made from `cluster.secret`, and what proves that somebody has one.
//!
//! The secret itself is hashed once, into the root of all keys, and is not used again. Every other key, and every
//! proof, is an HMAC-SHA256 over a label and its parts. Each of them goes in with its length before it, so that what
//! is said under one label can never be taken for something else.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// Bytes of a key, and of a proof.
pub(crate) const TAG_BYTES: usize = 32;
/// The block of SHA-256, which is the size of a key of HMAC.
const BLOCK_BYTES: usize = 64;

/// A proof that somebody has a key, and that he means what he says.
pub(crate) type Tag = [u8; TAG_BYTES];

/// A key. It is never shown.
#[derive(Clone)]
pub(crate) struct Key([u8; 32]);

impl Key {
    /// The root of a cluster's keys. Without a secret it is one that nobody else has.
    pub(crate) fn of_secret(secret: &str) -> Self {
        if secret.is_empty() {
            return Self(rand::random());
        }
        let hash = Sha256::new().chain_update(b"raft-proxy cluster.secret\n").chain_update(secret);
        Self(hash.finalize().into())
    }

    /// Another key, for one use.
    pub(crate) fn derive(&self, label: &str, parts: &[&[u8]]) -> Self {
        Self(self.tag(label, parts))
    }

    /// The proof for these parts.
    pub(crate) fn tag(&self, label: &str, parts: &[&[u8]]) -> Tag {
        self.mac(label, parts).finalize().into_bytes().into()
    }

    /// Whether `tag`, or as much of a tag as it is, is the proof for these parts. Takes as long for a near miss as
    /// for a far one.
    pub(crate) fn verifies(&self, label: &str, parts: &[&[u8]], tag: &[u8]) -> bool {
        self.mac(label, parts).verify_truncated_left(tag).is_ok()
    }

    fn mac(&self, label: &str, parts: &[&[u8]]) -> Hmac<Sha256> {
        // HMAC fills a shorter key up with zeros itself. Filled up here, there is no error to have.
        let mut block = [0; BLOCK_BYTES];
        block[..self.0.len()].copy_from_slice(&self.0);
        let mut mac = Hmac::<Sha256>::new(&block.into());
        for part in [label.as_bytes()].iter().chain(parts) {
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part);
        }
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_construction_is_hmac_sha256() {
        // RFC 4231, test case 2, with the key filled up and the framing taken into account by hand.
        let mut block = [0; BLOCK_BYTES];
        block[..4].copy_from_slice(b"Jefe");
        let mut mac = Hmac::<Sha256>::new(&block.into());
        mac.update(b"what do ya want for nothing?");
        let tag: Tag = mac.finalize().into_bytes().into();
        assert_eq!(tag[..4], [0x5b, 0xdc, 0xc1, 0x46]);
        assert_eq!(tag[28..], [0x64, 0xec, 0x38, 0x43]);
    }

    #[test]
    fn a_proof_is_for_one_key_one_label_and_these_parts_as_they_are_cut() {
        let key = Key::of_secret("a secret of the tests");
        let tag = key.tag("label", &[b"ab", b"c"]);
        assert!(key.verifies("label", &[b"ab", b"c"], &tag));
        assert!(key.verifies("label", &[b"ab", b"c"], &tag[..16]));
        assert!(!key.verifies("label", &[b"a", b"bc"], &tag));
        assert!(!key.verifies("label", &[b"abc"], &tag));
        assert!(!key.verifies("labe", &[b"lab", b"c"], &tag));
        assert!(!key.verifies("label", &[b"ab", b"c"], &[]));
        assert!(!key.verifies("label", &[b"ab", b"c"], &[&tag[..], &[0]].concat()));
        assert!(!Key::of_secret("A secret of the tests").verifies("label", &[b"ab", b"c"], &tag));
    }

    #[test]
    fn without_a_secret_nobody_has_the_same_key() {
        let (one, other) = (Key::of_secret(""), Key::of_secret(""));
        assert!(!other.verifies("label", &[], &one.tag("label", &[])));
    }
}
