//! Stored values: inline bytes, or a pointer to a remote value.

use crate::embedded::error::{damaged, storage_error};
use crate::error::{Outcome, StorageError};

/// A pointer to a remote value. Values with equal pointers are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ValuePointer {
    /// Bytes of the value.
    pub(crate) len: u64,
    /// XXH3-128 of the value.
    pub(crate) hash: u128,
}

impl ValuePointer {
    const SIZE: usize = 24;

    /// The pointer to a value.
    pub(crate) fn of(value: &[u8]) -> Self {
        Self { len: value.len() as u64, hash: xxhash_rust::xxh3::xxh3_128(value) }
    }

    pub(crate) fn encode(self) -> [u8; Self::SIZE] {
        let mut out = [0; Self::SIZE];
        out[..8].copy_from_slice(&self.len.to_be_bytes());
        out[8..].copy_from_slice(&self.hash.to_be_bytes());
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (len, hash) = bytes.split_first_chunk()?;
        Some(Self { len: u64::from_be_bytes(*len), hash: u128::from_be_bytes(hash.try_into().ok()?) })
    }
}

/// What follows the record of a key whose content is under a version.
pub(crate) const NO_VALUE: Value<'_> = Value::Inline(b"");

/// A string, a field's value, an element, or a piece of a long string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    /// These bytes.
    Inline(&'a [u8]),
    /// Stored remotely.
    Remote(ValuePointer),
}

const INLINE_TAG: u8 = 0;
const REMOTE_TAG: u8 = 1;

impl<'a> Value<'a> {
    /// The encoding, for all but short strings.
    pub(crate) fn encode(self) -> Vec<u8> {
        match self {
            Self::Inline(bytes) => {
                let mut out = Vec::with_capacity(1 + bytes.len());
                out.push(INLINE_TAG);
                out.extend_from_slice(bytes);
                out
            }
            Self::Remote(pointer) => {
                let mut out = vec![REMOTE_TAG];
                out.extend_from_slice(&pointer.encode());
                out
            }
        }
    }

    /// Decodes a value.
    pub(crate) fn decode(bytes: &'a [u8]) -> Outcome<Self> {
        match bytes.split_first() {
            Some((&INLINE_TAG, bytes)) => Ok(Self::Inline(bytes)),
            Some((&REMOTE_TAG, pointer)) => ValuePointer::decode(pointer)
                .map(Self::Remote)
                .ok_or_else(|| damaged("what stands for a value")),
            _ => Err(damaged("a value")),
        }
    }

    /// Its length in bytes.
    pub(crate) const fn len(self) -> u64 {
        match self {
            Self::Inline(bytes) => bytes.len() as u64,
            Self::Remote(pointer) => pointer.len,
        }
    }
}

/// A value in a flush batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StoredValue {
    /// Inline.
    Inline(Vec<u8>),
    /// Already remote.
    Remote,
}

impl StoredValue {
    pub(crate) fn of(value: Value<'_>) -> Self {
        match value {
            Value::Inline(bytes) => Self::Inline(bytes.to_vec()),
            Value::Remote(_) => Self::Remote,
        }
    }

    /// Decodes a value.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, StorageError> {
        Value::decode(bytes).map(Self::of).map_err(storage_error)
    }
}
