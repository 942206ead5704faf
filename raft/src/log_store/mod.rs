//! The Raft log on a RocksDB of its own in `<data_dir>/log`.
//!
//! | module | what it says |
//! |---|---|
//! | [`claim`] | whether the log is the one that is meant, and all there |
//! | [`options`] | how the log behaves |
//! | [`core`] | what the log's parts share |
//! | [`key`] | the names under which the log keeps what it knows of itself |
//! | [`disk`] | what is stored, and how |
//! | [`extent`] | how far the log has been, in a file of its own |
//! | [`offline`] | what is done to the log of a node that does not run |
//! | [`window`] | the end of the log in memory |
//! | [`writer`] | one thread, one batch, one sync |
//! | [`reader`] | entries from memory, else from disk |
//! | [`timing`] | how long the log takes, for operators |
//! | [`error`] | why the log cannot be opened |
//!
//! What is promised, and why:
//! - A vote, a truncation and a purge are on disk when the call returns; an append when its callback is called
//!   (with `durability = "os-cache"`, appended entries may still be in the operating system's cache).
//! - An appended entry can be read as soon as `append` returns.
//! - A log that is gone, was exchanged, or lacks what it had when it was last synced is not opened: a node votes only
//!   with everything that it had when it last promised or acknowledged anything.
//! - **The vote guard.** A leader that restarts must not go on under its old vote, or it answers reads before it knows
//!   again what it had committed. So a stored vote for this node comes back as not committed: it has to be elected
//!   again, and commits an entry of its new term before it reads.
//! - The committed log id is written at once (it survives the process), and synced with the next synced write or
//!   after 10 ms, whichever is first. It need not be waited for: by the vote guard no read depends on it. It spares a
//!   restarted node from having to wait for a leader before it applies what it has.

mod claim;
mod core;
mod disk;
mod error;
mod extent;
mod key;
mod offline;
mod options;
mod reader;
mod timing;
mod window;
mod writer;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use openraft::storage::{LogFlushed, RaftLogStorage};
use openraft::{AnyError, LogState, OptionalSend, RaftLogReader, StorageIOError};
use tokio::sync::oneshot;

pub use self::error::OpenError;
pub use self::options::Options;
pub use self::reader::LogReader;

use self::core::{Core, Counters};
use self::disk::Disk;
use self::timing::Timing;
use self::window::Window;
use self::writer::{Done, Job, Writer};
use crate::TypeConfig;
use crate::data_id::DataId;
use crate::types::{Entry, LogId, NodeId, StorageError, Vote};
use adapter::durable_file;

/// The Raft log. Cheap to clone; all clones are the same log. It is closed, with everything written, when the last
/// clone and the last [`LogReader`] are gone.
#[derive(Clone)]
pub struct LogStore {
    shared: Arc<Core>,
    writer: Arc<Writer>,
}

impl LogStore {
    /// Opens or creates the log in `<data_dir>/log`. Blocking: recovery reads up to the bound of the write-ahead files.
    pub fn open(data_dir: &Path, options: Options) -> Result<Self, OpenError> {
        let path = data_dir.join("log");
        if options.data.is_some() && !Disk::is_there(&path) {
            return Err(OpenError::Lost { path });
        }
        let (disk, recovered) = Disk::open(&path, options.write_buffer_bytes)?;
        let (data, extent) = claim::identify(&path, &extent::path(data_dir), &disk, &recovered, &options)?;
        // A vote in a directory whose name is lost is a vote lost.
        durable_file::sync_directory(data_dir)
            .map_err(|error| OpenError::Other { path: path.clone(), reason: error.to_string() })?;
        let window = Window::new(options.cache_bytes, &recovered);
        let vote = recovered.vote.map(|vote| guarded(vote, options.node_id));
        let counters = Counters { grown: AtomicU64::new(recovered.bytes), ..Counters::default() };
        let (window, vote, extent) = (Mutex::new(window), Mutex::new(vote), Mutex::new(extent));
        let timing = Timing::new();
        let shared = Arc::new(Core { options, disk, data, extent, window, vote, counters, timing });
        let writer = Writer::start(Arc::clone(&shared))
            .map_err(|error| OpenError::Other { path, reason: format!("no thread to write it: {error}") })?;
        Ok(Self { shared, writer: Arc::new(writer) })
    }

    /// The newest vote that is on disk. It is set before openraft, and so any candidate or leader, hears of it.
    pub fn current_vote(&self) -> Option<Vote> {
        *self.shared.vote.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The id of the last entry, whether it is on disk yet or not.
    pub fn last_log_id(&self) -> Option<LogId> {
        self.shared.window().last
    }

    /// Whether it never held anything.
    pub(crate) fn is_new(&self) -> bool {
        self.last_log_id().is_none() && self.current_vote().is_none()
    }

    /// The error that it is in a directory whose identity does not know of it.
    pub(crate) fn unnamed(&self) -> OpenError {
        let path = self.shared.disk.path().to_owned();
        OpenError::Unnamed { path, found: self.data() }
    }

    /// Which log this is.
    pub fn data(&self) -> DataId {
        self.shared.data
    }

    /// About how many bytes the log has grown since it was purged or [`Self::snapshot_made`] was called, whichever
    /// was later.
    pub fn log_bytes(&self) -> u64 {
        self.shared.counters.grown.load(Ordering::Relaxed)
    }

    /// Counts [`Self::log_bytes`] from here on.
    pub fn snapshot_made(&self) {
        self.shared.counters.grown.store(0, Ordering::Relaxed);
    }

    /// How often the log was written, and how often synced, since it was opened.
    pub fn writes_and_syncs(&self) -> (u64, u64) {
        let Counters { writes, syncs, .. } = &self.shared.counters;
        (writes.load(Ordering::Relaxed), syncs.load(Ordering::Relaxed))
    }

    /// How often the end of the log was cut off since it was opened. It is counted before openraft tells those who
    /// wait for an entry there.
    pub(crate) fn truncations(&self) -> u64 {
        self.shared.counters.truncations.load(Ordering::Acquire)
    }

    /// The last entry that is known to be committed.
    pub fn committed(&self) -> Option<LogId> {
        self.shared.window().committed
    }

    /// The entries in memory: how many, and their bytes.
    pub fn cached(&self) -> (usize, usize) {
        self.shared.window().usage()
    }

    /// The index up to which the log is on disk; with `os-cache`, in the operating system's hands.
    pub fn durable_upto(&self) -> u64 {
        self.shared.window().durable_upto()
    }

    /// Reads it beside its writer.
    pub fn reader(&self) -> LogReader {
        LogReader::new(Arc::clone(&self.shared))
    }

    /// Sends a job and waits until it is on disk.
    async fn write(&self, job: impl FnOnce(Done) -> Job) -> Result<(), AnyError> {
        let (done, told) = oneshot::channel();
        self.writer.send(job(done));
        match told.await {
            Ok(result) => result.map_err(|error| AnyError::new(&error)),
            Err(_) => Err(AnyError::error("the thread that writes the Raft log is gone")),
        }
    }
}

/// The vote guard: see the module.
fn guarded(vote: Vote, own: NodeId) -> Vote {
    let committed = vote.committed && vote.leader_id.voted_for() != Some(own);
    Vote { committed, ..vote }
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn try_get_log_entries<RB>(&mut self, range: RB) -> Result<Vec<Entry>, StorageError>
    where
        RB: std::ops::RangeBounds<u64> + Clone + std::fmt::Debug + OptionalSend,
    {
        self.reader().try_get_log_entries(range).await
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>, StorageError> {
        self.reader().limited_get_log_entries(start, end).await
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = LogReader;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, StorageError> {
        let window = self.shared.window();
        Ok(LogState { last_purged_log_id: window.purged, last_log_id: window.last })
    }

    async fn get_log_reader(&mut self) -> LogReader {
        self.reader()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), StorageError> {
        self.write(|done| Job::Vote(*vote, done)).await.map_err(StorageIOError::write_vote)?;
        *self.shared.vote.lock().unwrap_or_else(PoisonError::into_inner) = Some(*vote);
        Ok(())
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, StorageError> {
        Ok(self.current_vote())
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), StorageError> {
        self.shared.window().committed = committed;
        if let Some(committed) = committed {
            self.shared.timing.committed(committed.index);
        }
        self.writer.send(Job::Committed(committed));
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, StorageError> {
        Ok(self.shared.window().committed)
    }

    async fn append<I>(&mut self, entries: I, callback: LogFlushed<TypeConfig>) -> Result<(), StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut entries: Vec<Entry> = entries.into_iter().collect();
        let appended = {
            let mut window = self.shared.window();
            // What a snapshot has replaced is not taken up again.
            let purged = window.purged;
            entries.retain(|entry| purged.is_none_or(|purged| entry.log_id.index > purged.index));
            window.append(&entries)
        };
        let (ticket, bytes) = appended.map_err(|error| StorageIOError::write_logs(AnyError::new(&error)))?;
        self.shared.counters.grown.fetch_add(bytes as u64, Ordering::Relaxed);
        if let Some(last) = entries.last() {
            self.shared.timing.appending(last.log_id.index);
        }
        self.writer.send(Job::Append { entries, ticket, came: Instant::now(), flushed: callback });
        Ok(())
    }

    async fn truncate(&mut self, log_id: LogId) -> Result<(), StorageError> {
        let since = log_id.index;
        let (last, purged) = {
            let window = self.shared.window();
            (window.last, window.purged)
        };
        let Some(end) = last.map(|last| last.index + 1).filter(|end| since < *end) else { return Ok(()) };
        let before = match since.checked_sub(1) {
            Some(index) if purged.is_none_or(|purged| purged.index < index) => {
                self.reader().log_id(index).await?.or(purged)
            }
            _ => purged,
        };
        self.shared.counters.truncations.fetch_add(1, Ordering::AcqRel);
        self.shared.window().truncate(since, before);
        self.shared.timing.truncated(since);
        let truncated = self.write(|done| Job::Truncate(since..end, done)).await;
        truncated.map_err(|error| StorageIOError::write_log_entry(log_id, error).into())
    }

    async fn purge(&mut self, log_id: LogId) -> Result<(), StorageError> {
        let first = {
            let mut window = self.shared.window();
            let first = window.purged.map_or(0, |purged| purged.index + 1);
            window.purge(log_id);
            first
        };
        if log_id.index < first {
            return Ok(());
        }
        let purged = self.write(|done| Job::Purge { first, upto: log_id, done }).await;
        purged.map_err(|error| StorageIOError::write_log_entry(log_id, error))?;
        self.snapshot_made();
        Ok(())
    }
}
