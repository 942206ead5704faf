//! The log on disk: a RocksDB of its own with two column families.
//!
//! | column family | key | value |
//! |---|---|---|
//! | `entries` | index, u64 big-endian | the entry's frame ([`crate::codec`]) |
//! | `meta` | `format`, `data`, `vote`, `committed`, `purged` | postcard |
//!
//! Format 1 has no `data`. It is given one when it is opened, and has format 2 from then on.

use std::ops::Range;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use rocksdb::{
    ColumnFamily, ColumnFamilyDescriptor, DB, DBRecoveryMode, Direction, IteratorMode, Options as DbOptions,
    ReadOptions, WriteBatch, WriteOptions,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::OpenError;
use super::extent::Reach;
use super::key;
use crate::codec::decode_entry;
use crate::data_id::DataId;
use crate::types::{Entry, LogId, Vote};

const ENTRIES: &str = "entries";
const META: &str = "meta";
const FORMAT: u32 = 2;
/// Files kept open. What there is of the log is in a few large ones.
const OPEN_FILES: i32 = 64;

/// What the log knows when it is opened.
#[derive(Debug, Default)]
pub(super) struct Recovered {
    /// None of a new log, and of one of format 1.
    pub(super) data: Option<DataId>,
    pub(super) vote: Option<Vote>,
    pub(super) committed: Option<LogId>,
    pub(super) purged: Option<LogId>,
    pub(super) last: Option<LogId>,
    /// About how many bytes of entries there are.
    pub(super) bytes: u64,
}

impl Recovered {
    /// How far the log is.
    pub(super) fn reach(&self) -> Reach {
        Reach { end: self.last.map_or(0, |last| last.index + 1), vote: self.vote }
    }
}

/// The open database.
pub(super) struct Disk {
    db: DB,
    path: PathBuf,
}

/// Why an operation has failed.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum DiskError {
    /// RocksDB says so.
    #[error(transparent)]
    RocksDb(#[from] rocksdb::Error),
    /// A value of `meta` cannot be written or read.
    #[error("`{key}` is malformed: {reason}")]
    Meta {
        /// Its key.
        key: String,
        /// What is wrong.
        reason: postcard::Error,
    },
    /// What stands in the place of an entry is none, or is another one.
    #[error("entry {index}: {reason}")]
    Entry {
        /// The place.
        index: u64,
        /// What is wrong.
        reason: String,
    },
    /// An entry stands under something that is no index.
    #[error("an entry's key is malformed")]
    Key,
    /// The log lacks one of its column families.
    #[error("the column family `{0}` is missing")]
    NoFamily(String),
    /// The file that says how far the log has been cannot be written.
    #[error("how far it is cannot be written: {0}")]
    Extent(String),
}

/// The result of an operation.
pub(super) type DiskResult<T> = Result<T, DiskError>;

impl Disk {
    /// Opens or creates the log, and changes nothing in one that is there.
    pub(super) fn open(path: &Path, write_buffer_bytes: usize) -> Result<(Self, Recovered), OpenError> {
        let sort = |error: rocksdb::Error| OpenError::from_rocksdb(path, &error);
        let column_families = [
            ColumnFamilyDescriptor::new(ENTRIES, entries_options(write_buffer_bytes)),
            ColumnFamilyDescriptor::new(META, DbOptions::default()),
        ];
        let db = DB::open_cf_descriptors(&database_options(write_buffer_bytes), path, column_families)
            .map_err(sort)?;
        let disk = Self { db, path: path.to_owned() };
        let damaged = |reason: DiskError| OpenError::damaged(path, reason);
        let found = disk.meta::<u32>(key::FORMAT).map_err(damaged)?;
        if let Some(found) = found.filter(|found| *found > FORMAT) {
            return Err(OpenError::Format { path: path.to_owned(), found, known: FORMAT });
        }
        let recovered = disk.recover().map_err(damaged)?;
        Ok((disk, recovered))
    }

    /// Whether there is a log in this directory.
    pub(super) fn is_there(path: &Path) -> bool {
        path.join("CURRENT").exists()
    }

    /// Notes which log this is, and proves by a synced write that it can be written. A log of an earlier format becomes
    /// one of this.
    pub(super) fn claim(&self, data: DataId) -> Result<(), OpenError> {
        let damaged = |reason: DiskError| OpenError::damaged(&self.path, reason);
        let mut batch = WriteBatch::default();
        self.put_meta(&mut batch, key::FORMAT, &FORMAT).map_err(damaged)?;
        self.put_meta(&mut batch, key::DATA, &data).map_err(damaged)?;
        self.db.write_opt(batch, &synced()).map_err(|error| OpenError::from_rocksdb(&self.path, &error))
    }

    fn recover(&self) -> DiskResult<Recovered> {
        let purged = self.meta::<LogId>(key::PURGED)?;
        let last = match self.db.iterator_cf(self.family(ENTRIES)?, IteratorMode::End).next() {
            Some(item) => {
                let (key, value) = item?;
                Some(decode(&key, Bytes::from(value))?.log_id)
            }
            None => purged,
        };
        let bytes = ["rocksdb.total-sst-files-size", "rocksdb.cur-size-all-mem-tables"]
            .into_iter()
            .map(|name| Ok(self.db.property_int_value_cf(self.family(ENTRIES)?, name)?))
            .sum::<DiskResult<Option<u64>>>()?;
        let (data, vote, committed) =
            (self.meta(key::DATA)?, self.meta(key::VOTE)?, self.meta(key::COMMITTED)?);
        Ok(Recovered { data, vote, committed, purged, last, bytes: bytes.unwrap_or(0) })
    }

    /// The log's directory.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads a value of `meta`.
    pub(super) fn meta<T: DeserializeOwned>(&self, key: &str) -> DiskResult<Option<T>> {
        let value = self.db.get_pinned_cf(self.family(META)?, key)?;
        let malformed = |reason| DiskError::Meta { key: key.to_owned(), reason };
        value.map(|value| postcard::from_bytes(&value).map_err(malformed)).transpose()
    }

    /// Has `batch` set a value of `meta`.
    pub(super) fn put_meta(
        &self,
        batch: &mut WriteBatch,
        key: &str,
        value: &impl Serialize,
    ) -> DiskResult<()> {
        let malformed = |reason| DiskError::Meta { key: key.to_owned(), reason };
        let value = postcard::to_stdvec(value).map_err(malformed)?;
        batch.put_cf(self.family(META)?, key, value);
        Ok(())
    }

    /// Has `batch` remove a value of `meta`.
    #[cfg(test)]
    pub(super) fn remove_meta(&self, batch: &mut WriteBatch, key: &str) -> DiskResult<()> {
        batch.delete_cf(self.family(META)?, key);
        Ok(())
    }

    /// Has `batch` set the entry at `index` to a frame.
    pub(super) fn put_entry(&self, batch: &mut WriteBatch, index: u64, frame: &[u8]) -> DiskResult<()> {
        batch.put_cf(self.family(ENTRIES)?, index.to_be_bytes(), frame);
        Ok(())
    }

    /// Has `batch` remove the entries with these indexes.
    pub(super) fn delete_entries(&self, batch: &mut WriteBatch, indexes: Range<u64>) -> DiskResult<()> {
        batch.delete_range_cf(self.family(ENTRIES)?, indexes.start.to_be_bytes(), indexes.end.to_be_bytes());
        Ok(())
    }

    /// Writes `batch` as a whole; if `sync`, it is on disk when this returns, with everything written before it.
    pub(super) fn write(&self, batch: WriteBatch, sync: bool) -> DiskResult<()> {
        let options = if sync { synced() } else { WriteOptions::default() };
        Ok(self.db.write_opt(batch, &options)?)
    }

    /// Puts everything that was written without a sync on disk.
    pub(super) fn sync(&self) -> DiskResult<()> {
        Ok(self.db.flush_wal(true)?)
    }

    /// Gives back the files that hold nothing but entries before `end`, which are removed already.
    pub(super) fn drop_files_before(&self, end: u64) -> DiskResult<()> {
        let entries = self.family(ENTRIES)?;
        // The end is inclusive.
        let last = end.saturating_sub(1).to_be_bytes();
        Ok(self.db.delete_file_in_range_cf(entries, 0u64.to_be_bytes(), last)?)
    }

    /// Reads entries from `indexes` in order until `keep_on` says no to an entry's size in bytes. Indexes that are
    /// not there are passed over.
    pub(super) fn read(
        &self,
        indexes: Range<u64>,
        mut keep_on: impl FnMut(usize) -> bool,
    ) -> DiskResult<Vec<Entry>> {
        let mut options = ReadOptions::default();
        options.set_iterate_upper_bound(indexes.end.to_be_bytes());
        options.fill_cache(false);
        let start = indexes.start.to_be_bytes();
        let mode = IteratorMode::From(&start, Direction::Forward);
        let mut entries = Vec::new();
        for item in self.db.iterator_cf_opt(self.family(ENTRIES)?, options, mode) {
            let (key, value) = item?;
            if !keep_on(value.len()) {
                break;
            }
            entries.push(decode(&key, Bytes::from(value))?);
        }
        Ok(entries)
    }

    fn family(&self, name: &str) -> DiskResult<&ColumnFamily> {
        self.db.cf_handle(name).ok_or_else(|| DiskError::NoFamily(name.to_owned()))
    }
}

fn decode(key: &[u8], mut frame: Bytes) -> DiskResult<Entry> {
    let index = <[u8; 8]>::try_from(key).map(u64::from_be_bytes).map_err(|_| DiskError::Key)?;
    let wrong = |reason: String| DiskError::Entry { index, reason };
    let entry = decode_entry(&mut frame).map_err(|error| wrong(error.to_string()))?;
    if entry.log_id.index != index {
        return Err(wrong(format!("the entry there says that it is entry {}", entry.log_id.index)));
    }
    Ok(entry)
}

fn synced() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.set_sync(true);
    options
}

fn database_options(write_buffer_bytes: usize) -> DbOptions {
    let mut options = DbOptions::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    // A record that was being written when the machine went down was acknowledged to nobody and may go. Anything
    // else that is damaged must not be passed over: acknowledged entries would be forgotten silently. Where a file
    // ends in the middle of a record RocksDB sees no difference between the two; see [`super::extent`] for that.
    options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    // `meta` alone would never fill its buffer and would keep every write-ahead file alive.
    options.set_max_total_wal_size(write_buffer_bytes as u64 * 2);
    options.set_max_background_jobs(2);
    options.set_max_open_files(OPEN_FILES);
    options.set_keep_log_file_num(2);
    options.set_max_log_file_size(1024 * 1024);
    options.set_max_manifest_file_size(4 * 1024 * 1024);
    options
}

fn entries_options(write_buffer_bytes: usize) -> DbOptions {
    let mut options = DbOptions::default();
    options.set_write_buffer_size(write_buffer_bytes);
    options.set_max_write_buffer_number(4);
    options.set_compression_type(rocksdb::DBCompressionType::None);
    // Indexes only grow, so files don't overlap and move from level 0 to level 1 without being rewritten. Only
    // files below level 0 can be given back whole, so they should move soon; and none should move any further.
    options.set_level_zero_file_num_compaction_trigger(2);
    options.set_level_compaction_dynamic_level_bytes(false);
    options.set_target_file_size_base(write_buffer_bytes as u64);
    options.set_max_bytes_for_level_base(1 << 40);
    options
}
