//! The schema: column families, and the encoding of keys and records. All numbers are big-endian, so that keys sort
//! by their parts.
//!
//! | family | key | value |
//! |---|---|---|
//! | meta | point, key | the [`Record`], followed by the [`Value`] of a short string |
//! | chunks | version, number | the [`Value`] of a piece of a long string; if shorter than [`CHUNK`], the rest is zeros |
//! | fields | version, point, field | the [`Value`] |
//! | members | version, point, member | nothing (set); the score (sorted set) |
//! | scores | version, score in order-preserving form, member | nothing |
//! | elements | version, place | the [`Value`] of an element of a list |
//! | deadlines | deadline, key | nothing |
//! | journal | number | the [`DirtySet`](crate::embedded::offload::dirty_log::DirtySet) of a commit, until it is flushed |
//! | placed | key | [`Placement`](crate::embedded::offload::placement::Placement): what of its content has been flushed |
//! | default | `state` | the [`State`](crate::embedded::db::state::State) |
//! | default | `staged` | the versions of [staged](crate::embedded::staging) content |
//!
//! The byte in front of a value tells whether it is inline, or remote and represented by a [`ValuePointer`].

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::embedded::error::damaged;
use crate::embedded::offload::value_ref::{NO_VALUE, Value, ValuePointer};
use crate::error::{Outcome, StorageError};
use crate::keyspace::{Kind, Meta, Point};

/// The longest string stored inline in its record, bytes.
pub(crate) const INLINE: u64 = 8 * 1024;
/// The size of the pieces of longer strings, bytes.
pub(crate) const CHUNK: u64 = 8 * 1024;
/// The place of a list's first element, far from both ends of the range.
pub(crate) const MIDDLE: u64 = 1 << 63;
/// Bytes of a point in an encoded key.
const POINT: usize = Point::BITS as usize / 8;
/// Bytes of a version in an encoded key.
const VERSION: usize = 8;

/// An encoded key, on the stack if it is short.
pub(crate) type KeyBuf = SmallVec<[u8; 64]>;

/// A column family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the module's table says it")]
pub(crate) enum Family {
    Meta,
    Chunks,
    Fields,
    Members,
    Scores,
    Elements,
    Deadlines,
    DirtyLog,
    Placements,
    State,
}

impl Family {
    /// All families, in the order of their numbers.
    pub(crate) const ALL: [Self; 10] = [
        Self::Meta,
        Self::Chunks,
        Self::Fields,
        Self::Members,
        Self::Scores,
        Self::Elements,
        Self::Deadlines,
        Self::DirtyLog,
        Self::Placements,
        Self::State,
    ];
    /// The families whose keys begin with a version.
    pub(crate) const VERSIONED: [Self; 5] =
        [Self::Chunks, Self::Fields, Self::Members, Self::Scores, Self::Elements];

    /// Its name in RocksDB.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Chunks => "chunks",
            Self::Fields => "fields",
            Self::Members => "members",
            Self::Scores => "scores",
            Self::Elements => "elements",
            Self::Deadlines => "deadlines",
            Self::DirtyLog => "journal",
            Self::Placements => "placed",
            // RocksDB insists on a family of this name.
            Self::State => "default",
        }
    }

    /// The version in a key of this family; none if its keys have none.
    pub(crate) fn version_of(self, key: &[u8]) -> Option<u64> {
        if !Self::VERSIONED.contains(&self) {
            return None;
        }
        key.first_chunk().map(|bytes| u64::from_be_bytes(*bytes))
    }
}

/// The record of a key: everything but its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// The type.
    pub(crate) kind: Kind,
    /// When the key expires, Unix milliseconds.
    pub(crate) deadline: Option<u64>,
    /// The entry of the log that changed the key last; 0 if that was before revisions were kept.
    pub(crate) revision: u64,
    /// Bytes of a string, elements of a collection.
    pub(crate) len: u64,
    /// The version under which the content is stored; none for a short string, which follows the record.
    pub(crate) version: Option<u64>,
    /// The place of a list's first element.
    pub(crate) head: u64,
}

const DEADLINE_FLAG: u8 = 1 << 3;
const INLINE_FLAG: u8 = 1 << 4;
const REMOTE_FLAG: u8 = 1 << 5;
const REVISION_FLAG: u8 = 1 << 6;

impl Record {
    /// An empty collection, or a long string, whose content is stored under a version.
    pub(crate) const fn stored(kind: Kind, version: u64) -> Self {
        Self { kind, deadline: None, revision: 0, len: 0, version: Some(version), head: MIDDLE }
    }

    /// A short string.
    pub(crate) const fn inline(len: u64) -> Self {
        Self { kind: Kind::String, deadline: None, revision: 0, len, version: None, head: MIDDLE }
    }

    /// The part that commands see.
    pub(crate) const fn meta(&self) -> Meta {
        Meta { kind: self.kind, len: self.len, deadline: self.deadline, revision: self.revision }
    }

    /// Whether the key has expired at `now_ms`.
    pub(crate) fn is_due(&self, now_ms: u64) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= now_ms)
    }

    /// The families that hold the content.
    pub(crate) const fn families(&self) -> &'static [Family] {
        match self.kind {
            Kind::String => &[Family::Chunks],
            Kind::List => &[Family::Elements],
            Kind::Set => &[Family::Members],
            Kind::SortedSet => &[Family::Members, Family::Scores],
            Kind::Hash => &[Family::Fields],
        }
    }

    /// The family that holds values; sets and sorted sets have none.
    pub(crate) const fn values(kind: Kind) -> Option<Family> {
        match kind {
            Kind::String => Some(Family::Chunks),
            Kind::List => Some(Family::Elements),
            Kind::Hash => Some(Family::Fields),
            Kind::Set | Kind::SortedSet => None,
        }
    }

    /// The encoding, followed by the value of a short string.
    pub(crate) fn encode(&self, value: Value<'_>) -> Vec<u8> {
        let mut out = Vec::with_capacity(41 + value.len() as usize);
        let deadline_flag = if self.deadline.is_some() { DEADLINE_FLAG } else { 0 };
        let revision_flag = if self.revision > 0 { REVISION_FLAG } else { 0 };
        let place_flag = match (self.version, value) {
            (None, Value::Inline(_)) => INLINE_FLAG,
            (None, Value::Remote(_)) => INLINE_FLAG | REMOTE_FLAG,
            (Some(_), _) => 0,
        };
        out.push(self.kind.code() | deadline_flag | revision_flag | place_flag);
        if let Some(deadline) = self.deadline {
            out.extend_from_slice(&deadline.to_be_bytes());
        }
        if self.revision > 0 {
            out.extend_from_slice(&self.revision.to_be_bytes());
        }
        let Some(version) = self.version else {
            match value {
                Value::Inline(value) => out.extend_from_slice(value),
                Value::Remote(pointer) => out.extend_from_slice(&pointer.encode()),
            }
            return out;
        };
        out.extend_from_slice(&version.to_be_bytes());
        out.extend_from_slice(&self.len.to_be_bytes());
        if self.kind == Kind::List {
            out.extend_from_slice(&self.head.to_be_bytes());
        }
        out
    }

    /// Decodes a record; the rest is the value of a short string.
    pub(crate) fn decode(bytes: &[u8]) -> Outcome<(Self, Value<'_>)> {
        Self::try_decode(bytes).ok_or_else(|| damaged("the record of a key"))
    }

    fn try_decode(bytes: &[u8]) -> Option<(Self, Value<'_>)> {
        let (&flags, mut rest) = bytes.split_first()?;
        let kind = Kind::from_code(flags & (DEADLINE_FLAG - 1))?;
        let deadline = if flags & DEADLINE_FLAG != 0 { Some(take_u64(&mut rest)?) } else { None };
        let revision = if flags & REVISION_FLAG != 0 { take_u64(&mut rest)? } else { 0 };
        if flags & INLINE_FLAG != 0 {
            let is_remote = flags & REMOTE_FLAG != 0;
            let value =
                if is_remote { Value::Remote(ValuePointer::decode(rest)?) } else { Value::Inline(rest) };
            return Some((Self { deadline, revision, ..Self::inline(value.len()) }, value));
        }
        let mut record = Self { deadline, revision, ..Self::stored(kind, take_u64(&mut rest)?) };
        record.len = take_u64(&mut rest)?;
        if kind == Kind::List {
            record.head = take_u64(&mut rest)?;
        }
        rest.is_empty().then_some((record, NO_VALUE))
    }
}

/// Whether a record write has to be flushed to the other storage: yes, unless its value is already remote.
pub(crate) fn is_change(record: Option<&[u8]>) -> bool {
    let value = record.and_then(Record::try_decode).map(|(_, value)| value);
    !matches!(value, Some(Value::Remote(_)))
}

/// Takes a number off the front.
pub(crate) fn take_u64(rest: &mut &[u8]) -> Option<u64> {
    let (bytes, tail) = rest.split_first_chunk()?;
    *rest = tail;
    Some(u64::from_be_bytes(*bytes))
}

fn join(parts: &[&[u8]]) -> KeyBuf {
    let mut key = KeyBuf::with_capacity(parts.iter().map(|part| part.len()).sum());
    for part in parts {
        key.extend_from_slice(part);
    }
    key
}

fn point_bytes(point: Point) -> [u8; POINT] {
    let [_, _, bytes @ ..] = point.0.to_be_bytes();
    bytes
}

fn split_point(bytes: &[u8]) -> Option<(Point, &[u8])> {
    let (point, rest) = bytes.split_first_chunk::<POINT>()?;
    let mut wide = [0; 8];
    wide[8 - POINT..].copy_from_slice(point);
    Some((Point(u64::from_be_bytes(wide)), rest))
}

/// The key of a record.
pub(crate) fn meta_key(key: &[u8]) -> KeyBuf {
    join(&[&point_bytes(Point::of(key)), key])
}

/// The smallest key of a record at or after a point.
pub(crate) fn meta_start(from: Point) -> KeyBuf {
    join(&[&point_bytes(from)])
}

/// The point and the user key in a record's key.
pub(crate) fn split_meta_key(key: &[u8]) -> Outcome<(Point, &[u8])> {
    split_point(key).ok_or_else(|| damaged("the place of a key"))
}

/// The key of a field or a member.
pub(crate) fn member_key(version: u64, member: &[u8]) -> KeyBuf {
    join(&[&version.to_be_bytes(), &point_bytes(Point::of(member)), member])
}

/// The smallest key of a field or member at or after a point.
pub(crate) fn member_start(version: u64, from: Point) -> KeyBuf {
    join(&[&version.to_be_bytes(), &point_bytes(from)])
}

/// The point and the field or member in an encoded key.
pub(crate) fn split_member_key(key: &[u8]) -> Outcome<(Point, &[u8])> {
    key.get(VERSION..).and_then(split_point).ok_or_else(|| damaged("the place of a field or member"))
}

/// The key of a piece of a long string, or of a list element.
pub(crate) fn place_key(version: u64, place: u64) -> KeyBuf {
    join(&[&version.to_be_bytes(), &place.to_be_bytes()])
}

/// The place in a key made by [`place_key`].
pub(crate) fn split_place_key(key: &[u8]) -> Outcome<u64> {
    let mut rest = key.get(VERSION..).unwrap_or_default();
    take_u64(&mut rest).filter(|_| rest.is_empty()).ok_or_else(|| damaged("the place of an element or piece"))
}

/// The smallest key of a version; that of the next version is its exclusive end.
pub(crate) fn version_start(version: u64) -> KeyBuf {
    join(&[&version.to_be_bytes()])
}

/// The bits of a score in an order-preserving form.
pub(crate) fn score_order(score: f64) -> u64 {
    // Adding zero turns -0.0 into 0.0.
    let bits = (score + 0.0).to_bits();
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

fn score_from_order(order: u64) -> f64 {
    f64::from_bits(if order >> 63 == 1 { order & !(1 << 63) } else { !order })
}

/// The key of a member in the order of scores.
pub(crate) fn score_key(version: u64, score: f64, member: &[u8]) -> KeyBuf {
    join(&[&version.to_be_bytes(), &score_order(score).to_be_bytes(), member])
}

/// The score and the member in an encoded key.
pub(crate) fn split_score_key(key: &[u8]) -> Outcome<(f64, &[u8])> {
    let mut rest = key.get(VERSION..).unwrap_or_default();
    let order = take_u64(&mut rest).ok_or_else(|| damaged("the place of a score"))?;
    Ok((score_from_order(order), rest))
}

/// Decodes the score stored with a member.
pub(crate) fn decode_score(bytes: &[u8]) -> Outcome<f64> {
    bytes.try_into().map(f64::from_be_bytes).map_err(|_| damaged("a score"))
}

/// The key of a deadline.
pub(crate) fn deadline_key(deadline: u64, key: &[u8]) -> KeyBuf {
    join(&[&deadline.to_be_bytes(), key])
}

/// The deadline in a key made by [`deadline_key`].
pub(crate) fn split_deadline(key: &[u8]) -> Result<u64, StorageError> {
    take_u64(&mut &key[..]).ok_or_else(|| StorageError::Corrupt("a deadline has an unknown form".to_owned()))
}

/// The user key in a deadline's key.
pub(crate) fn split_deadline_key(key: &[u8]) -> Outcome<&[u8]> {
    key.get(8..).ok_or_else(|| damaged("a deadline"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_as_they_were_written() {
        for kind in [Kind::String, Kind::List, Kind::Set, Kind::SortedSet, Kind::Hash] {
            for (deadline, revision) in [(None, 0), (Some(0), 1), (Some(u64::MAX), u64::MAX), (None, 5)] {
                let mut record = Record { deadline, revision, len: 7, ..Record::stored(kind, 9) };
                if kind == Kind::List {
                    record.head = 3;
                }
                assert_eq!(Record::decode(&record.encode(NO_VALUE)).unwrap(), (record, NO_VALUE));
            }
        }
        let short = Record { deadline: Some(5), revision: 6, ..Record::inline(3) };
        for value in [Value::Inline(b"abc"), Value::Remote(ValuePointer::of(b"abc"))] {
            assert_eq!(Record::decode(&short.encode(value)).unwrap(), (short, value));
            assert_eq!(Value::decode(&value.encode()).unwrap(), value);
        }
    }

    #[test]
    fn a_damaged_record_is_an_error() {
        let whole = Record { revision: 3, ..Record::stored(Kind::List, 1) }.encode(NO_VALUE);
        for length in 0..whole.len() {
            assert!(Record::decode(&whole[..length]).is_err(), "cut at {length}");
        }
        assert!(Record::decode(&[&whole[..], b"x"].concat()).is_err());
        assert!(Record::decode(&[0x07]).is_err());
        let away = Value::Remote(ValuePointer::of(b"abc")).encode();
        for length in 0..away.len() {
            assert!(Value::decode(&away[..length]).is_err(), "cut at {length}");
        }
        assert!(Value::decode(&[2]).is_err());
    }

    #[test]
    fn scores_sort_as_numbers_do() {
        let scores =
            [f64::NEG_INFINITY, -1e300, -1.5, -f64::MIN_POSITIVE, 0.0, 5e-324, 1.0, 1e300, f64::INFINITY];
        for pair in scores.windows(2) {
            assert!(score_order(pair[0]) < score_order(pair[1]), "{pair:?}");
        }
        for score in scores {
            assert_eq!(split_score_key(&score_key(1, score, b"m")).unwrap(), (score, &b"m"[..]));
        }
        assert_eq!(score_order(-0.0), score_order(0.0));
    }
}
