//! The one thread that writes the log: everything that waits goes to disk in one batch with one sync.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use conf::Durability;
use openraft::storage::LogFlushed;
use rocksdb::WriteBatch;
use tokio::sync::oneshot;

use super::core::Core;
use super::disk::{DiskError, DiskResult};
use super::extent::Reach;
use super::{key, window};
use crate::TypeConfig;
use crate::codec::encode_entry;
use crate::types::{Entry, LogId, Vote};

/// A batch is closed at this many bytes of entries; what still waits comes in the next.
const MAX_BATCH_BYTES: usize = 32 * 1024 * 1024;

/// A committed log id that no other write carries to disk is synced by itself after this time.
const COMMITTED_SYNC_AFTER: Duration = Duration::from_millis(10);

/// Who is told when a write is on disk.
pub(super) type Done = oneshot::Sender<io::Result<()>>;

/// One write. They take effect in the order in which they are sent.
pub(super) enum Job {
    /// Adds entries.
    Append {
        /// The entries.
        entries: Vec<Entry>,
        /// The append's number in the window.
        ticket: u64,
        /// When it came.
        came: Instant,
        /// Who is told.
        flushed: LogFlushed<TypeConfig>,
    },
    /// Sets the vote; always synced.
    Vote(Vote, Done),
    /// Sets the committed log id. Nobody waits for it.
    Committed(Option<LogId>),
    /// Removes entries from an index to the end (exclusive).
    Truncate(std::ops::Range<u64>, Done),
    /// Removes entries up to and with this one.
    Purge {
        /// Where the removed entries begin.
        first: u64,
        /// The last one removed.
        upto: LogId,
        /// Who is told.
        done: Done,
    },
}

/// The sending side. The thread ends, with everything written, when this is dropped.
pub(super) struct Writer {
    // openraft waits for each of its writes before it does the next, so the queue is as long as there are callers.
    jobs: Mutex<Option<Sender<Job>>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start(shared: Arc<Core>) -> io::Result<Self> {
        let (jobs, queue) = channel();
        let written = shared.extent().reach();
        let state =
            Thread { shared, queue, scratch: BytesMut::new(), written, unsynced: false, failure: None };
        let thread = std::thread::Builder::new().name("raft-log".to_owned()).spawn(move || state.run())?;
        Ok(Self { jobs: Mutex::new(Some(jobs)), thread: Some(thread) })
    }

    /// Hands a write over. If the thread is gone, whoever waits for the write learns it by its sender being dropped.
    pub(super) fn send(&self, job: Job) {
        if let Some(jobs) = self.jobs.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            let _ = jobs.send(job);
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = self.thread.take() {
            // A panic of it was printed where it happened.
            let _ = thread.join();
        }
    }
}

struct Thread {
    shared: Arc<Core>,
    queue: Receiver<Job>,
    scratch: BytesMut,
    /// How far the log is, on disk or not.
    written: Reach,
    /// Whether a committed log id is written and not synced.
    unsynced: bool,
    /// The first failure. What a disk holds after a failed sync is unknown, and a second sync that succeeds proves
    /// nothing: from then on every write fails.
    failure: Option<DiskError>,
}

impl Thread {
    fn run(mut self) {
        loop {
            match self.next() {
                Ok(job) => self.write(job),
                Err(RecvTimeoutError::Timeout) => self.sync_committed(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.sync_committed();
        if self.failure.is_none()
            && let Err(error) = self.shared.extent().sync()
        {
            tracing::warn!(%error, "how far the Raft log has been could not be put on disk");
        }
    }

    fn next(&self) -> Result<Job, RecvTimeoutError> {
        if self.unsynced {
            return self.queue.recv_timeout(COMMITTED_SYNC_AFTER);
        }
        self.queue.recv().map_err(|_| RecvTimeoutError::Disconnected)
    }

    /// Writes this job and all that wait, then tells whoever asked.
    fn write(&mut self, first: Job) {
        let mut jobs = vec![first];
        let mut bytes = jobs.iter().map(bytes).sum::<usize>();
        while bytes < MAX_BATCH_BYTES
            && let Ok(job) = self.queue.try_recv()
        {
            bytes += self::bytes(&job);
            jobs.push(job);
        }
        let result = match &self.failure {
            Some(failure) => Err(failure.clone()),
            None => self.commit(&jobs),
        };
        if let Err(failure) = &result {
            self.fail(failure);
        }
        for job in jobs {
            self.finish(job, &result);
        }
    }

    fn commit(&mut self, jobs: &[Job]) -> DiskResult<()> {
        let mut batch = WriteBatch::default();
        let (mut reach, mut least) = (self.written, self.written.end);
        for job in jobs {
            self.add(job, &mut batch)?;
            reach = reached(reach, job);
            least = least.min(reach.end);
        }
        // The log is never shorter than what is said of it.
        let known = self.shared.extent().reach();
        if least < known.end {
            self.extend(Reach { end: least, ..known }, true)?;
        }
        let sync = jobs.iter().any(|job| match job {
            Job::Append { .. } => self.shared.options.durability == Durability::Fsync,
            Job::Committed(_) => false,
            Job::Vote(..) | Job::Truncate(..) | Job::Purge { .. } => true,
        });
        let began = Instant::now();
        self.shared.disk.write(batch, sync)?;
        self.written = reach;
        if sync {
            self.shared.timing.synced(began.elapsed());
            self.extend(reach, false)?;
        }
        self.shared.counters.written(sync);
        // A sync covers everything written before it.
        self.unsynced = !sync && (self.unsynced || jobs.iter().any(|job| matches!(job, Job::Committed(_))));
        Ok(())
    }

    /// Says how far the log is, of what a sync has covered.
    fn extend(&self, reach: Reach, sync: bool) -> DiskResult<()> {
        let mut extent = self.shared.extent();
        let set = extent.set(reach).and_then(|()| if sync { extent.sync() } else { Ok(()) });
        set.map_err(|error| DiskError::Extent(error.to_string()))
    }

    fn add(&mut self, job: &Job, batch: &mut WriteBatch) -> DiskResult<()> {
        let disk = &self.shared.disk;
        match job {
            Job::Append { entries, .. } => {
                for entry in entries {
                    self.scratch.clear();
                    encode_entry(entry, &mut self.scratch);
                    disk.put_entry(batch, entry.log_id.index, &self.scratch)?;
                }
                Ok(())
            }
            Job::Vote(vote, _) => disk.put_meta(batch, key::VOTE, vote),
            Job::Committed(Some(committed)) => disk.put_meta(batch, key::COMMITTED, committed),
            Job::Committed(None) => Ok(()),
            Job::Truncate(indexes, _) => disk.delete_entries(batch, indexes.clone()),
            Job::Purge { first, upto, .. } => {
                disk.delete_entries(batch, *first..upto.index + 1)?;
                disk.put_meta(batch, key::PURGED, upto)
            }
        }
    }

    fn finish(&self, job: Job, result: &DiskResult<()>) {
        let told = || result.clone().map_err(io::Error::other);
        match job {
            Job::Append { ticket, came, flushed, .. } => {
                if result.is_ok() {
                    self.shared.window().set_durable(ticket);
                }
                self.shared.timing.appended(came);
                flushed.log_io_completed(told());
            }
            Job::Purge { upto, done, .. } => {
                // The entries are gone for every reader; their room on disk can be had back later too.
                if result.is_ok()
                    && let Err(error) = self.shared.disk.drop_files_before(upto.index + 1)
                {
                    tracing::warn!(%error, "the files of purged log entries could not be removed");
                }
                let _ = done.send(told());
            }
            Job::Vote(_, done) | Job::Truncate(_, done) => {
                // Whoever asked may have been cancelled.
                let _ = done.send(told());
            }
            Job::Committed(_) => {}
        }
    }

    fn sync_committed(&mut self) {
        if std::mem::take(&mut self.unsynced) && self.failure.is_none() {
            match self.shared.disk.sync().and_then(|()| self.extend(self.written, false)) {
                Ok(()) => self.shared.counters.written(true),
                Err(failure) => self.fail(&failure),
            }
        }
    }

    fn fail(&mut self, failure: &DiskError) {
        if self.failure.is_none() {
            let path = self.shared.disk.path().display();
            tracing::error!(%path, %failure, "the Raft log cannot be written: this node stops");
            self.failure = Some(failure.clone());
        }
    }
}

/// How far the log is after a job, if it was so far before.
fn reached(before: Reach, job: &Job) -> Reach {
    match job {
        Job::Append { entries, .. } => {
            let end = entries.last().map_or(before.end, |last| last.log_id.index + 1);
            Reach { end, ..before }
        }
        Job::Vote(vote, _) => Reach { vote: Some(*vote), ..before },
        Job::Truncate(indexes, _) => Reach { end: before.end.min(indexes.start), ..before },
        Job::Purge { upto, .. } => Reach { end: before.end.max(upto.index + 1), ..before },
        Job::Committed(_) => before,
    }
}

fn bytes(job: &Job) -> usize {
    match job {
        Job::Append { entries, .. } => entries.iter().map(window::size).sum(),
        _ => 0,
    }
}
