//! What the storage behind this one has, and moving values there.
//!
//! A store may keep names and order of everything and leave the values to another storage. What changes is first
//! applied here, values included, and journaled. A [`Cut`] is a moment of the store with the oldest changes that wait,
//! often all of them; whoever carries them over reads what the cut holds, and [`Store::confirm`] then has stubs stand for
//! the values that have arrived.

use std::ops::Range;

use bytes::Bytes;
use rocksdb::{Snapshot, WriteBatch};
use serde::{Deserialize, Serialize};

use super::encoding::{Family, KeyBuf, Record, Stub, Value, meta_key, split_meta_key, version_start};
use super::frozen::storage_error;
use super::journal::{Changes, Stretch};
use super::source::Span;
use super::store::Store;
use crate::error::StorageError;
use crate::keyspace::{Direction, Kind, Step};

const CARRIER_KEY: &[u8] = b"carrier";
/// So many values are replaced by stubs in one batch, while readers and the writer wait.
pub(super) const STUBS_AT_ONCE: usize = 256;

/// What the storage behind has of the content of a key: no more than this store once had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Placed {
    /// Whose content it is.
    pub(crate) version: u64,
    /// Its type.
    pub(crate) kind: Kind,
    /// Of a list: the place of the first element that is there.
    pub(crate) head: u64,
    /// Of a list: how many elements are there.
    pub(crate) len: u64,
    /// Of the others: what comes behind this place has not been carried over yet; none if all has.
    pub(crate) upto: Option<Vec<u8>>,
    /// What is being done to a list there, and may have been done or not.
    pub(crate) intent: Option<Intent>,
}

/// A change of a list's length. By the length that is found one can tell how much of it was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Intent {
    /// So many elements go at the head, and so many at the tail, at once.
    Trim(u64, u64),
    /// First so many elements come at the head, then so many at the tail.
    Push(u64, u64),
}

/// What whoever carries changes over remembers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Carrier {
    /// What the storage behind is marked with: a random number.
    pub(crate) owner: u128,
    /// How many cuts have been carried over.
    pub(crate) wave: u64,
    /// A wave may be on its way.
    pub(crate) in_flight: bool,
    /// The storage behind was found to have lost what it had.
    pub(crate) lost: bool,
    /// Everything is to be carried over anew, key by key from this place on, after the storage behind was emptied.
    pub(crate) refill: Option<Refill>,
}

/// How far everything was carried over anew.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Refill {
    /// Whether the storage behind was emptied.
    pub(crate) emptied: bool,
    /// The places of the keys that are still to come begin here.
    pub(crate) from: Vec<u8>,
}

/// A key at a cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// It is not there.
    Missing,
    /// A short string.
    Short(Stored),
    /// Content under a version.
    Content {
        /// Its type.
        kind: Kind,
        /// The version.
        version: u64,
        /// The place of a list's first element.
        head: u64,
        /// Bytes of a string, elements of a collection.
        len: u64,
    },
}

/// A value at a cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stored {
    /// It is here.
    Here(Vec<u8>),
    /// It is on the storage behind already.
    Away,
}

impl Stored {
    fn of(value: Value<'_>) -> Self {
        match value {
            Value::Here(bytes) => Self::Here(bytes.to_vec()),
            Value::Away(_) => Self::Away,
        }
    }

    /// The stored form of a value.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, StorageError> {
        Value::decode(bytes).map(Self::of).map_err(storage_error)
    }
}

/// What a walk over a cut is given: a place and what is stored there, or the place of a key and the key.
pub(crate) type Visit<'v> = dyn FnMut(&[u8], &[u8]) -> Result<Step, StorageError> + 'v;

/// A value that has arrived: where it is stored here, and what it is known by from now on.
#[derive(Clone, Debug)]
pub(crate) struct Arrived {
    /// The key under which it has arrived.
    pub(crate) key: Bytes,
    pub(crate) family: Family,
    pub(crate) place: Vec<u8>,
    pub(crate) stub: Stub,
}

/// The store at one moment, and changes up to it.
pub(crate) struct Cut<'s> {
    store: &'s Store,
    snapshot: Snapshot<'s>,
    /// What is not known to have been carried over, of a stretch of the journal.
    pub(crate) changes: Changes,
    stretch: Option<Stretch>,
}

impl<'s> Cut<'s> {
    /// What was cut.
    pub(crate) fn store(&self) -> &'s Store {
        self.store
    }

    /// A key.
    pub(crate) fn entry(&self, key: &[u8]) -> Result<Entry, StorageError> {
        let decode = |bytes: &[u8]| {
            let (record, value) = Record::decode(bytes)?;
            Ok(entry(&record, value))
        };
        let found = self.store.get(Some(&self.snapshot), Family::Meta, &meta_key(key), decode);
        found
            .and_then(|found| found.transpose())
            .map(|found| found.unwrap_or(Entry::Missing))
            .map_err(storage_error)
    }

    /// A stored value, in its stored form.
    pub(crate) fn stored(&self, family: Family, place: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        self.store.get(Some(&self.snapshot), family, place, <[u8]>::to_vec).map_err(storage_error)
    }

    /// What is stored of a version behind a place of it, in order.
    pub(crate) fn scan(
        &self,
        family: Family,
        version: u64,
        behind: Option<&[u8]>,
        visit: &mut Visit<'_>,
    ) -> Result<(), StorageError> {
        self.walk(family, &Span::new(lower(version, behind), version_start(version + 1)), visit)
    }

    /// The keys from a place on, with their places.
    pub(crate) fn keys(&self, from: &[u8], visit: &mut Visit<'_>) -> Result<(), StorageError> {
        self.walk(Family::Meta, &Span::from(KeyBuf::from_slice(from)), &mut |place, _| {
            visit(place, split_meta_key(place).map_err(storage_error)?.1)
        })
    }

    fn walk(&self, family: Family, span: &Span, visit: &mut Visit<'_>) -> Result<(), StorageError> {
        let mut cursor = self.store.cursor(Some(&self.snapshot), family, span, Direction::Forward)?;
        while let Some((place, stored)) = cursor.item() {
            if visit(place, stored)?.is_break() {
                break;
            }
            cursor.advance()?;
        }
        Ok(())
    }

    /// What the storage behind has of a key.
    pub(crate) fn placed(&self, key: &[u8]) -> Result<Option<Placed>, StorageError> {
        self.store.placed(key)
    }
}

/// Where what comes behind a place of a version begins.
/// The least place of a version, or the first behind a place of it.
pub(super) fn lower(version: u64, behind: Option<&[u8]>) -> KeyBuf {
    let Some(place) = behind else { return version_start(version) };
    let mut lower = KeyBuf::from_slice(place);
    lower.push(0);
    lower
}

fn entry(record: &Record, value: Value<'_>) -> Entry {
    match record.version {
        None => Entry::Short(Stored::of(value)),
        Some(version) => Entry::Content { kind: record.kind, version, head: record.head, len: record.len },
    }
}

/// The place of a key among all keys.
pub(crate) fn place_of_key(key: &[u8]) -> Vec<u8> {
    meta_key(key).into_vec()
}

impl Store {
    /// Cuts: takes what has waited longest to be carried over, and makes durable what it is about. Nothing that the cut
    /// holds is lost in a crash any more, so it may be shown to another storage.
    pub(crate) fn cut(&self) -> Result<Cut<'_>, StorageError> {
        self.read_waiting()?;
        let mut cut = {
            let _commit = self.lock_commits();
            self.write_held()?;
            let taken = self.journal().and_then(|journal| journal.waiting().take());
            let (stretch, changes) = taken.unzip();
            Cut { store: self, snapshot: self.fix(), changes: changes.unwrap_or_default(), stretch }
        };
        match self.sync() {
            Ok(()) => Ok(cut),
            Err(error) => {
                self.give_back(&mut cut);
                Err(error)
            }
        }
    }

    /// What a cut held has not been carried over: it waits again.
    pub(crate) fn give_back(&self, cut: &mut Cut<'_>) {
        if let Some((journal, stretch)) = self.journal().zip(cut.stretch.take()) {
            journal.waiting().give_back(stretch, std::mem::take(&mut cut.changes));
        }
    }

    /// Reads what is to be carried over next, if only the journal says it.
    fn read_waiting(&self) -> Result<(), StorageError> {
        let Some(journal) = self.journal() else { return Ok(()) };
        let is_to_be_read = journal.waiting().is_to_be_read();
        if let Some(entries) = is_to_be_read {
            let changes = self.read_journal(&entries)?;
            journal.waiting().was_read(&entries, changes);
        }
        Ok(())
    }

    fn read_journal(&self, entries: &Range<u64>) -> Result<Changes, StorageError> {
        let place = |number: u64| KeyBuf::from_slice(&number.to_be_bytes());
        let span = Span::new(place(entries.start), place(entries.end));
        let mut stored = self.cursor(None, Family::Journal, &span, Direction::Forward)?;
        let (mut changes, mut count) = (Changes::default(), 0);
        while let Some((_, entry)) = stored.item() {
            changes.add(Changes::decode(entry)?);
            count += 1;
            stored.advance()?;
        }
        if count == entries.end - entries.start {
            Ok(changes)
        } else {
            Err(StorageError::Corrupt(format!("the journal has {count} of the entries {entries:?}")))
        }
    }

    /// Has changes be noted from here on, or no longer, and what was noted be forgotten: only while everything is to be
    /// carried over anew.
    pub(crate) fn note_changes(&self, wanted: bool) -> Result<(), StorageError> {
        let Some(journal) = self.journal().filter(|journal| journal.is_idle() == wanted) else {
            return Ok(());
        };
        let _commit = self.lock_commits();
        self.write_held()?;
        journal.set_idle(!wanted);
        if wanted {
            return Ok(());
        }
        journal.waiting().clear();
        let mut batch = WriteBatch::default();
        self.delete_all(&mut batch, Family::Journal)?;
        journal.set_begin(journal.end());
        if batch.is_empty() { Ok(()) } else { self.write(batch) }
    }

    /// How many names of changes wait.
    pub(crate) fn waiting(&self) -> usize {
        self.journal().map_or(0, |journal| journal.waiting().names())
    }

    /// Whether anything waits.
    pub(crate) fn has_changes(&self) -> bool {
        self.holds_any() || self.journal().is_some_and(|journal| !journal.waiting().is_empty())
    }

    /// Has stubs stand for values that have arrived, where they are still the newest. Not while a run is applied: what it
    /// has found here must stay here until its end.
    pub(super) fn replace_by_stubs(&self, arrived: &[Arrived]) -> Result<(), StorageError> {
        let _commit = self.lock_commits();
        // The storage behind will be emptied: nothing that is there now is there for good.
        if self.journal().is_none_or(|journal| journal.waiting().is_cleared()) {
            return Ok(());
        }
        let mut batch = WriteBatch::default();
        for arrived in arrived {
            if let Some(stub) = self.stub_for(arrived)? {
                self.put(&mut batch, arrived.family, &arrived.place, &stub)?;
            }
        }
        if batch.is_empty() { Ok(()) } else { self.write(batch) }
    }

    /// Everything that the cut holds has been carried over, but for `left`, which waits again.
    pub(super) fn confirm(
        &self,
        cut: &mut Cut<'_>,
        left: Changes,
        carrier: &Carrier,
    ) -> Result<(), StorageError> {
        let mut batch = WriteBatch::default();
        let _commit = self.lock_commits();
        // Entries of held records may be written meanwhile: not between the number and the batch.
        self.write_held()?;
        let done = self.journal().zip(cut.stretch.as_ref().map(|stretch| stretch.entries.end));
        if let Some((journal, through)) = done {
            // One by one: range tombstones would pile up, wave by wave.
            let numbers = (journal.begin()..through).map(u64::to_be_bytes).collect::<Vec<_>>();
            self.put_all(&mut batch, Family::Journal, numbers.iter().map(|number| (&number[..], None)))?;
        }
        self.put_carrier(&mut batch, carrier)?;
        self.write_noted(batch, left)?;
        if let Some((journal, through)) = done {
            journal.set_begin(through);
        }
        cut.stretch = None;
        Ok(())
    }

    /// What is to be stored in the place of a value that has arrived: none if another one is there by now.
    fn stub_for(&self, arrived: &Arrived) -> Result<Option<Vec<u8>>, StorageError> {
        let Arrived { key, family, place, stub } = arrived;
        let is_there = match family.version_of(place) {
            None => !self.is_held(place),
            // The content may belong to another key by now, under which it has not arrived.
            Some(version) => self.is_at_home(key, version)?,
        };
        if !is_there {
            return Ok(None);
        }
        let is_it = |bytes: &[u8]| Stub::of(bytes) == *stub;
        let replace = |bytes: &[u8]| {
            if *family != Family::Meta {
                let same = matches!(Value::decode(bytes)?, Value::Here(value) if is_it(value));
                return Ok(same.then(|| Value::Away(*stub).encode()));
            }
            let (record, value) = Record::decode(bytes)?;
            let same = record.version.is_none() && matches!(value, Value::Here(value) if is_it(value));
            Ok(same.then(|| record.encode(Value::Away(*stub))))
        };
        let found = self.get(None, *family, place, replace).and_then(|found| found.transpose());
        found.map(Option::flatten).map_err(storage_error)
    }

    /// Whether a version is the content of a key, and has been since it was carried over under that key.
    fn is_at_home(&self, key: &[u8], version: u64) -> Result<bool, StorageError> {
        if self.journal().is_some_and(|journal| journal.waiting().has_moved(key)) {
            return Ok(false);
        }
        let decode = |bytes: &[u8]| Record::decode(bytes).map(|(record, _)| record.version);
        let found = self.get(None, Family::Meta, &meta_key(key), decode).and_then(Option::transpose);
        Ok(found.map_err(storage_error)?.flatten() == Some(version))
    }

    /// What the storage behind has of a key.
    pub(crate) fn placed(&self, key: &[u8]) -> Result<Option<Placed>, StorageError> {
        let decode = |bytes: &[u8]| {
            postcard::from_bytes(bytes)
                .map_err(|error| StorageError::Corrupt(format!("what is known of a key elsewhere: {error}")))
        };
        self.get(None, Family::Placed, &meta_key(key), decode).map_err(storage_error)?.transpose()
    }

    /// Notes what the storage behind has of keys, or is about to have; durable with the next cut, or with
    /// [`Store::sync`].
    pub(crate) fn set_placed(&self, keys: &[(Vec<u8>, Option<Placed>)]) -> Result<(), StorageError> {
        let mut batch = WriteBatch::default();
        for (key, placed) in keys {
            let encoded = placed.as_ref().map(postcard::to_allocvec).transpose();
            let encoded = encoded.map_err(StorageError::engine("write down what is elsewhere"))?;
            let place = meta_key(key);
            self.put_all(
                &mut batch,
                Family::Placed,
                std::iter::once((place.as_slice(), encoded.as_deref())),
            )?;
        }
        if batch.is_empty() { Ok(()) } else { self.write(batch) }
    }

    /// Nothing is on the storage behind any more.
    pub(crate) fn forget_placed(&self) -> Result<(), StorageError> {
        let mut batch = WriteBatch::default();
        self.delete_all(&mut batch, Family::Placed)?;
        if batch.is_empty() { Ok(()) } else { self.write(batch) }
    }

    /// What whoever carries changes over remembers.
    pub(crate) fn carrier(&self) -> Result<Carrier, StorageError> {
        let decode = |bytes: &[u8]| {
            postcard::from_bytes(bytes)
                .map_err(|error| StorageError::Corrupt(format!("what the carrier remembers: {error}")))
        };
        let found = self.get(None, Family::State, CARRIER_KEY, decode).map_err(storage_error)?;
        found.transpose().map(Option::unwrap_or_default)
    }

    /// Has it remember something else, durably.
    pub(crate) fn set_carrier(&self, carrier: &Carrier) -> Result<(), StorageError> {
        let mut batch = WriteBatch::default();
        self.put_carrier(&mut batch, carrier)?;
        self.write(batch)?;
        self.sync()
    }

    fn put_carrier(&self, batch: &mut WriteBatch, carrier: &Carrier) -> Result<(), StorageError> {
        let encoded =
            postcard::to_allocvec(carrier).map_err(StorageError::engine("write down the carrier"))?;
        self.put(batch, Family::State, CARRIER_KEY, &encoded)
    }
}
