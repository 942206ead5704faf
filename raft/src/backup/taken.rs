//! Snapshots that are taken for somebody who reads them piece by piece.
//!
//! Each is written, as fast as the disk takes it, to a file without a name, which goes with the last hold on it,
//! whatever becomes of the process. Its reader follows behind, so that nobody slow holds up the storage, and nothing
//! is in memory but a piece. It is given up when the [`Hold`] on it is dropped, which whoever asked for it keeps as
//! long as its client is there, and when nobody has read it within [`IDLE`].

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use adapter::snapshot::Origin;
use adapter::{Snapshot, StorageError};
use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use crate::error::ReadError;

/// The most snapshots that are read at once.
pub const MOST: usize = 4;
/// A snapshot that nobody has asked for in this time is given up.
pub const IDLE: Duration = Duration::from_secs(60);
/// How long a reader waits for bytes that are not written yet before it is answered none.
const READ_WAIT: Duration = Duration::from_secs(1);
/// The longest piece, bytes.
pub const MOST_PIECE: u64 = 1 << 20;
const BUFFER: usize = 256 * 1024;

/// Why a snapshot could not be taken or read.
#[derive(Debug, thiserror::Error)]
pub enum TakeError {
    /// The node could not make sure that it is up to date.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// What reads have seen is not there: the storage is being given again what it has lost.
    #[error("the storage is being rebuilt; ask again later, or another node")]
    Behind,
    /// The bound is reached.
    #[error("{MOST} snapshots are being read already")]
    Busy,
    /// It has another name, was not read for too long, was ended, or nobody holds it any more.
    #[error(
        "there is no such snapshot; its connection was closed, or it was not read for {} seconds",
        IDLE.as_secs()
    )]
    Unknown,
    /// The reader has asked for what is behind the end.
    #[error("the snapshot is shorter than that")]
    Beyond,
    /// It could not be written.
    #[error("the snapshot cannot be written: {0}")]
    NotWritten(Arc<StorageError>),
    /// It could not be read, or its file not be made.
    #[error("the snapshot's file: {0}")]
    File(#[from] io::Error),
}

impl From<StorageError> for TakeError {
    fn from(error: StorageError) -> Self {
        Self::NotWritten(Arc::new(error))
    }
}

/// A snapshot that has begun.
pub struct Begun {
    /// The name under which it is read.
    pub name: String,
    /// The index of the last log entry whose effects are in it.
    pub index: u64,
    /// The snapshot goes with it.
    pub hold: Hold,
}

/// Gives a snapshot up when it is dropped.
pub struct Hold {
    name: String,
    backups: Weak<Inner>,
}

impl Hold {
    /// The snapshot's name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some(backups) = self.backups.upgrade() {
            // It may have been ended before.
            drop(Backups(backups).end(&self.name));
        }
    }
}

/// A piece of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The bytes; none if they are not written yet, or at the end.
    pub bytes: Bytes,
    /// The length of the whole snapshot, once it is known.
    pub length: Option<u64>,
}

/// How far a snapshot is written.
#[derive(Clone, Default)]
struct Written {
    bytes: u64,
    end: Option<Result<(), Arc<StorageError>>>,
}

struct Taken {
    file: File,
    written: watch::Sender<Written>,
    given_up: AtomicBool,
    asked: Mutex<Instant>,
}

/// The snapshots that are being read. Cheap to clone.
#[derive(Clone)]
pub struct Backups(Arc<Inner>);

struct Inner {
    directory: PathBuf,
    taken: Mutex<HashMap<String, Arc<Taken>>>,
}

impl Backups {
    /// Their files will be in this directory.
    pub fn new(directory: &Path) -> Self {
        Self(Arc::new(Inner { directory: directory.to_owned(), taken: Mutex::default() }))
    }

    /// Has a snapshot written, and answers at once. Must be called on a runtime.
    pub fn begin(&self, snapshot: Box<dyn Snapshot>, origin: Origin) -> Result<Begun, TakeError> {
        let taken = Arc::new(Taken {
            file: tempfile::tempfile_in(&self.0.directory)?,
            written: watch::Sender::default(),
            given_up: AtomicBool::new(false),
            asked: Mutex::new(Instant::now()),
        });
        let name = format!("{:016x}", rand::random::<u64>());
        {
            let mut all = self.taken();
            if all.len() >= MOST {
                return Err(TakeError::Busy);
            }
            all.insert(name.clone(), Arc::clone(&taken));
        }
        let hold = Hold { name: name.clone(), backups: Arc::downgrade(&self.0) };
        let begun = Begun { name: name.clone(), index: snapshot.applied().position.index, hold };
        tokio::spawn(self.clone().give_up_when_idle(name, Arc::downgrade(&taken)));
        tokio::task::spawn_blocking(move || {
            let written = write(&taken, snapshot, origin);
            if let Err(error) = &written {
                tracing::warn!(%error, "a snapshot for a backup could not be written");
            }
            taken.written.send_modify(|state| state.end = Some(written.map_err(Arc::new)));
        });
        Ok(begun)
    }

    /// Reads a piece. One that is not written yet is waited for, for a second.
    pub async fn read(&self, name: &str, offset: u64, length: u64) -> Result<Piece, TakeError> {
        let taken = self.taken().get(name).cloned().ok_or(TakeError::Unknown)?;
        taken.note();
        let mut written = taken.written.subscribe();
        let further = written.wait_for(|written| written.bytes > offset || written.end.is_some());
        // Neither an end of the time nor anything else: what there is, is answered.
        drop(timeout(READ_WAIT, further).await);
        let Written { bytes, end } = written.borrow().clone();
        let whole = match end {
            Some(Ok(())) => Some(bytes),
            Some(Err(error)) => return Err(TakeError::NotWritten(error)),
            None => None,
        };
        if offset > bytes {
            return Err(TakeError::Beyond);
        }
        let length = length.min(bytes - offset).min(MOST_PIECE);
        let read = tokio::task::spawn_blocking(move || {
            let mut piece = vec![0; length as usize];
            taken.file.read_exact_at(&mut piece, offset).map(|()| piece)
        });
        let piece = read.await.map_err(io::Error::from)??;
        Ok(Piece { bytes: piece.into(), length: whole })
    }

    /// Gives a snapshot up.
    pub fn end(&self, name: &str) -> Result<(), TakeError> {
        let taken = self.taken().remove(name).ok_or(TakeError::Unknown)?;
        taken.given_up.store(true, Ordering::Relaxed);
        Ok(())
    }

    async fn give_up_when_idle(self, name: String, taken: Weak<Taken>) {
        // Ended, it is gone.
        while let Some(until) = taken.upgrade().map(|taken| *taken.asked() + IDLE) {
            if until <= Instant::now() {
                tracing::warn!(name, "a snapshot is given up: nobody has read it for a while");
                // It may have been ended at this moment.
                drop(self.end(&name));
                return;
            }
            sleep_until(until).await;
        }
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<String, Arc<Taken>>> {
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    fn note(&self) {
        *self.asked() = Instant::now();
    }

    fn asked(&self) -> MutexGuard<'_, Instant> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn write(taken: &Taken, snapshot: Box<dyn Snapshot>, origin: Origin) -> Result<(), StorageError> {
    let mut out = BufWriter::with_capacity(BUFFER, Followed(taken));
    snapshot.write(origin, &mut out)?;
    out.flush().map_err(StorageError::engine("write a snapshot"))
}

/// Writes to the file and lets the reader follow.
struct Followed<'a>(&'a Taken);

impl Write for Followed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.given_up.load(Ordering::Relaxed) {
            return Err(io::Error::other("nobody reads it any more"));
        }
        let count = (&self.0.file).write(bytes)?;
        self.0.written.send_modify(|written| written.bytes += count as u64);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
