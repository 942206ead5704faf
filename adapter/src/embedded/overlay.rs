//! A run's effects that are not written yet, laid over the store.
//!
//! Reads see the effects. At the end of the run all of them, and the state with the position, become one write
//! batch.
//!
//! What a single command adds can be large (a string of 512 MiB, a union of large sets). Content under versions
//! that this run has allocated is found by nobody before the run's records are committed, so it may be written
//! ahead when the overlay grows past a bound; a crash leaves content that no record names, which is removed at
//! the next start because its version is not below the stored `next_version`.

use std::cell::RefCell;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::LazyLock;

use rocksdb::WriteBatch;

use super::encoding::{
    Family, KeyBuf, Record, Value, is_change, meta_key, place_key, split_meta_key, version_start,
};
use super::journal::{Changes, moved};
use super::records::Records;
use super::source::{Elsewhere, Source, Span, Visitor, first};
use super::store::{State, Store};
use super::typed::Typed;
use crate::adapter::Position;
use crate::command::adoption;
use crate::error::{Outcome, StorageError};
use crate::keyspace::{Direction, Kind};

/// Bytes of effects that are kept before those that may be are written ahead.
const BOUND: usize = 16 * 1024 * 1024;
/// Bytes of a run's effects above which it is written at once.
const HELD_AT_MOST: usize = 2 * 1024 * 1024;
/// What an effect takes in memory beside its key and value, bytes, about.
const OVERHEAD: usize = 64;
/// Up to so many entries are deleted one by one: every range tombstone is looked at by later reads.
const FEW: u64 = 64;

type Pending = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// When effects may be written before the run is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ahead {
    /// Content under new versions only.
    NewVersions,
    /// Everything: nobody reads the store yet.
    Everything,
}

/// The effects of a run.
pub(super) struct Overlay<'s> {
    store: &'s Store,
    elsewhere: Option<&'s dyn Elsewhere>,
    pub(super) state: State,
    pending: [Pending; Family::ALL.len()],
    /// Deleted before `pending` takes effect. Reads need not look here: versions in them are dropped for good,
    /// and places of lists in them are outside the list, or pending.
    ranges: Vec<(Family, KeyBuf, KeyBuf)>,
    /// Everything in the store is deleted before `pending` takes effect.
    cleared: bool,
    /// Whether data is being adopted.
    loading: bool,
    /// The writer's memory of committed records, given back by the commit.
    records: RefCell<Records>,
    /// Whose content is under which version, for the journal.
    names: BTreeMap<u64, Vec<u8>>,
    /// Keys that have got their content from others.
    moved: Vec<Vec<u8>>,
    ahead: Ahead,
    /// Versions from here on were allocated by this run.
    new_from: u64,
    /// Of versions from here on nothing is in the store.
    unwritten_from: u64,
    bytes: usize,
    /// Effects are written ahead when they take this many bytes.
    pub(super) bound: usize,
}

impl<'s> Overlay<'s> {
    fn new(store: &'s Store, elsewhere: Option<&'s dyn Elsewhere>, ahead: Ahead) -> Self {
        let state = store.state();
        let next = state.next_version;
        Self {
            store,
            elsewhere,
            state,
            pending: Default::default(),
            ranges: Vec::new(),
            cleared: false,
            loading: store.is_loading(),
            records: RefCell::new(store.take_records()),
            names: BTreeMap::new(),
            moved: Vec::new(),
            ahead,
            new_from: next,
            unwritten_from: next,
            bytes: 0,
            bound: BOUND,
        }
    }

    /// The record of a key at its place, expired or not.
    pub(super) fn record(&self, place: &KeyBuf) -> Outcome<Option<Record>> {
        let decode = |bytes: &[u8]| Record::decode(bytes).map(|(record, _)| record);
        let pending = self.pending[Family::Meta as usize].get(place.as_slice());
        // While everything may be written ahead, the store changes under what was remembered.
        if pending.is_some() || self.cleared || self.ahead == Ahead::Everything {
            return self.get(Family::Meta, place, decode)?.transpose();
        }
        let mut records = self.records.borrow_mut();
        if let Some(known) = records.get(place) {
            return Ok(known);
        }
        let found = self.store.get(None, Family::Meta, place, decode)?.transpose()?;
        records.put(place.to_vec(), found);
        Ok(found)
    }

    /// A version that was never used.
    pub(super) fn new_version(&mut self) -> u64 {
        let version = self.state.next_version;
        self.state.next_version += 1;
        version
    }

    pub(super) fn put(&mut self, family: Family, key: KeyBuf, value: Vec<u8>) -> Outcome<()> {
        self.bytes += key.len() + value.len() + OVERHEAD;
        self.loading |= family == Family::Meta && is_adoption(&key);
        self.pending[family as usize].insert(key.into_vec(), Some(value));
        self.write_ahead()
    }

    /// Is told of a key's version before its content is changed.
    pub(super) fn note_name(&mut self, version: u64, key: &[u8]) {
        if self.store.journal().is_some() && version < self.new_from {
            self.names.entry(version).or_insert_with(|| key.to_vec());
        }
    }

    /// Is told that a key gets its content from another one.
    pub(super) fn note_moved(&mut self, key: &[u8]) {
        if self.store.journal().is_some() {
            self.moved.push(key.to_vec());
        }
    }

    /// What the run changes, by name.
    fn changes(&self) -> Result<Changes, StorageError> {
        let mut changes = Changes { cleared: self.cleared, ..Changes::default() };
        // Whoever loads has everything carried over anew.
        if self.store.journal().is_none() || self.ahead == Ahead::Everything {
            return Ok(Changes::default());
        }
        for (place, record) in &self.pending[Family::Meta as usize] {
            if is_change(record.as_deref()) {
                let key = split_meta_key(place).map_err(super::frozen::storage_error)?.1;
                changes.keys.entry(key.to_vec()).or_default();
            }
        }
        for key in &self.moved {
            changes.keys.entry(key.clone()).or_default().insert(moved());
        }
        for family in Family::VERSIONED.into_iter().filter(|family| *family != Family::Scores) {
            for place in self.pending[family as usize].keys() {
                let name = family.version_of(place).and_then(|version| self.names.get(&version));
                if let Some(key) = name {
                    changes.keys.entry(key.clone()).or_default().insert((family, place.clone()));
                }
            }
        }
        Ok(changes)
    }

    /// Gives the run up: nothing of it has happened.
    fn abandon(self) -> Result<(), StorageError> {
        if self.unwritten_from > self.new_from {
            self.store.drop_unfinished(self.new_from)?;
        }
        self.store.give_records(self.records.take());
        Ok(())
    }

    pub(super) fn put_value(&mut self, family: Family, key: KeyBuf, value: &[u8]) -> Outcome<()> {
        self.put(family, key, Value::Here(value).encode())
    }

    pub(super) fn delete(&mut self, family: Family, key: KeyBuf) -> Outcome<()> {
        self.loading &= family != Family::Meta || !is_adoption(&key);
        if self.nothing_below(family, &key) {
            self.pending[family as usize].remove(key.as_slice());
            return Ok(());
        }
        self.bytes += key.len() + OVERHEAD;
        self.pending[family as usize].insert(key.into_vec(), None);
        self.write_ahead()
    }

    /// Removes what is stored under a version, in the families of the record that names it.
    pub(super) fn drop_content(&mut self, record: &Record) -> Outcome<()> {
        let Some(version) = record.version else { return Ok(()) };
        match record.kind {
            Kind::String => {
                self.drop_places(Family::Chunks, version, 0, record.len.div_ceil(super::encoding::CHUNK))
            }
            Kind::List => self.drop_places(
                Family::Elements,
                version,
                record.head,
                record.head.saturating_add(record.len),
            ),
            _ => {
                for family in record.families() {
                    self.drop_span(*family, version_start(version), version_start(version + 1), record.len)?;
                }
                Ok(())
            }
        }
    }

    /// Removes the places `from..to` of a version.
    pub(super) fn drop_places(&mut self, family: Family, version: u64, from: u64, to: u64) -> Outcome<()> {
        if to.saturating_sub(from) > FEW {
            return self.drop_span(family, place_key(version, from), place_key(version, to), to - from);
        }
        (from..to).try_for_each(|place| self.delete(family, place_key(version, place)))
    }

    /// Removes the keys in `lower..upper`, of which there are `count`.
    fn drop_span(&mut self, family: Family, lower: KeyBuf, upper: KeyBuf, count: u64) -> Outcome<()> {
        let inside = (Bound::Included(lower.to_vec()), Bound::Excluded(upper.to_vec()));
        self.pending[family as usize].extract_if(inside, |_, _| true).for_each(drop);
        if self.nothing_below(family, &lower) {
            return Ok(());
        }
        if count > FEW {
            self.ranges.push((family, lower, upper));
            return Ok(());
        }
        let span = Span::new(lower, upper);
        let mut stored = self.store.cursor(None, family, &span, Direction::Forward)?;
        while let Some((key, _)) = stored.item() {
            self.pending[family as usize].insert(key.to_vec(), None);
            stored.advance()?;
        }
        Ok(())
    }

    /// Removes everything; what was written ahead goes with the rest, in the commit.
    pub(super) fn clear(&mut self) {
        self.pending = Default::default();
        self.ranges.clear();
        self.moved.clear();
        self.bytes = 0;
        self.cleared = true;
        self.loading = false;
        (self.state.keys, self.state.deadlines) = (0, 0);
    }

    /// How many effects there are: puts and deletes, and range deletions.
    #[cfg(test)]
    pub(super) fn effect_counts(&self) -> (usize, usize) {
        (self.pending.iter().map(BTreeMap::len).sum(), self.ranges.len())
    }

    /// Whether the store has nothing under a key, so that looking is needless.
    fn nothing_below(&self, family: Family, key: &[u8]) -> bool {
        self.cleared || family.version_of(key).is_some_and(|version| version >= self.unwritten_from)
    }

    /// Keeps the overlay small by writing ahead what may be.
    fn write_ahead(&mut self) -> Outcome<()> {
        if self.bytes < self.bound || self.cleared {
            return Ok(());
        }
        let new_from = version_start(self.new_from).into_vec();
        let everything = self.ahead == Ahead::Everything;
        let mut batch = WriteBatch::default();
        self.take_ranges(&mut batch, |from| everything || from >= new_from.as_slice())?;
        for family in Family::ALL {
            let pending = &mut self.pending[family as usize];
            let ahead = match self.ahead {
                Ahead::Everything => std::mem::take(pending),
                Ahead::NewVersions if Family::VERSIONED.contains(&family) => pending.split_off(&new_from),
                Ahead::NewVersions => continue,
            };
            self.store.put_all(&mut batch, family, effects(&ahead))?;
        }
        self.store.write(batch)?;
        self.unwritten_from = self.state.next_version;
        self.bytes = 0;
        Ok(())
    }

    /// Range deletions come before the puts that they were made before.
    fn take_ranges(
        &mut self,
        batch: &mut WriteBatch,
        ripe: impl Fn(&[u8]) -> bool,
    ) -> Result<(), StorageError> {
        for (family, from, to) in self.ranges.extract_if(.., |(_, from, _)| ripe(from)) {
            self.store.delete_range(batch, family, &from, &to)?;
        }
        Ok(())
    }

    /// Whether records are all that the run changes, and not too many to be held back.
    fn may_be_held(&self) -> bool {
        let others = || Family::ALL.into_iter().filter(|family| *family != Family::Meta);
        self.store.may_hold()
            && self.ahead == Ahead::NewVersions
            && !self.cleared
            && self.ranges.is_empty()
            && self.moved.is_empty()
            && self.bytes <= HELD_AT_MOST
            && others().all(|family| self.pending[family as usize].is_empty())
    }

    fn commit(self) -> Result<(), StorageError> {
        let (store, loading) = (self.store, self.loading);
        // No reader meets what is loaded and takes it for his.
        if loading {
            store.set_loading(true);
        }
        self.write_down()?;
        store.set_loading(loading);
        Ok(())
    }

    fn write_down(mut self) -> Result<(), StorageError> {
        if self.may_be_held() {
            let pending = std::mem::take(&mut self.pending[Family::Meta as usize]);
            let mut records = self.records.take();
            for (place, record) in &pending {
                records.put(place.clone(), decode_record(record.as_deref())?);
            }
            self.store.hold(pending, self.state)?;
            self.store.give_records(records);
            return Ok(());
        }
        let mut batch = WriteBatch::with_capacity_bytes(self.bytes + 1024);
        if self.cleared {
            for family in Family::ALL.into_iter().filter(|family| *family != Family::State) {
                self.store.delete_all(&mut batch, family)?;
            }
        }
        self.take_ranges(&mut batch, |_| true)?;
        for family in Family::ALL {
            self.store.put_all(&mut batch, family, effects(&self.pending[family as usize]))?;
        }
        let changes = self.changes()?;
        self.store.commit(batch, self.state, changes)?;
        let mut records = if self.cleared { Records::default() } else { self.records.take() };
        for (place, record) in std::mem::take(&mut self.pending[Family::Meta as usize]) {
            let record = decode_record(record.as_deref())?;
            records.put(place, record);
        }
        if self.ahead == Ahead::NewVersions {
            self.store.give_records(records);
        }
        Ok(())
    }
}

/// Whether a record is that which says how an adoption stands.
fn is_adoption(place: &[u8]) -> bool {
    static PLACE: LazyLock<KeyBuf> = LazyLock::new(|| meta_key(adoption::KEY));
    place == PLACE.as_slice()
}

fn decode_record(bytes: Option<&[u8]>) -> Result<Option<Record>, StorageError> {
    let record = bytes.map(|bytes| Record::decode(bytes).map(|(record, _)| record));
    record.transpose().map_err(super::frozen::storage_error)
}

fn effects(pending: &Pending) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
    pending.iter().map(|(key, value)| (key.as_slice(), value.as_deref()))
}

impl Source for Overlay<'_> {
    fn get<T>(&self, family: Family, key: &[u8], decode: impl FnOnce(&[u8]) -> T) -> Outcome<Option<T>> {
        if let Some(pending) = self.pending[family as usize].get(key) {
            return Ok(pending.as_deref().map(decode));
        }
        if self.nothing_below(family, key) {
            return Ok(None);
        }
        self.store.get(None, family, key, decode)
    }

    fn scan(
        &self,
        family: Family,
        span: &Span,
        direction: Direction,
        visit: &mut Visitor<'_>,
    ) -> Outcome<()> {
        if span.is_empty() {
            return Ok(());
        }
        let upper = span.upper.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let mut pending =
            self.pending[family as usize].range::<[u8], _>((Bound::Included(span.lower.as_slice()), upper));
        let mut next_pending = || match direction {
            Direction::Forward => pending.next(),
            Direction::Backward => pending.next_back(),
        };
        let mut stored = match self.nothing_below(family, &span.lower) {
            true => None,
            false => Some(self.store.cursor(None, family, span, direction)?),
        };
        let mut above = next_pending();
        loop {
            let below = stored.as_ref().and_then(|cursor| cursor.item());
            let order = match (above, below) {
                (None, None) => return Ok(()),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((key, _)), Some((other, _))) => first(direction, key, other),
            };
            let meets = match (order, above, below) {
                (Ordering::Greater, _, Some((key, value))) => Some((key, value)),
                (_, Some((key, Some(value))), _) => Some((key.as_slice(), value.as_slice())),
                _ => None,
            };
            if let Some((key, value)) = meets
                && visit(key, value)?.is_break()
            {
                return Ok(());
            }
            if order != Ordering::Less
                && let Some(cursor) = &mut stored
            {
                cursor.advance()?;
            }
            if order != Ordering::Greater {
                above = next_pending();
            }
        }
    }

    fn state(&self) -> Outcome<State> {
        Ok(self.state.clone())
    }

    fn is_loading(&self) -> bool {
        self.loading
    }

    fn elsewhere(&self) -> Option<&dyn Elsewhere> {
        self.elsewhere
    }
}

/// A run in progress.
pub(super) type Txn<'s> = Typed<Overlay<'s>>;

impl<'s> Txn<'s> {
    /// Starts a run behind the last commit.
    pub(super) fn begin(store: &'s Store, elsewhere: Option<&'s dyn Elsewhere>) -> Self {
        Self::over(Overlay::new(store, elsewhere, Ahead::NewVersions), store.now_ms())
    }

    /// Starts to fill a store that nobody reads yet. The clock stands at 0.
    pub(super) fn load(store: &'s Store) -> Self {
        Self::over(Overlay::new(store, None, Ahead::Everything), 0)
    }

    /// Moves the clock on, to the time of the next batch. It never goes back.
    pub(super) fn advance(&mut self, now_ms: u64) {
        self.now_ms = self.now_ms.max(now_ms);
    }

    /// Gives the run up: nothing of it has happened.
    pub(super) fn abandon(self) -> Result<(), StorageError> {
        self.source.abandon()
    }

    /// Writes everything, with the position that it leads to.
    pub(super) fn commit(mut self, position: Position) -> Result<(), StorageError> {
        self.source.state.applied.position = position;
        self.source.state.applied.now_ms = self.now_ms;
        self.source.commit()
    }
}
