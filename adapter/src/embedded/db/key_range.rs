//! Ranges of stored keys.

use crate::embedded::db::schema::{KeyBuf, version_start};

/// The keys in `lower..upper`, or from `lower` on if there is no `upper`.
#[derive(Clone, Debug)]
pub(crate) struct KeyRange {
    pub(crate) lower: KeyBuf,
    pub(crate) upper: Option<KeyBuf>,
}

impl KeyRange {
    /// The keys in `lower..upper`.
    pub(crate) fn new(lower: KeyBuf, upper: KeyBuf) -> Self {
        Self { lower, upper: Some(upper) }
    }

    /// The keys from `lower` on.
    pub(crate) fn from(lower: KeyBuf) -> Self {
        Self { lower, upper: None }
    }

    /// Whether it cannot contain any key.
    pub(crate) fn is_empty(&self) -> bool {
        self.upper.as_ref().is_some_and(|upper| *upper <= self.lower)
    }
}

/// The smallest key of a version, or the smallest after one of its keys.
pub(crate) fn lower_bound(version: u64, after: Option<&[u8]>) -> KeyBuf {
    let Some(place) = after else { return version_start(version) };
    let mut lower = KeyBuf::from_slice(place);
    lower.push(0);
    lower
}
