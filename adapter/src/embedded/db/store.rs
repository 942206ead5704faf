//! One RocksDB instance: opening, reading, writing, flushing.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};

use conf::Storage;
use rocksdb::{
    Cache, ColumnFamily, ColumnFamilyDescriptor, DB, FlushOptions, ReadOptions, Snapshot, WriteBatch,
    WriteOptions,
};

use crate::command::adoption;
use crate::embedded::db::commit_lock::CommitLock;
use crate::embedded::db::cursor::Cursor;
use crate::embedded::db::key_range::KeyRange;
use crate::embedded::db::options;
use crate::embedded::db::record_cache::RecordCache;
use crate::embedded::db::removal::Removal;
use crate::embedded::db::schema::{Family, KeyBuf, meta_key, split_deadline, take_u64, version_start};
use crate::embedded::db::state::{FORMAT, STATE_KEY, State};
use crate::embedded::db::tombstones::Tombstones;
use crate::embedded::db::write_buffer::WriteBuffer;
use crate::embedded::error::OpenError;
use crate::embedded::offload::dirty_log::{DirtyLog, DirtySet};
use crate::error::{Outcome, StorageError};
use crate::keyspace::Direction;

/// Behind all keys of every family, but for those of clients that begin with so many of these bytes.
const END: [u8; 9] = [0xff; 9];

/// One generation of the data.
pub(crate) struct Store {
    pub(super) db: DB,
    reads: ReadOptions,
    writes: WriteOptions,
    pub(super) log: Log,
    /// The changes not yet flushed, if values are offloaded to another storage.
    pub(super) dirty_log: Option<DirtyLog>,
    /// The state as of the last commit.
    pub(super) state: Mutex<State>,
    now_ms: AtomicU64,
    /// Whether data is being adopted.
    loading: AtomicBool,
    /// Lock order: `commits` before `writing` before `buffer`.
    pub(super) commits: CommitLock,
    /// Takes precedence over the database.
    pub(super) buffer: RwLock<WriteBuffer>,
    /// Held while the sealed buffer is written.
    pub(super) writing: Mutex<()>,
    /// Lent to the run in progress, if there is one.
    pub(super) records: Mutex<RecordCache>,
    pub(super) tombstones: Tombstones,
    /// Declared after `db`, so that the directory is removed once the database is closed.
    removal: Removal,
}

/// How a database is opened.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    /// The sizes of buffers and caches.
    pub(crate) storage: Storage,
    /// What RocksDB's own log is for.
    pub(crate) log: Log,
    /// Whether commits are tracked in a dirty log, for offloading to another storage, which must never be ahead of
    /// this one.
    pub(crate) dirty_log: bool,
}

/// What RocksDB's own log is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Log {
    /// Off: the Raft log replaces it.
    Off,
    /// Synced on every commit: for use without a Raft log.
    EveryRun,
    /// Written on every commit, synced by [`Store::sync`].
    OnDemand,
}

impl Store {
    /// Creates an empty database.
    pub(crate) fn create(dir: &Path, setup: &Setup) -> Result<Self, OpenError> {
        let store = Self::open_db(dir, setup, true)?;
        let mut batch = WriteBatch::default();
        let state = State { next_version: 1, ..State::default() };
        store.put(&mut batch, Family::State, STATE_KEY, &state.encode())?;
        store.write(batch)?;
        store.flush()?;
        store.set_state(state);
        Ok(store)
    }

    /// Opens an existing database.
    pub(crate) fn open(dir: &Path, setup: &Setup) -> Result<Self, OpenError> {
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
        let staged = store.find_staged()?;
        if !staged.is_empty() {
            store.drop_staged(&staged)?;
        }
        store.set_loading(store.find_adoption().map_err(crate::embedded::error::storage_error)?);
        store.load_dirty_log()?;
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
            dirty_log: setup.dirty_log.then(DirtyLog::default),
            state: Mutex::default(),
            now_ms: AtomicU64::new(0),
            loading: AtomicBool::new(false),
            commits: CommitLock::default(),
            buffer: RwLock::default(),
            writing: Mutex::default(),
            records: Mutex::default(),
            tombstones: Tombstones::default(),
            removal: Removal::of(dir),
        })
    }

    /// Removes content that a run spilled but never committed.
    pub(crate) fn drop_unfinished(&self, from: u64) -> Result<(), StorageError> {
        let mut batch = WriteBatch::default();
        for family in Family::VERSIONED {
            let range = KeyRange::from(version_start(from));
            if self.cursor(None, family, &range, Direction::Forward)?.item().is_some() {
                self.delete_range(&mut batch, family, &range.lower, &version_start(u64::MAX))?;
            }
        }
        if batch.is_empty() { Ok(()) } else { self.write(batch) }
    }

    /// The state as of the last commit.
    pub(crate) fn state(&self) -> State {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_state(&self, state: State) {
        self.now_ms.store(state.applied.now_ms, Ordering::Release);
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    /// The clock: the time of the last batch.
    pub(crate) fn now_ms(&self) -> u64 {
        self.now_ms.load(Ordering::Acquire)
    }

    /// Whether data is being adopted.
    pub(crate) fn is_loading(&self) -> bool {
        self.loading.load(Ordering::Acquire)
    }

    pub(crate) fn set_loading(&self, loading: bool) {
        self.loading.store(loading, Ordering::Release);
    }

    fn find_adoption(&self) -> Outcome<bool> {
        Ok(self.get(None, Family::Meta, &meta_key(adoption::KEY), |_| ())?.is_some())
    }

    /// The dirty log, if changes are tracked.
    pub(crate) fn dirty_log(&self) -> Option<&DirtyLog> {
        self.dirty_log.as_ref()
    }

    /// Queues the changes that are not known to be flushed.
    fn load_dirty_log(&self) -> Result<(), StorageError> {
        let Some(dirty_log) = &self.dirty_log else { return Ok(()) };
        let mut stored =
            self.cursor(None, Family::DirtyLog, &KeyRange::from(KeyBuf::new()), Direction::Forward)?;
        while let Some((mut number, dirty)) = stored.item() {
            let number = take_u64(&mut number)
                .ok_or_else(|| StorageError::Corrupt("the journal's numbers are cut short".to_owned()))?;
            if dirty_log.end() == 0 {
                dirty_log.set_begin(number);
            }
            dirty_log.queue().add(DirtySet::decode(dirty)?, number);
            dirty_log.set_end(number + 1);
            stored.advance()?;
        }
        Ok(())
    }

    /// Writes effects that no reader can find before a later commit.
    pub(crate) fn write(&self, batch: WriteBatch) -> Result<(), StorageError> {
        let written = self.db.write_opt(batch, &self.writes).map_err(StorageError::engine("write a batch"));
        if written.is_err() {
            self.tombstones.forget();
        }
        written
    }

    /// Makes all commits durable, with all families at one position.
    pub(crate) fn flush(&self) -> Result<(), StorageError> {
        if self.log == Log::EveryRun {
            return self.sync();
        }
        self.lock_and_drain()?;
        if self.log == Log::OnDemand {
            return self.sync();
        }
        self.flush_buffers(true)?;
        self.tombstones.flushed();
        Ok(())
    }

    /// Has the write buffers of all families written to files, of one position, and waits for that or not.
    pub(super) fn flush_buffers(&self, wait: bool) -> Result<(), StorageError> {
        let families = Family::ALL.iter().map(|family| self.cf(*family)).collect::<Result<Vec<_>, _>>()?;
        let families: Vec<&&ColumnFamily> = families.iter().collect();
        let mut options = FlushOptions::default();
        options.set_wait(wait);
        self.db.flush_cfs_opt(&families, &options).map_err(StorageError::engine("flush"))
    }

    /// Syncs RocksDB's own log.
    pub(crate) fn sync(&self) -> Result<(), StorageError> {
        self.db.flush_wal(true).map_err(StorageError::engine("sync its log"))
    }

    /// A snapshot of the current content.
    pub(crate) fn snapshot(&self) -> Result<Snapshot<'_>, StorageError> {
        let commits = self.lock_commits();
        self.drain_buffer(&commits)?;
        Ok(self.db.snapshot())
    }

    /// The state as of a snapshot.
    pub(crate) fn state_at(&self, snapshot: &Snapshot<'_>) -> Outcome<State> {
        let found = self.get(Some(snapshot), Family::State, STATE_KEY, State::decode)?;
        found.flatten().ok_or_else(|| crate::embedded::error::damaged("the state record"))
    }

    /// Removes the directory once the database is closed.
    pub(crate) fn remove_when_closed(&self) {
        self.removal.arm();
    }

    /// Keeps obsolete files.
    #[cfg(test)]
    pub(crate) fn keep_files(&self) {
        let kept = self.db.disable_file_deletions();
        assert!(kept.is_ok(), "{kept:?}");
    }

    /// An integer property summed over all families; 0 if RocksDB does not know it. See `include/rocksdb/db.h`.
    pub(crate) fn property(&self, name: &str) -> u64 {
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

    /// Looks up a value, at the snapshot if there is one.
    pub(crate) fn get<T>(
        &self,
        snapshot: Option<&Snapshot<'_>>,
        family: Family,
        key: &[u8],
        decode: impl FnOnce(&[u8]) -> T,
    ) -> Outcome<Option<T>> {
        if family == Family::Meta && snapshot.is_none() {
            let buffer = self.buffer.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(record) = buffer.get(key) {
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

    /// A cursor at the first key of a range, or at the last if backward; at the snapshot if there is one. Without a
    /// snapshot, a scan of records drains the buffer first, which takes the commit lock: do not hold it.
    pub(crate) fn cursor<'a>(
        &'a self,
        snapshot: Option<&'a Snapshot<'a>>,
        family: Family,
        range: &KeyRange,
        direction: Direction,
    ) -> Result<Cursor<'a>, StorageError> {
        if family == Family::Meta && snapshot.is_none() {
            self.lock_and_drain()?;
        }
        let cf = self.cf(family)?;
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(range.lower.as_slice());
        if let Some(upper) = &range.upper {
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

    pub(crate) fn put(
        &self,
        batch: &mut WriteBatch,
        family: Family,
        key: &[u8],
        value: &[u8],
    ) -> Result<(), StorageError> {
        self.tombstones.occupy(family);
        batch.put_cf(&self.cf(family)?, key, value);
        Ok(())
    }

    /// Puts and deletes of one family.
    pub(crate) fn put_all<'a>(
        &self,
        batch: &mut WriteBatch,
        family: Family,
        effects: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>,
    ) -> Result<(), StorageError> {
        let cf = self.cf(family)?;
        for (key, value) in effects {
            match value {
                Some(value) => {
                    self.tombstones.occupy(family);
                    if family == Family::Deadlines {
                        self.tombstones.add_deadline(split_deadline(key)?);
                    }
                    batch.put_cf(&cf, key, value);
                }
                None => batch.delete_cf(&cf, key),
            }
        }
        Ok(())
    }

    pub(crate) fn delete_range(
        &self,
        batch: &mut WriteBatch,
        family: Family,
        from: &[u8],
        to: &[u8],
    ) -> Result<(), StorageError> {
        self.tombstones.lay(family, 0);
        batch.delete_range_cf(&self.cf(family)?, from, to);
        Ok(())
    }

    /// Removes everything in a family, and steps over nothing that was removed before.
    pub(crate) fn delete_all(&self, batch: &mut WriteBatch, family: Family) -> Result<(), StorageError> {
        // Of these two it is not known what is in them: others than the writer of runs write there too.
        let has_more_writers =
            matches!(family, Family::DirtyLog | Family::Placements) && self.dirty_log.is_some();
        if !has_more_writers && !self.tombstones.vacate(family) {
            return Ok(());
        }
        let buffered =
            self.db.property_int_value_cf(self.cf(family)?, "rocksdb.num-entries-active-mem-table");
        self.tombstones.lay(family, buffered.ok().flatten().unwrap_or(0));
        batch.delete_range_cf(&self.cf(family)?, &b""[..], &END[..]);
        let beyond = KeyRange::from(KeyBuf::from_slice(&END));
        if self.cursor(None, family, &beyond, Direction::Forward)?.item().is_none() {
            return Ok(());
        }
        let last = self.cursor(None, family, &beyond, Direction::Backward)?;
        let Some((last, _)) = last.item() else { return Ok(()) };
        self.delete_range(batch, family, &END, &[last, b"\0"].concat())
    }

    /// What removals have left.
    pub(crate) fn tombstones(&self) -> &Tombstones {
        &self.tombstones
    }
}
