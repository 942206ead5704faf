//! A run in progress: its uncommitted effects, overlaid on the store.
//!
//! Reads see the effects. When the run ends, all of them become one write batch, together with the state and its
//! position.
//!
//! A single command can add a lot (a string of 512 MiB, a union of large sets). Nobody can find content under
//! versions that this run allocated until its records are committed, so such content may be spilled to the store
//! when the overlay grows too large. A crash then leaves content without a record; the next start removes it,
//! because its version is not below the stored `next_version`.

mod commit;

use std::cell::RefCell;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::LazyLock;

use rocksdb::WriteBatch;

use crate::command::adoption;
use crate::embedded::db::key_range::KeyRange;
use crate::embedded::db::record_cache::RecordCache;
use crate::embedded::db::schema::{Family, KeyBuf, Record, meta_key, place_key, version_start};
use crate::embedded::db::state::{STAGED_KEY, State};
use crate::embedded::db::store::Store;
use crate::embedded::keyspace::read::TypedKeyspace;
use crate::embedded::keyspace::reader::{Reader, Visitor, scan_order};
use crate::embedded::offload::remote::RemoteValues;
use crate::embedded::offload::value_ref::Value;
use crate::embedded::staging::Offered;
use crate::error::{Outcome, StorageError};
use crate::keyspace::{Direction, Kind};
use crate::position::Position;

/// Effects kept in memory before they are spilled, bytes.
const SPILL_BYTES: usize = 16 * 1024 * 1024;
/// Approximate memory overhead of an effect, bytes.
const OVERHEAD: usize = 64;
/// Up to so many entries are deleted one by one. Every range tombstone is looked at by later reads until the write
/// buffers are flushed, so they are flushed for every hundred or so of these
/// ([`tombstones`](crate::embedded::db::tombstones)): that must be worth while.
const FEW: u64 = 512;

type Pending = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// Which effects may be spilled to the store before the run is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spill {
    /// Content under new versions only.
    NewVersions,
    /// Everything, since nobody reads the store yet.
    Everything,
}

/// The effects of a run.
pub(crate) struct Overlay<'s> {
    store: &'s Store,
    remote: Option<&'s dyn RemoteValues>,
    pub(crate) state: State,
    /// What changes give their keys.
    pub(crate) revision: u64,
    pending: [Pending; Family::ALL.len()],
    /// Range deletions, which precede `pending`. Reads need not look here: the versions in them are dropped for
    /// good, and the list places in them are outside the list, or pending.
    ranges: Vec<(Family, KeyBuf, KeyBuf)>,
    /// Whether everything in the store is deleted before `pending` takes effect.
    cleared: bool,
    /// Whether data is being adopted.
    loading: bool,
    /// The writer's record cache, returned by the commit.
    records: RefCell<RecordCache>,
    /// Long arguments that are in the store already.
    pub(crate) offered: Offered,
    /// The key that owns each changed version, for the dirty log.
    owners: BTreeMap<u64, Vec<u8>>,
    /// Keys whose content came from another key.
    moved: Vec<Vec<u8>>,
    spill: Spill,
    /// Versions from here on were allocated by this run.
    new_from: u64,
    /// Nothing of the versions from here on is in the store.
    unspilled_from: u64,
    bytes: usize,
    /// Effects are spilled when they take this many bytes.
    pub(crate) spill_bytes: usize,
}

impl<'s> Overlay<'s> {
    fn new(store: &'s Store, remote: Option<&'s dyn RemoteValues>, spill: Spill) -> Self {
        let state = store.state();
        let next = state.next_version;
        Self {
            store,
            remote,
            state,
            revision: 0,
            pending: Default::default(),
            ranges: Vec::new(),
            cleared: false,
            loading: store.is_loading(),
            records: RefCell::new(store.take_record_cache()),
            offered: Offered::default(),
            owners: BTreeMap::new(),
            moved: Vec::new(),
            spill,
            new_from: next,
            unspilled_from: next,
            bytes: 0,
            spill_bytes: SPILL_BYTES,
        }
    }

    /// The record of a key by its place, even if expired.
    pub(crate) fn record(&self, place: &KeyBuf) -> Outcome<Option<Record>> {
        let decode = |bytes: &[u8]| Record::decode(bytes).map(|(record, _)| record);
        let pending = self.pending[Family::Meta as usize].get(place.as_slice());
        // With everything being spilled, the store changes underneath the cache.
        if pending.is_some() || self.cleared || self.spill == Spill::Everything {
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

    /// Allocates a version.
    pub(crate) fn new_version(&mut self) -> u64 {
        let version = self.state.next_version;
        self.state.next_version += 1;
        version
    }

    pub(crate) fn put(&mut self, family: Family, key: KeyBuf, value: Vec<u8>) -> Outcome<()> {
        self.bytes += key.len() + value.len() + OVERHEAD;
        self.loading |= family == Family::Meta && is_adoption(&key);
        self.pending[family as usize].insert(key.into_vec(), Some(value));
        self.spill_effects()
    }

    /// Notes the key of a version whose content is about to change.
    pub(crate) fn note_owner(&mut self, version: u64, key: &[u8]) {
        if self.store.dirty_log().is_some() && version < self.new_from {
            self.owners.entry(version).or_insert_with(|| key.to_vec());
        }
    }

    /// Notes that a key takes over the content of another one.
    pub(crate) fn note_moved(&mut self, key: &[u8]) {
        if self.store.dirty_log().is_some() {
            self.moved.push(key.to_vec());
        }
    }

    /// The version of an argument that is staged. From the commit on it is content like any other.
    pub(crate) fn take_offered(&mut self, argument: &[u8]) -> Option<u64> {
        let version = self.offered.take(argument)?;
        self.pending[Family::State as usize].insert(STAGED_KEY.to_vec(), Some(self.offered.encode_left()));
        Some(version)
    }

    pub(crate) fn put_value(&mut self, family: Family, key: KeyBuf, value: &[u8]) -> Outcome<()> {
        self.put(family, key, Value::Inline(value).encode())
    }

    pub(crate) fn delete(&mut self, family: Family, key: KeyBuf) -> Outcome<()> {
        self.loading &= family != Family::Meta || !is_adoption(&key);
        if self.nothing_below(family, &key) {
            self.pending[family as usize].remove(key.as_slice());
            return Ok(());
        }
        self.bytes += key.len() + OVERHEAD;
        self.pending[family as usize].insert(key.into_vec(), None);
        self.spill_effects()
    }

    /// Removes the content of a record.
    pub(crate) fn drop_content(&mut self, record: &Record) -> Outcome<()> {
        let Some(version) = record.version else { return Ok(()) };
        match record.kind {
            Kind::String => self.drop_places(
                Family::Chunks,
                version,
                0,
                record.len.div_ceil(crate::embedded::db::schema::CHUNK),
            ),
            Kind::List => self.drop_places(
                Family::Elements,
                version,
                record.head,
                record.head.saturating_add(record.len),
            ),
            _ => {
                for family in record.families() {
                    self.drop_range(*family, version_start(version), version_start(version + 1), record.len)?;
                }
                Ok(())
            }
        }
    }

    /// Removes the places `from..to` of a version.
    pub(crate) fn drop_places(&mut self, family: Family, version: u64, from: u64, to: u64) -> Outcome<()> {
        if to.saturating_sub(from) > FEW {
            return self.drop_range(family, place_key(version, from), place_key(version, to), to - from);
        }
        (from..to).try_for_each(|place| self.delete(family, place_key(version, place)))
    }

    /// Removes the keys in `lower..upper`, of which there are `count`.
    fn drop_range(&mut self, family: Family, lower: KeyBuf, upper: KeyBuf, count: u64) -> Outcome<()> {
        let inside = (Bound::Included(lower.to_vec()), Bound::Excluded(upper.to_vec()));
        self.pending[family as usize].extract_if(inside, |_, _| true).for_each(drop);
        if self.nothing_below(family, &lower) {
            return Ok(());
        }
        if count > FEW {
            self.ranges.push((family, lower, upper));
            return Ok(());
        }
        let range = KeyRange::new(lower, upper);
        let mut stored = self.store.cursor(None, family, &range, Direction::Forward)?;
        while let Some((key, _)) = stored.item() {
            self.pending[family as usize].insert(key.to_vec(), None);
            stored.advance()?;
        }
        Ok(())
    }

    /// Removes everything; what was spilled goes with the rest, in the commit.
    pub(crate) fn clear(&mut self) {
        self.offered.withdraw();
        self.pending = Default::default();
        self.ranges.clear();
        self.moved.clear();
        self.bytes = 0;
        self.cleared = true;
        self.loading = false;
        (self.state.keys, self.state.deadlines) = (0, 0);
    }

    /// Whether the run has removed everything.
    pub(crate) fn is_cleared(&self) -> bool {
        self.cleared
    }

    /// The number of effects: puts and deletes, and range deletions.
    #[cfg(test)]
    pub(crate) fn effect_counts(&self) -> (usize, usize) {
        (self.pending.iter().map(BTreeMap::len).sum(), self.ranges.len())
    }

    /// Whether the store certainly has nothing under a key, so that no look-up is needed.
    fn nothing_below(&self, family: Family, key: &[u8]) -> bool {
        self.cleared || family.version_of(key).is_some_and(|version| version >= self.unspilled_from)
    }

    /// Spills what may be spilled, once the overlay is too large.
    fn spill_effects(&mut self) -> Outcome<()> {
        if self.bytes < self.spill_bytes || self.cleared {
            return Ok(());
        }
        let new_from = version_start(self.new_from).into_vec();
        let everything = self.spill == Spill::Everything;
        let mut batch = WriteBatch::default();
        self.take_ranges(&mut batch, |from| everything || from >= new_from.as_slice())?;
        for family in Family::ALL {
            let pending = &mut self.pending[family as usize];
            let spilled = match self.spill {
                Spill::Everything => std::mem::take(pending),
                Spill::NewVersions if Family::VERSIONED.contains(&family) => pending.split_off(&new_from),
                Spill::NewVersions => continue,
            };
            self.store.put_all(&mut batch, family, effects(&spilled))?;
        }
        self.store.write(batch)?;
        self.unspilled_from = self.state.next_version;
        self.bytes = 0;
        Ok(())
    }

    /// Adds range deletions to a batch. They must precede the puts that followed them.
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
}

/// Whether a record is that of the adoption in progress.
fn is_adoption(place: &[u8]) -> bool {
    static PLACE: LazyLock<KeyBuf> = LazyLock::new(|| meta_key(adoption::KEY));
    place == PLACE.as_slice()
}

fn effects(pending: &Pending) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
    pending.iter().map(|(key, value)| (key.as_slice(), value.as_deref()))
}

impl Reader for Overlay<'_> {
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
        range: &KeyRange,
        direction: Direction,
        visit: &mut Visitor<'_>,
    ) -> Outcome<()> {
        if range.is_empty() {
            return Ok(());
        }
        let upper = range.upper.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let mut pending =
            self.pending[family as usize].range::<[u8], _>((Bound::Included(range.lower.as_slice()), upper));
        let mut next_pending = || match direction {
            Direction::Forward => pending.next(),
            Direction::Backward => pending.next_back(),
        };
        let mut stored = match self.nothing_below(family, &range.lower) {
            true => None,
            false => Some(self.store.cursor(None, family, range, direction)?),
        };
        let mut above = next_pending();
        loop {
            let below = stored.as_ref().and_then(|cursor| cursor.item());
            let order = match (above, below) {
                (None, None) => return Ok(()),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((key, _)), Some((other, _))) => scan_order(direction, key, other),
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

    fn remote(&self) -> Option<&dyn RemoteValues> {
        self.remote
    }
}

/// A run in progress.
pub(crate) type Txn<'s> = TypedKeyspace<Overlay<'s>>;

impl<'s> Txn<'s> {
    /// Begins a run on top of the last commit.
    pub(crate) fn begin(store: &'s Store, remote: Option<&'s dyn RemoteValues>) -> Self {
        Self::over(Overlay::new(store, remote, Spill::NewVersions), store.now_ms())
    }

    /// Begins to fill a store that nobody reads yet. The clock starts at 0.
    pub(crate) fn load(store: &'s Store) -> Self {
        Self::over(Overlay::new(store, None, Spill::Everything), 0)
    }

    /// Advances the clock to the time of the next batch. It never goes back.
    pub(crate) fn advance(&mut self, now_ms: u64) {
        self.now_ms = self.now_ms.max(now_ms);
    }

    /// Abandons the run; nothing has changed.
    pub(crate) fn abandon(self) -> Result<(), StorageError> {
        self.source.abandon()
    }

    /// Commits everything, with the resulting position.
    pub(crate) fn commit(mut self, position: Position) -> Result<(), StorageError> {
        self.source.state.applied.position = position;
        self.source.state.applied.now_ms = self.now_ms;
        self.source.commit()
    }
}
