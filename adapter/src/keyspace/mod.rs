//! The typed primitives that a storage supplies, and nothing of what commands mean.
//!
//! # The contract
//! * **Time.** [`Keyspace::now_ms`] is the only clock. A key whose deadline is at or before it does not exist
//!   for any primitive, except that [`KeyspaceMut::reap`] removes it and [`Keyspace::key_count`] counts it.
//!   A primitive that creates a key in the place of such a key starts from nothing.
//! * **Types.** A primitive of one type is called only on keys of that type or on missing keys: commands look
//!   at [`Keyspace::meta`] first. On a missing key, reads answer "nothing" and writes create the key.
//! * **Emptiness.** A collection that loses its last element is a missing key.
//! * **Deadlines** survive every change of a value, except [`KeyspaceMut::string_put`], which is given the new
//!   one, and the removal of the key.
//! * **Revisions.** Every change of a key (its value, an element, its deadline) gives it the revision that was set
//!   last by [`KeyspaceMut::set_revision`]. What changes nothing leaves it: a member that is there already, a score
//!   that is the same. A key that is moved has changed.
//! * **Order.** Keys, fields, members are visited in *hash order*: by ([`Point`], then bytes), the same on every
//!   storage. Cursors and random picks are points in this order, so they need no state and mean the same on
//!   every replica.
//! * **Reads before writes.** A command does all its reads and all its checks before its first write, and gathers
//!   independent reads before it looks at any of their results ([`gather`]). So a remote storage can note all
//!   missing values of a run ([`Stop::Pending`](crate::Stop::Pending)), fetch them in one round, and run the
//!   commands again.
//!
//! Traits are used as trait objects: one copy of every command serves all storages, and a virtual call costs a
//! nanosecond or two beside a look-up's hundreds.

use std::ops::ControlFlow;

use bytes::Bytes;

use crate::error::Outcome;

/// A type of value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub enum Kind {
    /// Bytes, up to 512 MiB.
    String,
    /// Elements by position.
    List,
    /// Distinct members.
    Set,
    /// Distinct members, each with a score.
    SortedSet,
    /// Values by field.
    Hash,
}

impl Kind {
    /// The name that `TYPE` answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::List => "list",
            Self::Set => "set",
            Self::SortedSet => "zset",
            Self::Hash => "hash",
        }
    }

    /// The number that stands for it in stored records and in snapshots; it never changes. Below 128.
    pub const fn code(self) -> u8 {
        match self {
            Self::String => 1,
            Self::List => 2,
            Self::Set => 3,
            Self::SortedSet => 4,
            Self::Hash => 5,
        }
    }

    /// The type that a number stands for.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::String),
            2 => Some(Self::List),
            3 => Some(Self::Set),
            4 => Some(Self::SortedSet),
            5 => Some(Self::Hash),
            _ => None,
        }
    }
}

/// What is known of a key without its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// The type of its value.
    pub kind: Kind,
    /// Bytes of a string, elements of a collection.
    pub len: u64,
    /// When the key expires, Unix milliseconds.
    pub deadline: Option<u64>,
    /// The entry of the log that changed the key last; 0 if that was before revisions were kept.
    pub revision: u64,
}

/// A place in hash order: the upper 48 bits of XXH3-64 of a key, field or member.
///
/// 48 bits, so that a cursor made of it fits the integers of every client language.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Point(pub u64);

impl Point {
    /// The number of bits.
    pub const BITS: u32 = 48;
    /// The last point.
    pub const MAX: Self = Self((1 << Self::BITS) - 1);

    /// The point of a key, field or member.
    pub fn of(bytes: &[u8]) -> Self {
        Self(xxhash_rust::xxh3::xxh3_64(bytes) >> (64 - Self::BITS))
    }

    /// The point behind this one; none behind the last.
    pub fn next(self) -> Option<Self> {
        (self < Self::MAX).then_some(Self(self.0 + 1))
    }
}

/// An end of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The element at index 0.
    Head,
    /// The last element.
    Tail,
}

/// A direction of iteration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Ascending.
    Forward,
    /// Descending.
    Backward,
}

/// Where an iteration over a sorted set by (score, member) starts. Bytes compare as `memcmp`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ScoreStart<'a> {
    /// At the end of the set that the direction starts from.
    Edge,
    /// Forward: at the first element with at least this score. Backward: at the last with at most this score.
    Score(f64),
    /// Forward: at the first element at or behind (score, member). Backward: at the last at or before it.
    Element(f64, &'a [u8]),
}

/// Whether a visit goes on.
pub type Flow = ControlFlow<()>;

/// What a visit of keys is given: the point, the key, its meta.
pub type KeyVisitor<'v> = dyn FnMut(Point, &[u8], &Meta) -> Flow + 'v;
/// What a visit of a hash is given: the point of the field, the field, its value.
pub type FieldVisitor<'v> = dyn FnMut(Point, &[u8], &[u8]) -> Flow + 'v;
/// What a visit of a set is given: the point of the member, the member.
pub type MemberVisitor<'v> = dyn FnMut(Point, &[u8]) -> Flow + 'v;
/// What a visit of a sorted set is given: the member and its score.
pub type ScoreVisitor<'v> = dyn FnMut(&[u8], f64) -> Flow + 'v;
/// What a visit of a list is given: the index and the element.
pub type ElementVisitor<'v> = dyn FnMut(u64, &[u8]) -> Flow + 'v;

/// Reading.
pub trait Keyspace {
    /// The time that decides expiry, Unix milliseconds.
    fn now_ms(&self) -> u64;

    /// The meta of a key; none if it is missing or expired.
    fn meta(&self, key: &[u8]) -> Outcome<Option<Meta>>;
    /// Asks for all content of a key at once, before a command that reads all of it and writes meanwhile. A storage
    /// that holds its content needs no asking.
    fn fetch_all(&self, _key: &[u8]) -> Outcome<()> {
        Ok(())
    }
    /// Whether data is being adopted ([`adoption`](crate::command::adoption)): then nothing is for clients yet. Asked
    /// before every command.
    fn is_loading(&self) -> Outcome<bool> {
        Ok(self.meta(crate::reserved::ADOPTION)?.is_some())
    }
    /// How many keys there are, expired ones that are not yet removed included.
    fn key_count(&self) -> Outcome<u64>;
    /// How many keys have a deadline.
    fn deadline_count(&self) -> Outcome<u64>;
    /// Visits all keys from `from` on in hash order.
    fn visit_keys(&self, from: Point, visit: &mut KeyVisitor<'_>) -> Outcome<()>;
    /// Up to `limit` keys whose deadline is at or before `now_ms`, earliest first. Only such keys.
    fn due_keys(&self, now_ms: u64, limit: usize) -> Outcome<Vec<Bytes>>;

    /// The whole string.
    fn string(&self, key: &[u8]) -> Outcome<Option<Bytes>>;
    /// Up to `len` bytes of the string from `start`; fewer, or none, at its end.
    fn string_range(&self, key: &[u8], start: u64, len: u64) -> Outcome<Bytes>;

    /// The value of a field.
    fn hash_get(&self, key: &[u8], field: &[u8]) -> Outcome<Option<Bytes>>;
    /// Visits the fields from `from` on in hash order.
    fn hash_visit(&self, key: &[u8], from: Point, visit: &mut FieldVisitor<'_>) -> Outcome<()>;

    /// Whether the set has the member.
    fn set_has(&self, key: &[u8], member: &[u8]) -> Outcome<bool>;
    /// Visits the members from `from` on in hash order.
    fn set_visit(&self, key: &[u8], from: Point, visit: &mut MemberVisitor<'_>) -> Outcome<()>;

    /// The score of a member. Never NaN, never -0.0.
    fn zset_score(&self, key: &[u8], member: &[u8]) -> Outcome<Option<f64>>;
    /// Visits the members from `from` on in hash order.
    fn zset_visit(
        &self,
        key: &[u8],
        from: Point,
        visit: &mut dyn FnMut(Point, &[u8], f64) -> Flow,
    ) -> Outcome<()>;
    /// Visits the members in the order of (score, member).
    fn zset_visit_by_score(
        &self,
        key: &[u8],
        start: ScoreStart<'_>,
        direction: Direction,
        visit: &mut ScoreVisitor<'_>,
    ) -> Outcome<()>;

    /// The element at an index.
    fn list_get(&self, key: &[u8], index: u64) -> Outcome<Option<Bytes>>;
    /// Visits the elements from the index `from` on; nothing if it is past the end.
    fn list_visit(
        &self,
        key: &[u8],
        from: u64,
        direction: Direction,
        visit: &mut ElementVisitor<'_>,
    ) -> Outcome<()>;
}

/// Reading and writing.
pub trait KeyspaceMut: Keyspace {
    /// Says which revision changes give from here on; 0 for none.
    fn set_revision(&mut self, revision: u64);
    /// Whether changes give a revision.
    fn keeps_revisions(&self) -> bool;

    /// Removes a key. Answers whether it was there. O(1) for the caller, whatever the size.
    fn remove(&mut self, key: &[u8]) -> Outcome<bool>;
    /// Removes a key if it is there and its deadline is at or before [`Keyspace::now_ms`].
    fn reap(&mut self, key: &[u8]) -> Outcome<bool>;
    /// Sets or clears the deadline of an existing key.
    fn set_deadline(&mut self, key: &[u8], deadline: Option<u64>) -> Outcome<()>;
    /// Gives the value and the deadline of the existing key `from` to `to`, whose own are lost. O(1).
    fn rename(&mut self, from: &[u8], to: &[u8]) -> Outcome<()>;
    /// Removes all keys. O(1) for the caller.
    fn clear(&mut self) -> Outcome<()>;

    /// Replaces whatever the key holds, of any type, by a string.
    fn string_put(&mut self, key: &[u8], value: &[u8], deadline: Option<u64>) -> Outcome<()>;
    /// Overwrites part of a string, padding with zero bytes up to `offset`. The rest, and the deadline, stay.
    fn string_write(&mut self, key: &[u8], offset: u64, bytes: &[u8]) -> Outcome<()>;

    /// Sets a field. Answers whether it is new.
    fn hash_put(&mut self, key: &[u8], field: &[u8], value: &[u8]) -> Outcome<bool>;
    /// Removes a field. Answers whether it was there.
    fn hash_remove(&mut self, key: &[u8], field: &[u8]) -> Outcome<bool>;

    /// Adds a member. Answers whether it is new.
    fn set_put(&mut self, key: &[u8], member: &[u8]) -> Outcome<bool>;
    /// Removes a member. Answers whether it was there.
    fn set_remove(&mut self, key: &[u8], member: &[u8]) -> Outcome<bool>;

    /// Sets the score of a member (not NaN; -0.0 becomes 0.0). Answers the score it had.
    fn zset_put(&mut self, key: &[u8], member: &[u8], score: f64) -> Outcome<Option<f64>>;
    /// Removes a member. Answers the score it had.
    fn zset_remove(&mut self, key: &[u8], member: &[u8]) -> Outcome<Option<f64>>;

    /// Adds an element at an end.
    fn list_push(&mut self, key: &[u8], end: End, element: &[u8]) -> Outcome<()>;
    /// Takes an element from an end.
    fn list_pop(&mut self, key: &[u8], end: End) -> Outcome<Option<Bytes>>;
    /// Replaces the element at an index that exists.
    fn list_set(&mut self, key: &[u8], index: u64, element: &[u8]) -> Outcome<()>;
    /// Inserts an element before the index (at most the length). Costs the distance to the nearer end.
    fn list_insert(&mut self, key: &[u8], index: u64, element: &[u8]) -> Outcome<()>;
    /// Removes the elements at the given indices, ascending and distinct.
    fn list_remove(&mut self, key: &[u8], indices: &[u64]) -> Outcome<()>;
    /// Keeps the elements `start..end` only; `start >= end` removes the key.
    fn list_trim(&mut self, key: &[u8], start: u64, end: u64) -> Outcome<()>;
}

/// Collects the results of independent reads, making all of them before answering the first that stopped, so
/// that a remote keyspace learns all needs at once.
pub fn gather<T>(reads: impl IntoIterator<Item = Outcome<T>>) -> Outcome<Vec<T>> {
    let mut stopped = None;
    let mut values = Vec::new();
    for read in reads {
        match read {
            Ok(value) => values.push(value),
            Err(stop) => stopped = Some(stopped.unwrap_or(stop)),
        }
    }
    stopped.map_or(Ok(values), Err)
}
