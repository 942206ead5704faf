//! The directory of the embedded storage.
//!
//! ```text
//! LOCK       locked by the process that uses the directory
//! CURRENT    the number of the generation in use; 0 before the first one is complete
//! <number>/  a generation: one RocksDB instance
//! ```
//! Content is replaced by making the next generation aside and then replacing `CURRENT`, which is atomic. So at
//! any moment of a crash one complete generation is pointed at, and every other one is a leftover, removed at the
//! next start.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use super::store::{Setup, Store};
use crate::error::StorageError;

/// Why the storage cannot be opened. Nothing was written over.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process uses it.
    #[error("{} is in use by another process", dir.display())]
    Locked {
        /// The directory.
        dir: PathBuf,
    },
    /// A later program wrote it.
    #[error("{} has format {found}; this program knows format {known} only", dir.display())]
    Format {
        /// The directory.
        dir: PathBuf,
        /// The format that was found.
        found: u32,
        /// The format that is known.
        known: u32,
    },
    /// It is not what was written.
    #[error("{} is damaged: {reason}; restore it from a backup, or remove it and let the node catch up from the cluster", dir.display())]
    Damaged {
        /// The directory.
        dir: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// There is no room.
    #[error("no space left on the device of {}", dir.display())]
    DiskFull {
        /// The directory.
        dir: PathBuf,
    },
    /// The file system refused.
    #[error("cannot use {}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// RocksDB refused for another reason.
    #[error("RocksDB cannot open {}: {reason}", dir.display())]
    Engine {
        /// The directory.
        dir: PathBuf,
        /// What RocksDB said.
        reason: String,
    },
    /// It could be opened and then not be used.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl OpenError {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| match source.kind() {
            ErrorKind::StorageFull => Self::DiskFull { dir: path.to_owned() },
            _ => Self::Io { path: path.to_owned(), source },
        }
    }

    /// Tells RocksDB's errors apart as far as it lets one.
    pub(super) fn rocksdb(dir: &Path, error: &rocksdb::Error) -> Self {
        let (dir, reason) = (dir.to_owned(), error.to_string());
        let missing =
            error.kind() == rocksdb::ErrorKind::InvalidArgument && reason.contains("does not exist");
        if reason.contains("No space left") {
            Self::DiskFull { dir }
        } else if error.kind() == rocksdb::ErrorKind::Corruption || missing {
            Self::Damaged { dir, reason }
        } else {
            Self::Engine { dir, reason }
        }
    }
}

/// The directory, locked for this process as long as this lives.
pub(super) struct Home {
    root: PathBuf,
    setup: Setup,
    _lock: File,
}

impl Home {
    /// Locks the directory, removes leftovers and opens the generation in use; makes the first if there is none.
    pub(super) fn open(dir: &Path, setup: Setup) -> Result<(Self, Generation), OpenError> {
        let root = dir.to_owned();
        fs::create_dir_all(&root).map_err(OpenError::io(&root))?;
        let home = Self { _lock: lock(&root)?, root, setup };
        let current = home.current()?;
        home.remove_leftovers(current)?;
        if current > 0 {
            let store = Store::open(&home.path(current), &home.setup)?;
            return Ok((home, Generation { number: current, store }));
        }
        let generation = home.create_next(current)?;
        home.point_at(generation.number)?;
        Ok((home, generation))
    }

    /// Makes an empty generation beside the one in use.
    pub(super) fn create_next(&self, current: u64) -> Result<Generation, OpenError> {
        let number = current + 1;
        let dir = self.path(number);
        if dir.exists() {
            // The leftover of an attempt that failed and could not clean up.
            fs::remove_dir_all(&dir).map_err(OpenError::io(&dir))?;
        }
        Ok(Generation { number, store: Store::create(&dir, &self.setup)? })
    }

    /// Makes a complete and flushed generation the one in use, durably.
    pub(super) fn point_at(&self, number: u64) -> Result<(), OpenError> {
        let (path, aside) = (self.root.join("CURRENT"), self.root.join("CURRENT.new"));
        // The generation's own name must be on disk before anything points at it.
        self.sync_root()?;
        let write = || {
            let mut file = File::create(&aside)?;
            writeln!(file, "{number}")?;
            file.sync_all()?;
            fs::rename(&aside, &path)
        };
        write().map_err(OpenError::io(&path))?;
        self.sync_root()
    }

    fn sync_root(&self) -> Result<(), OpenError> {
        File::open(&self.root).and_then(|dir| dir.sync_all()).map_err(OpenError::io(&self.root))
    }

    fn path(&self, number: u64) -> PathBuf {
        self.root.join(number.to_string())
    }

    fn current(&self) -> Result<u64, OpenError> {
        let path = self.root.join("CURRENT");
        let damaged = |reason: &str| OpenError::Damaged { dir: self.root.clone(), reason: reason.to_owned() };
        match fs::read_to_string(&path) {
            Ok(text) => text.trim_end().parse().map_err(|_| damaged("CURRENT does not name a generation")),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                if !self.generations()?.is_empty() {
                    return Err(damaged(
                        "it holds data, but CURRENT, which says which is in use, is missing",
                    ));
                }
                self.point_at(0)?;
                Ok(0)
            }
            Err(error) => Err(OpenError::io(&path)(error)),
        }
    }

    fn generations(&self) -> Result<Vec<u64>, OpenError> {
        let entries = fs::read_dir(&self.root).map_err(OpenError::io(&self.root))?;
        let mut found = Vec::new();
        for entry in entries {
            let name = entry.map_err(OpenError::io(&self.root))?.file_name();
            found.extend(name.to_str().and_then(|name| name.parse::<u64>().ok()));
        }
        Ok(found)
    }

    fn remove_leftovers(&self, current: u64) -> Result<(), OpenError> {
        for number in self.generations()?.into_iter().filter(|number| *number != current) {
            let dir = self.path(number);
            tracing::info!(directory = %dir.display(), "removing an unfinished or replaced generation of the data");
            fs::remove_dir_all(&dir).map_err(OpenError::io(&dir))?;
        }
        Ok(())
    }
}

fn lock(root: &Path) -> Result<File, OpenError> {
    let path = root.join("LOCK");
    let file =
        File::options().create(true).truncate(false).write(true).open(&path).map_err(OpenError::io(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked { dir: root.to_owned() }),
        Err(TryLockError::Error(error)) => Err(OpenError::io(&path)(error)),
    }
}

/// A numbered database.
pub(super) struct Generation {
    pub(super) number: u64,
    pub(super) store: Store,
}

/// Removes a directory when it is dropped, if it was told to.
pub(super) struct Removal {
    dir: PathBuf,
    armed: AtomicBool,
}

impl Removal {
    pub(super) fn of(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), armed: AtomicBool::new(false) }
    }

    pub(super) fn arm(&self) {
        self.armed.store(true, Ordering::Release);
    }
}

impl Drop for Removal {
    fn drop(&mut self) {
        if !self.armed.load(Ordering::Acquire) {
            return;
        }
        if let Err(error) = fs::remove_dir_all(&self.dir) {
            // It is a leftover now, and tried again at the next start.
            tracing::warn!(directory = %self.dir.display(), %error, "cannot remove a replaced generation of the data");
        }
    }
}
