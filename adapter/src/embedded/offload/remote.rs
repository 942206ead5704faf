//! Remote values: how they are identified, and where they come from.

use bytes::Bytes;

use crate::embedded::db::schema::{
    Family, KeyBuf, Record, member_key, place_key, split_member_key, split_place_key,
};
use crate::embedded::error::damaged;
use crate::embedded::offload::value_ref::ValuePointer;
use crate::error::{Outcome, Stop};
use crate::keyspace::Kind;

/// Identifies a value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ValueId {
    pub(crate) key: Bytes,
    pub(crate) part: Part,
}

/// Identifies a value within a key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Part {
    /// A short string.
    String,
    /// A piece of a long string, by version and number.
    Piece(u64, u64),
    /// The value of a field, by version and field.
    Field(u64, Bytes),
    /// An element of a list, by version and place.
    Element(u64, u64),
}

/// A remote value: its id and its pointer.
pub(crate) type RemoteValue = (ValueId, ValuePointer);

impl ValueId {
    /// The content that the value belongs to, and its place in its family; none for a short string.
    pub(crate) fn in_content(&self) -> Option<(ContentId, KeyBuf)> {
        let (kind, version, at) = match &self.part {
            Part::String => return None,
            Part::Piece(version, number) => (Kind::String, *version, place_key(*version, *number)),
            Part::Field(version, field) => (Kind::Hash, *version, member_key(*version, field)),
            Part::Element(version, number) => (Kind::List, *version, place_key(*version, *number)),
        };
        Some((ContentId { key: self.key.clone(), kind, version }, at))
    }
}

/// Identifies the content of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ContentId {
    pub(crate) key: Bytes,
    pub(crate) kind: Kind,
    pub(crate) version: u64,
}

impl ContentId {
    /// The family of its values; none if it has none.
    pub(crate) fn family(&self) -> Option<Family> {
        Record::values(self.kind)
    }

    /// The value at a place of that family.
    pub(crate) fn at(&self, stored: &[u8]) -> Outcome<ValueId> {
        let part = match self.kind {
            Kind::Hash => Part::Field(self.version, Bytes::copy_from_slice(split_member_key(stored)?.1)),
            Kind::String => Part::Piece(self.version, split_place_key(stored)?),
            Kind::List => Part::Element(self.version, split_place_key(stored)?),
            Kind::Set | Kind::SortedSet => return Err(damaged("a value of what has none")),
        };
        Ok(ValueId { key: self.key.clone(), part })
    }
}

/// The remote values that a full scan meets next after this one, as far as fetching them together pays.
pub(crate) type Readahead<'n> = dyn Fn(&ValueId) -> Outcome<Vec<RemoteValue>> + 'n;

/// Where remote values come from.
pub(crate) trait RemoteValues {
    /// Returns a value if it is available. If not, records it as missing and returns
    /// [`Stop::Pending`](crate::Stop).
    fn value(&self, place: ValueId, pointer: ValuePointer, next: &Readahead<'_>) -> Outcome<Bytes>;

    /// Records that all values of a key's content have to be brought back. Returns [`Stop::Pending`](crate::Stop).
    fn fetch_all(&self, content: ContentId) -> Stop;

    /// Whether anything was recorded as missing.
    fn has_missing(&self) -> bool;

    /// Whether a scan that has met a missing value should go on to collect more. Asked at every step.
    fn keep_looking(&self) -> bool;

    /// A full scan in hash order has reached a key.
    fn scan_reached(&self, _key: &[u8]) {}
}
