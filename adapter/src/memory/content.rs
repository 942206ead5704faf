//! The data that a [`MemoryKeyspace`](super::MemoryKeyspace) holds: keys in hash order, their values by type,
//! and the index of deadlines.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;

use crate::keyspace::{Kind, Meta, Point};

/// A key, field or member at its place in hash order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Slot {
    pub(super) point: Point,
    pub(super) bytes: Bytes,
}

impl Slot {
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self { point: Point::of(bytes), bytes: Bytes::copy_from_slice(bytes) }
    }

    /// The least slot at or behind a point.
    pub(super) fn first_at(point: Point) -> Self {
        Self { point, bytes: Bytes::new() }
    }
}

/// A member of a sorted set in the order of (score, member).
#[derive(Clone, Debug)]
pub(super) struct Ranked {
    pub(super) score: f64,
    pub(super) member: Bytes,
}

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> Ordering {
        self.score.total_cmp(&other.score).then_with(|| self.member.cmp(&other.member))
    }
}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Ranked {}

/// A sorted set: scores by member, and members by score.
#[derive(Clone, Debug, Default)]
pub(super) struct SortedSet {
    pub(super) scores: BTreeMap<Slot, f64>,
    pub(super) ranking: BTreeSet<Ranked>,
}

/// The value of a key.
#[derive(Clone, Debug)]
pub(super) enum Value {
    String(Vec<u8>),
    List(VecDeque<Bytes>),
    Set(BTreeSet<Slot>),
    SortedSet(SortedSet),
    Hash(BTreeMap<Slot, Bytes>),
}

impl Value {
    pub(super) fn empty(kind: Kind) -> Self {
        match kind {
            Kind::String => Self::String(Vec::new()),
            Kind::List => Self::List(VecDeque::new()),
            Kind::Set => Self::Set(BTreeSet::new()),
            Kind::SortedSet => Self::SortedSet(SortedSet::default()),
            Kind::Hash => Self::Hash(BTreeMap::new()),
        }
    }

    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::String(_) => Kind::String,
            Self::List(_) => Kind::List,
            Self::Set(_) => Kind::Set,
            Self::SortedSet(_) => Kind::SortedSet,
            Self::Hash(_) => Kind::Hash,
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::String(bytes) => bytes.len(),
            Self::List(elements) => elements.len(),
            Self::Set(members) => members.len(),
            Self::SortedSet(set) => set.scores.len(),
            Self::Hash(fields) => fields.len(),
        }
    }
}

/// A key's value and deadline.
#[derive(Clone, Debug)]
pub(super) struct StoredValue {
    pub(super) value: Value,
    pub(super) deadline: Option<u64>,
    pub(super) revision: u64,
}

impl StoredValue {
    pub(super) fn meta(&self) -> Meta {
        let (kind, len) = (self.value.kind(), self.value.len() as u64);
        Meta { kind, len, deadline: self.deadline, revision: self.revision }
    }

    pub(super) fn is_due(&self, now_ms: u64) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= now_ms)
    }
}

/// All keys. The index of deadlines holds exactly the deadlines that the entries hold.
#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    keys: BTreeMap<Slot, StoredValue>,
    deadlines: BTreeSet<(u64, Bytes)>,
}

impl Content {
    pub(super) fn get(&self, key: &[u8]) -> Option<&StoredValue> {
        self.keys.get(&Slot::of(key))
    }

    /// The value of a key, to be changed in place; its deadline changes by [`Content::set_deadline`] only.
    pub(super) fn value_mut(&mut self, key: &[u8]) -> Option<&mut Value> {
        self.keys.get_mut(&Slot::of(key)).map(|entry| &mut entry.value)
    }

    pub(super) fn put(&mut self, key: &[u8], entry: StoredValue) {
        self.take(key);
        let slot = Slot::of(key);
        if let Some(deadline) = entry.deadline {
            self.deadlines.insert((deadline, slot.bytes.clone()));
        }
        self.keys.insert(slot, entry);
    }

    pub(super) fn take(&mut self, key: &[u8]) -> Option<StoredValue> {
        let slot = Slot::of(key);
        let entry = self.keys.remove(&slot)?;
        if let Some(deadline) = entry.deadline {
            self.deadlines.remove(&(deadline, slot.bytes));
        }
        Some(entry)
    }

    pub(super) fn set_deadline(&mut self, key: &[u8], deadline: Option<u64>) {
        let slot = Slot::of(key);
        let Some(entry) = self.keys.get_mut(&slot) else { return };
        if let Some(old) = std::mem::replace(&mut entry.deadline, deadline) {
            self.deadlines.remove(&(old, slot.bytes.clone()));
        }
        if let Some(new) = deadline {
            self.deadlines.insert((new, slot.bytes));
        }
    }

    pub(super) fn set_revision(&mut self, key: &[u8], revision: u64) {
        if let Some(entry) = self.keys.get_mut(&Slot::of(key)) {
            entry.revision = revision;
        }
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    pub(super) fn deadline_count(&self) -> usize {
        self.deadlines.len()
    }

    pub(super) fn from(&self, point: Point) -> impl Iterator<Item = (&Slot, &StoredValue)> {
        self.keys.range(Slot::first_at(point)..)
    }

    /// The keys due at a time, earliest first.
    pub(super) fn due(&self, now_ms: u64) -> impl Iterator<Item = &Bytes> {
        self.deadlines.iter().take_while(move |(deadline, _)| *deadline <= now_ms).map(|(_, key)| key)
    }
}
