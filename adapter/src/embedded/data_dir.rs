//! The data directory: generations, and the pointer to the current one.
//!
//! ```text
//! LOCK       locked by the process that uses the directory
//! CURRENT    the number of the generation in use; 0 before the first one is complete
//! <number>/  a generation: one RocksDB instance
//! ```
//! Content is replaced by building the next generation and then atomically replacing `CURRENT`. So whenever a crash
//! happens, `CURRENT` names one complete generation; all others are leftovers, removed at the next start.

use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::durable_file;
use crate::embedded::db::store::{Setup, Store};
use crate::embedded::error::OpenError;

/// The directory, locked while this value lives.
pub(crate) struct DataDir {
    root: PathBuf,
    setup: Setup,
    _lock: File,
}

impl DataDir {
    /// Locks the directory, removes leftovers and opens the current generation, creating the first if there is
    /// none.
    pub(crate) fn open(dir: &Path, setup: Setup) -> Result<(Self, Generation), OpenError> {
        let root = dir.to_owned();
        fs::create_dir_all(&root).map_err(OpenError::io(&root))?;
        let data_dir = Self { _lock: lock(&root)?, root, setup };
        let current = data_dir.current()?;
        data_dir.remove_leftovers(current)?;
        if current > 0 {
            let store = Store::open(&data_dir.path(current), &data_dir.setup);
            let store = store.map_err(|error| error.of_the_whole(&data_dir.root))?;
            return Ok((data_dir, Generation { number: current, store }));
        }
        let generation = data_dir.create_next(current)?;
        data_dir.switch_to(generation.number)?;
        Ok((data_dir, generation))
    }

    /// Creates an empty generation next to the current one.
    pub(crate) fn create_next(&self, current: u64) -> Result<Generation, OpenError> {
        let number = current + 1;
        let dir = self.path(number);
        if dir.exists() {
            // Left over from a failed attempt.
            fs::remove_dir_all(&dir).map_err(OpenError::io(&dir))?;
        }
        Ok(Generation { number, store: Store::create(&dir, &self.setup)? })
    }

    /// Durably switches to a complete, flushed generation.
    pub(crate) fn switch_to(&self, number: u64) -> Result<(), OpenError> {
        let path = self.root.join("CURRENT");
        // The generation's directory entry must be durable before anything refers to it.
        self.sync_root()?;
        durable_file::write(&path, format!("{number}\n").as_bytes()).map_err(OpenError::io(&path))
    }

    fn sync_root(&self) -> Result<(), OpenError> {
        durable_file::sync_directory(&self.root).map_err(OpenError::io(&self.root))
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
                self.switch_to(0)?;
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

/// A generation: a numbered database.
pub(crate) struct Generation {
    pub(crate) number: u64,
    pub(crate) store: Store,
}
