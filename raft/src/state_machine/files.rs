//! The snapshots directory: at most one finished snapshot, and what is being written or received.
//!
//! | file | what it is |
//! |---|---|
//! | `<index>-<term>.snap` | a snapshot stream |
//! | `<index>-<term>.meta` | its log id and membership; there before the stream gets its name |
//! | `*.tmp` | being written |
//! | `incoming-<n>` | being received |
//!
//! Unfinished files of a crash are removed when the directory is opened.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use openraft::SnapshotMeta;

use super::mark::Mark;
use crate::types::{NodeId, Peer, SnapshotFile};
use adapter::durable_file;

const STREAM: &str = "snap";
const META: &str = "meta";
const INCOMING: &str = "incoming-";
const MAGIC: &[u8; 4] = b"KRS1";

pub(crate) type Meta = SnapshotMeta<NodeId, Peer>;

/// The directory, open.
pub(crate) struct Files {
    directory: PathBuf,
    received: AtomicU64,
    current: Mutex<Option<Meta>>,
}

/// What openraft wants to know of the snapshot at this place in the log.
pub(crate) fn meta(mark: &Mark) -> Meta {
    let snapshot_id =
        mark.applied.map_or("0-0".to_owned(), |id| format!("{}-{}", id.index, id.leader_id.term));
    Meta { last_log_id: mark.applied, last_membership: mark.membership.clone(), snapshot_id }
}

impl Files {
    /// Opens or creates the directory, finds the newest snapshot and removes everything else.
    pub(crate) fn open(directory: PathBuf) -> io::Result<Self> {
        std::fs::create_dir_all(&directory)?;
        directory.parent().map_or(Ok(()), durable_file::sync_directory)?;
        let mut current: Option<Meta> = None;
        for entry in std::fs::read_dir(&directory)? {
            let path = entry?.path();
            if path.extension().is_none_or(|extension| extension != STREAM) {
                continue;
            }
            match read_meta(&path.with_extension(META)) {
                Ok(meta) if current.as_ref().is_none_or(|other| other.last_log_id < meta.last_log_id) => {
                    current = Some(meta);
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "a snapshot is unusable and is removed")
                }
            }
        }
        let files = Self { directory, received: AtomicU64::new(0), current: Mutex::new(current) };
        files.remove_others(&files.current())?;
        Ok(files)
    }

    /// The newest snapshot.
    pub(crate) fn newest(&self) -> Option<(Meta, SnapshotFile)> {
        let meta = self.current().clone()?;
        let path = self.stream_path(&meta);
        Some((meta, SnapshotFile { path, temporary: false }))
    }

    /// A new, empty file to receive into.
    pub(super) fn incoming(&self) -> io::Result<SnapshotFile> {
        let number = self.received.fetch_add(1, Ordering::Relaxed);
        let path = self.directory.join(format!("{INCOMING}{number}"));
        File::create(&path)?;
        Ok(SnapshotFile { path, temporary: true })
    }

    /// A new, empty file to write a snapshot into.
    pub(crate) fn unfinished(&self, meta: &Meta) -> SnapshotFile {
        // Two builders never share a file: the number is theirs.
        let number = self.received.fetch_add(1, Ordering::Relaxed);
        let path = self.directory.join(format!("{}-{number}", meta.snapshot_id));
        SnapshotFile { path: durable_file::unfinished(&path), temporary: true }
    }

    /// Makes a file, which is synced already, the newest snapshot and removes the one before; a file that is older
    /// than the newest is removed instead. A file that is not temporary belongs to somebody else and is copied.
    pub(crate) fn publish(&self, meta: &Meta, mut file: SnapshotFile) -> io::Result<()> {
        let mut current = self.current();
        if current.as_ref().is_some_and(|current| current.last_log_id > meta.last_log_id) {
            return Ok(());
        }
        durable_file::write(&self.meta_path(meta), &encode_meta(meta)?)?;
        let path = self.stream_path(meta);
        if file.temporary {
            durable_file::rename(&file.path, &path)?;
            file.temporary = false;
        } else if file.path != path {
            let copy = self.unfinished(meta);
            std::fs::copy(&file.path, &copy.path)?;
            File::open(&copy.path)?.sync_all()?;
            durable_file::rename(&copy.path, &path)?;
        }
        *current = Some(meta.clone());
        self.remove_finished_others(meta)
    }

    fn current(&self) -> MutexGuard<'_, Option<Meta>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stream_path(&self, meta: &Meta) -> PathBuf {
        self.directory.join(format!("{}.{STREAM}", meta.snapshot_id))
    }

    fn meta_path(&self, meta: &Meta) -> PathBuf {
        self.directory.join(format!("{}.{META}", meta.snapshot_id))
    }

    /// Removes everything but the current snapshot's two files.
    fn remove_others(&self, current: &Option<Meta>) -> io::Result<()> {
        let keep = current.as_ref().map(|meta| [self.stream_path(meta), self.meta_path(meta)]);
        self.remove(|path| !keep.as_ref().is_some_and(|keep| keep.iter().any(|kept| kept == path)))
    }

    /// Removes finished snapshots but this one. What is being written or received is somebody's.
    fn remove_finished_others(&self, current: &Meta) -> io::Result<()> {
        let keep = [self.stream_path(current), self.meta_path(current)];
        let finished =
            |path: &Path| path.extension().is_some_and(|extension| extension == STREAM || extension == META);
        self.remove(|path| finished(path) && !keep.iter().any(|kept| kept == path))
    }

    fn remove(&self, unwanted: impl Fn(&Path) -> bool) -> io::Result<()> {
        for entry in std::fs::read_dir(&self.directory)? {
            let path = entry?.path();
            if unwanted(&path) && path.is_file() {
                std::fs::remove_file(&path)?;
            }
        }
        Ok(())
    }
}

/// `magic | crc u32 of the rest | postcard`
fn encode_meta(meta: &Meta) -> io::Result<Vec<u8>> {
    let body = postcard::to_stdvec(meta).map_err(io::Error::other)?;
    let crc = crc32c::crc32c(&body).to_le_bytes();
    Ok([MAGIC.as_slice(), &crc, &body].concat())
}

fn read_meta(path: &Path) -> io::Result<Meta> {
    let bytes = std::fs::read(path)?;
    let damaged = || io::Error::new(io::ErrorKind::InvalidData, "its description is damaged");
    let rest = bytes.strip_prefix(MAGIC.as_slice()).ok_or_else(damaged)?;
    let (crc, body) = rest.split_first_chunk::<4>().ok_or_else(damaged)?;
    if crc32c::crc32c(body) != u32::from_le_bytes(*crc) {
        return Err(damaged());
    }
    postcard::from_bytes(body).map_err(|_| damaged())
}
