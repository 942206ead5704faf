//! One RocksDB instance: opening, reading, writing, flushing.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard, TryLockError};

use bytes::Bytes;
use conf::Storage;
use rocksdb::{
    Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBRawIterator, FlushOptions, ReadOptions, Snapshot,
    WriteBatch, WriteOptions,
};

use super::encoding::{Family, KeyBuf, is_change, meta_key, split_meta_key, take_u64, version_start};
use super::held::{Held, Layers};
use super::home::{OpenError, Removal};
use super::journal::{Changes, Journal};
use super::options;
use super::records::Records;
use super::source::Span;
use crate::adapter::{Applied, Position};
use crate::command::adoption;
use crate::error::{Outcome, StorageError};
use crate::keyspace::Direction;

/// The form of everything that is stored. A program refuses forms that it does not know.
const FORMAT: u32 = 2;
const STATE_KEY: &[u8] = b"state";

/// What is stored once, with every run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    /// How far the data is.
    pub(super) applied: Applied,
    /// The next version for content; none at or above it is in use.
    pub(super) next_version: u64,
    /// The number of keys, expired ones included.
    pub(super) keys: u64,
    /// The number of keys with a deadline.
    pub(super) deadlines: u64,
}

impl State {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = FORMAT.to_be_bytes().to_vec();
        let Applied { position, now_ms } = &self.applied;
        for number in [position.index, *now_ms, self.next_version, self.keys, self.deadlines] {
            out.extend_from_slice(&number.to_be_bytes());
        }
        out.extend_from_slice(&position.mark);
        out
    }

    /// Reads the stored form; none if it is cut short. The format is checked first, by [`State::format`].
    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes.get(4..)?;
        let index = take_u64(&mut rest)?;
        let now_ms = take_u64(&mut rest)?;
        let (next_version, keys, deadlines) =
            (take_u64(&mut rest)?, take_u64(&mut rest)?, take_u64(&mut rest)?);
        let position = Position { index, mark: Bytes::copy_from_slice(rest) };
        Some(Self { applied: Applied { position, now_ms }, next_version, keys, deadlines })
    }

    fn format(bytes: &[u8]) -> Option<u32> {
        bytes.first_chunk().map(|format| u32::from_be_bytes(*format))
    }
}

/// One generation of the data.
pub(crate) struct Store {
    db: DB,
    reads: ReadOptions,
    writes: WriteOptions,
    log: Log,
    /// What nobody has carried over yet, if values are carried over to another storage.
    journal: Option<Journal>,
    /// The state that the last commit has written.
    state: Mutex<State>,
    now_ms: AtomicU64,
    /// Whether data is being adopted.
    loading: AtomicBool,
    /// Runs become visible under it, and records move from `held` to the database; whoever reads it meets neither.
    commits: RwLock<()>,
    /// Overrules what the database has.
    held: RwLock<Layers>,
    /// One at a time writes what was set aside.
    writing: Mutex<()>,
    /// With the run in progress, if there is one.
    records: Mutex<Records>,
    /// Behind `db`: the directory goes when the database is closed.
    removal: Removal,
}

/// How a database is opened.
#[derive(Clone, Debug)]
pub(super) struct Setup {
    /// Sizes of buffers and caches.
    pub(super) storage: Storage,
    /// What RocksDB's own log is for.
    pub(super) log: Log,
    /// Whether commits are journaled, for a storage behind this one; it must not be ahead of this one.
    pub(super) journal: bool,
}

/// What RocksDB's own log is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Log {
    /// Nothing: the Raft log is there.
    Off,
    /// Every run is durable when it is committed: for use without a Raft log.
    EveryRun,
    /// What was applied is durable at [`Store::sync`].
    OnDemand,
}

impl Store {
    /// Makes a new, empty database.
    pub(super) fn create(dir: &Path, setup: &Setup) -> Result<Self, OpenError> {
        let store = Self::open_db(dir, setup, true)?;
        let mut batch = WriteBatch::default();
        let state = State { next_version: 1, ..State::default() };
        store.put(&mut batch, Family::State, STATE_KEY, &state.encode())?;
        store.write(batch)?;
        store.flush()?;
        store.set_state(state);
        Ok(store)
    }

    /// Opens a database that exists.
    pub(super) fn open(dir: &Path, setup: &Setup) -> Result<Self, OpenError> {
        let store = Self::open_db(dir, setup, false)?;
        let stored = store.db.get(STATE_KEY).map_err(|error| OpenError::rocksdb(dir, &error))?;
        let damaged = |reason: &str| OpenError::Damaged { dir: dir.to_owned(), reason: reason.to_owned() };
        let stored = stored.ok_or_else(|| damaged("it has no state record"))?;
        match State::format(&stored) {
            Some(FORMAT) => {}
            Some(found) => return Err(OpenError::Format { dir: dir.to_owned(), found, known: FORMAT }),
            None => return Err(damaged("its state record is cut short")),
        }
        let state = State::decode(&stored).ok_or_else(|| damaged("its state record is cut short"))?;
        store.drop_unfinished(state.next_version)?;
        store.set_state(state);
        store.set_loading(store.find_adoption().map_err(super::frozen::storage_error)?);
        store.load_journal()?;
        Ok(store)
    }

    fn open_db(dir: &Path, setup: &Setup, create: bool) -> Result<Self, OpenError> {
        let mut database = options::database(&setup.storage);
        database.create_if_missing(create);
        database.create_missing_column_families(create);
        let cache = Cache::new_lru_cache(setup.storage.block_cache_bytes);
        let families = Family::ALL.map(|family| {
            ColumnFamilyDescriptor::new(family.name(), options::family(&setup.storage, family, &cache))
        });
        let db = DB::open_cf_descriptors(&database, dir, families)
            .map_err(|error| OpenError::rocksdb(dir, &error))?;
        let mut writes = WriteOptions::default();
        writes.disable_wal(setup.log == Log::Off);
        writes.set_sync(setup.log == Log::EveryRun);
        Ok(Self {
            db,
            reads: ReadOptions::default(),
            writes,
            log: setup.log,
            journal: setup.journal.then(Journal::default),
            state: Mutex::default(),
            now_ms: AtomicU64::new(0),
            loading: AtomicBool::new(false),
            commits: RwLock::default(),
            held: RwLock::default(),
            writing: Mutex::default(),
            records: Mutex::default(),
            removal: Removal::of(dir),
        })
    }

    /// Removes content that was written ahead of a run that was never committed.
    pub(super) fn drop_unfinished(&self, from: u64) -> Result<(), StorageError> {
        let mut batch = WriteBatch::default();
        for family in Family::VERSIONED {
            let span = Span::from(version_start(from));
            if self.cursor(None, family, &span, Direction::Forward)?.item().is_some() {
                self.delete_range(&mut batch, family, &span.lower, &version_start(u64::MAX))?;
            }
        }
        if batch.is_empty() { Ok(()) } else { self.write(batch) }
    }

    /// The state behind the last commit.
    pub(super) fn state(&self) -> State {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_state(&self, state: State) {
        self.now_ms.store(state.applied.now_ms, Ordering::Release);
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    /// The time of the last batch.
    pub(super) fn now_ms(&self) -> u64 {
        self.now_ms.load(Ordering::Acquire)
    }

    /// Whether data is being adopted.
    pub(super) fn is_loading(&self) -> bool {
        self.loading.load(Ordering::Acquire)
    }

    pub(super) fn set_loading(&self, loading: bool) {
        self.loading.store(loading, Ordering::Release);
    }

    fn find_adoption(&self) -> Outcome<bool> {
        Ok(self.get(None, Family::Meta, &meta_key(adoption::KEY), |_| ())?.is_some())
    }

    /// Whether changes are journaled.
    pub(super) fn journal(&self) -> Option<&Journal> {
        self.journal.as_ref()
    }

    /// Reads what nobody is known to have carried over.
    fn load_journal(&self) -> Result<(), StorageError> {
        let Some(journal) = &self.journal else { return Ok(()) };
        let mut stored =
            self.cursor(None, Family::Journal, &Span::from(KeyBuf::new()), Direction::Forward)?;
        while let Some((mut number, changes)) = stored.item() {
            let number = take_u64(&mut number)
                .ok_or_else(|| StorageError::Corrupt("the journal's numbers are cut short".to_owned()))?;
            if journal.end() == 0 {
                journal.set_begin(number);
            }
            journal.waiting().add(Changes::decode(changes)?, number);
            journal.set_end(number + 1);
            stored.advance()?;
        }
        Ok(())
    }

    /// Writes a batch, and what it changes into the journal with it.
    pub(super) fn write_noted(&self, mut batch: WriteBatch, changes: Changes) -> Result<(), StorageError> {
        let is_noted = |journal: &&Journal| !changes.is_empty() && !journal.is_idle();
        let Some(journal) = self.journal.as_ref().filter(is_noted) else { return self.write(batch) };
        let number = journal.end();
        self.put(&mut batch, Family::Journal, &number.to_be_bytes(), &changes.encode()?)?;
        self.write(batch)?;
        // Not before: the next entry takes the place of one that could not be written.
        journal.set_end(number + 1);
        journal.waiting().add(changes, number);
        Ok(())
    }

    /// The changes that held records stand for.
    fn changed(&self, held: &Held) -> Changes {
        let mut changes = Changes::default();
        if self.journal.is_some() {
            changes.keys.extend(
                held.in_order().into_iter().filter(|(_, record)| is_change(*record)).filter_map(
                    |(place, _)| Some((split_meta_key(place).ok()?.1.to_vec(), super::journal::Parts::new())),
                ),
            );
        }
        changes
    }

    /// Hands the writer's memory of records to a run. If the run fails, it is gone.
    pub(super) fn take_records(&self) -> Records {
        std::mem::take(&mut *self.records.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes it back.
    pub(super) fn give_records(&self, records: Records) {
        *self.records.lock().unwrap_or_else(PoisonError::into_inner) = records;
    }

    /// Writes a batch of effects together with the state that they lead to.
    pub(super) fn commit(
        &self,
        mut batch: WriteBatch,
        state: State,
        changes: Changes,
    ) -> Result<(), StorageError> {
        self.put(&mut batch, Family::State, STATE_KEY, &state.encode())?;
        let _commit = self.lock_commits();
        self.write_held()?;
        self.write_noted(batch, changes)?;
        self.set_state(state);
        Ok(())
    }

    /// Whether a run that changes records alone may be held back: not where it must be durable at once.
    pub(super) fn may_hold(&self) -> bool {
        self.log != Log::EveryRun
    }

    /// Commits records without writing them to the database yet, together with the state that they lead to.
    pub(super) fn hold(
        &self,
        records: impl IntoIterator<Item = (Vec<u8>, Option<Vec<u8>>)>,
        state: State,
    ) -> Result<(), StorageError> {
        let _commit = self.lock_commits();
        let fill = {
            let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
            records.into_iter().for_each(|(place, record)| held.young.put(place, record));
            held.advanced = true;
            held.fill()
        };
        self.set_state(state);
        // Far too much: nobody has set it aside.
        if fill > 4 { self.write_held() } else { Ok(()) }
    }

    /// Whether so much is held that it should be set aside and written.
    pub(super) fn holds_much(&self) -> bool {
        self.held.read().unwrap_or_else(PoisonError::into_inner).fill() > 0
    }

    /// Has much be held at so many bytes.
    #[cfg(test)]
    pub(super) fn bound_held(&self, bytes: usize) {
        self.held.write().unwrap_or_else(PoisonError::into_inner).bound = bytes;
    }

    /// Sets what is held aside, for [`Store::write_aside`].
    pub(super) fn set_aside(&self) -> Result<(), StorageError> {
        let _commit = self.lock_commits();
        self.write_aside()?;
        self.held.write().unwrap_or_else(PoisonError::into_inner).set_aside(self.state());
        Ok(())
    }

    /// Writes what was set aside. The content is the same before, meanwhile and behind.
    pub(super) fn write_aside(&self) -> Result<(), StorageError> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let aside = self.held.read().unwrap_or_else(PoisonError::into_inner).aside.clone();
        let Some(aside) = aside else { return Ok(()) };
        let mut batch = WriteBatch::with_capacity_bytes(aside.held.bytes());
        self.put_all(&mut batch, Family::Meta, aside.held.in_order().into_iter())?;
        self.put(&mut batch, Family::State, STATE_KEY, &aside.state.encode())?;
        self.write_noted(batch, self.changed(&aside.held))?;
        self.held.write().unwrap_or_else(PoisonError::into_inner).aside = None;
        Ok(())
    }

    /// Writes all that is held. Only for who holds `commits`.
    pub(super) fn write_held(&self) -> Result<(), StorageError> {
        self.write_aside()?;
        self.held.write().unwrap_or_else(PoisonError::into_inner).set_aside(self.state());
        self.write_aside()
    }

    /// Writes what is held back.
    fn write_out(&self) -> Result<(), StorageError> {
        let _commit = self.lock_commits();
        self.write_held()
    }

    /// Keeps all runs from becoming visible.
    pub(super) fn lock_commits(&self) -> std::sync::RwLockWriteGuard<'_, ()> {
        self.commits.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a record is held back.
    pub(super) fn is_held(&self, place: &[u8]) -> bool {
        self.held.read().unwrap_or_else(PoisonError::into_inner).get(place).is_some()
    }

    /// Whether any record is held back.
    pub(super) fn holds_any(&self) -> bool {
        self.held.read().unwrap_or_else(PoisonError::into_inner).holds_any()
    }

    /// What is written, as it is now.
    pub(super) fn fix(&self) -> Snapshot<'_> {
        self.db.snapshot()
    }

    /// Keeps runs from becoming visible, so that several look-ups see one state. Not for long.
    pub(super) fn hold_commits(&self) -> RwLockReadGuard<'_, ()> {
        self.commits.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same, unless a run is just becoming visible.
    pub(super) fn try_hold_commits(&self) -> Option<RwLockReadGuard<'_, ()>> {
        match self.commits.try_read() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Writes effects that no reader finds before a later commit.
    pub(super) fn write(&self, batch: WriteBatch) -> Result<(), StorageError> {
        self.db.write_opt(batch, &self.writes).map_err(StorageError::engine("write a batch"))
    }

    /// Makes all commits durable, all families at one position.
    pub(super) fn flush(&self) -> Result<(), StorageError> {
        if self.log == Log::EveryRun {
            return self.sync();
        }
        self.write_out()?;
        if self.log == Log::OnDemand {
            return self.sync();
        }
        let families = Family::ALL.iter().map(|family| self.cf(*family)).collect::<Result<Vec<_>, _>>()?;
        let families: Vec<&&ColumnFamily> = families.iter().collect();
        let mut options = FlushOptions::default();
        options.set_wait(true);
        self.db.flush_cfs_opt(&families, &options).map_err(StorageError::engine("flush"))
    }

    /// Makes what was written durable.
    pub(crate) fn sync(&self) -> Result<(), StorageError> {
        self.db.flush_wal(true).map_err(StorageError::engine("sync its log"))
    }

    /// The present content.
    pub(super) fn snapshot(&self) -> Result<Snapshot<'_>, StorageError> {
        let _commit = self.lock_commits();
        self.write_held()?;
        Ok(self.db.snapshot())
    }

    /// The state at a snapshot.
    pub(super) fn state_at(&self, snapshot: &Snapshot<'_>) -> Outcome<State> {
        let found = self.get(Some(snapshot), Family::State, STATE_KEY, State::decode)?;
        found.flatten().ok_or_else(|| super::encoding::damaged("the state record"))
    }

    /// Has the directory removed when the database is closed.
    pub(super) fn remove_when_closed(&self) {
        self.removal.arm();
    }

    /// Has files that are no longer needed stay.
    #[cfg(test)]
    pub(super) fn keep_files(&self) {
        let kept = self.db.disable_file_deletions();
        assert!(kept.is_ok(), "{kept:?}");
    }

    /// An integer property, 0 if RocksDB does not know it; see RocksDB's `include/rocksdb/db.h`.
    pub(super) fn property(&self, name: &str) -> u64 {
        let of = |family: &Family| {
            let cf = self.cf(*family).ok()?;
            self.db.property_int_value_cf(cf, name).ok().flatten()
        };
        Family::ALL.iter().filter_map(of).sum()
    }

    fn cf(&self, family: Family) -> Result<&ColumnFamily, StorageError> {
        self.db
            .cf_handle(family.name())
            .ok_or_else(|| StorageError::Corrupt(format!("the column family {} is missing", family.name())))
    }

    /// Looks a value up, at the snapshot if there is one.
    pub(super) fn get<T>(
        &self,
        snapshot: Option<&Snapshot<'_>>,
        family: Family,
        key: &[u8],
        decode: impl FnOnce(&[u8]) -> T,
    ) -> Outcome<Option<T>> {
        if family == Family::Meta && snapshot.is_none() {
            let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(record) = held.get(key) {
                return Ok(record.map(decode));
            }
        }
        let cf = self.cf(family)?;
        let found = match snapshot {
            Some(snapshot) => snapshot.get_pinned_cf(cf, key),
            None => self.db.get_pinned_cf_opt(cf, key, &self.reads),
        };
        let found = found.map_err(StorageError::engine("read"))?;
        Ok(found.map(|value| decode(&value)))
    }

    /// Stands at the first key of a span, or at the last if backward; at the snapshot if there is one. Without one,
    /// records that are held back are written first: not for who holds commits up.
    pub(super) fn cursor<'a>(
        &'a self,
        snapshot: Option<&'a Snapshot<'a>>,
        family: Family,
        span: &Span,
        direction: Direction,
    ) -> Result<Cursor<'a>, StorageError> {
        if family == Family::Meta && snapshot.is_none() {
            self.write_out()?;
        }
        let cf = self.cf(family)?;
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(span.lower.as_slice());
        if let Some(upper) = &span.upper {
            options.set_iterate_upper_bound(upper.as_slice());
        }
        let mut inner = match snapshot {
            Some(snapshot) => snapshot.raw_iterator_cf_opt(cf, options),
            None => self.db.raw_iterator_cf_opt(cf, options),
        };
        match direction {
            Direction::Forward => inner.seek_to_first(),
            Direction::Backward => inner.seek_to_last(),
        }
        let cursor = Cursor { inner, direction };
        cursor.check()?;
        Ok(cursor)
    }

    pub(super) fn put(
        &self,
        batch: &mut WriteBatch,
        family: Family,
        key: &[u8],
        value: &[u8],
    ) -> Result<(), StorageError> {
        batch.put_cf(&self.cf(family)?, key, value);
        Ok(())
    }

    /// Puts and deletes of one family.
    pub(super) fn put_all<'a>(
        &self,
        batch: &mut WriteBatch,
        family: Family,
        effects: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>,
    ) -> Result<(), StorageError> {
        let cf = self.cf(family)?;
        for (key, value) in effects {
            match value {
                Some(value) => batch.put_cf(&cf, key, value),
                None => batch.delete_cf(&cf, key),
            }
        }
        Ok(())
    }

    pub(super) fn delete_range(
        &self,
        batch: &mut WriteBatch,
        family: Family,
        from: &[u8],
        to: &[u8],
    ) -> Result<(), StorageError> {
        batch.delete_range_cf(&self.cf(family)?, from, to);
        Ok(())
    }

    /// Removes everything in a family by one tombstone.
    pub(super) fn delete_all(&self, batch: &mut WriteBatch, family: Family) -> Result<(), StorageError> {
        let last = self.cursor(None, family, &Span::from(KeyBuf::new()), Direction::Backward)?;
        let Some((last, _)) = last.item() else { return Ok(()) };
        let end = [last, b"\0"].concat();
        self.delete_range(batch, family, b"", &end)
    }
}

/// A walk over stored keys.
pub(super) struct Cursor<'a> {
    inner: DBRawIterator<'a>,
    direction: Direction,
}

impl Cursor<'_> {
    /// Where it stands; none at the end.
    pub(super) fn item(&self) -> Option<(&[u8], &[u8])> {
        self.inner.item()
    }

    /// Goes one on.
    pub(super) fn advance(&mut self) -> Result<(), StorageError> {
        match self.direction {
            Direction::Forward => self.inner.next(),
            Direction::Backward => self.inner.prev(),
        }
        self.check()
    }

    /// The end of the keys and a failure to read on look alike until one asks.
    fn check(&self) -> Result<(), StorageError> {
        if self.inner.valid() {
            return Ok(());
        }
        self.inner.status().map_err(StorageError::engine("read on"))
    }
}
