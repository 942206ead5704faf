//! Errors of the embedded storage.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::error::{Outcome, Stop, StorageError};
use crate::rocksdb_failure::{self, Cause};

/// Why the storage cannot be opened. Nothing has been overwritten.
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
    /// Its content is damaged.
    #[error("{} is damaged: {reason}; restore it from a backup, or remove it and let the node catch up from the cluster", dir.display())]
    Damaged {
        /// The directory.
        dir: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The disk is full.
    #[error("no space left on the device of {}", dir.display())]
    DiskFull {
        /// The directory.
        dir: PathBuf,
    },
    /// An I/O error.
    #[error("cannot use {}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The I/O error.
        source: io::Error,
    },
    /// Another RocksDB error.
    #[error("RocksDB cannot open {}: {reason}", dir.display())]
    Engine {
        /// The directory.
        dir: PathBuf,
        /// RocksDB's message.
        reason: String,
    },
    /// It was opened and then failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl OpenError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| match source.kind() {
            ErrorKind::StorageFull => Self::DiskFull { dir: path.to_owned() },
            _ => Self::Io { path: path.to_owned(), source },
        }
    }

    /// The same error of the whole data directory: without its generation, what is left of it is damaged too. The
    /// reason names the file.
    pub(crate) fn of_the_whole(self, root: &Path) -> Self {
        match self {
            Self::Damaged { reason, .. } => Self::Damaged { dir: root.to_owned(), reason },
            other => other,
        }
    }

    /// An error of RocksDB.
    pub(crate) fn rocksdb(dir: &Path, error: &rocksdb::Error) -> Self {
        let (dir, reason) = (dir.to_owned(), error.to_string());
        match rocksdb_failure::cause(error) {
            Cause::Locked => Self::Locked { dir },
            Cause::DiskFull => Self::DiskFull { dir },
            Cause::Damaged => Self::Damaged { dir, reason },
            Cause::Other => Self::Engine { dir, reason },
        }
    }
}

/// The error for stored bytes that do not decode.
pub(crate) fn damaged(what: &str) -> crate::Stop {
    StorageError::Corrupt(format!("{what} has an unknown form")).into()
}

/// Turns a stop into a storage error, where no command is running that could answer it.
pub(crate) fn storage_error(stop: Stop) -> StorageError {
    match stop {
        Stop::Storage(error) => error,
        Stop::Error(reason) => StorageError::Engine { what: "read its content", reason: reason.into_owned() },
        Stop::Pending => StorageError::Engine {
            what: "read its content",
            reason: "the content changed meanwhile".to_owned(),
        },
    }
}

/// The same for results.
pub(crate) fn storage<T>(outcome: Outcome<T>) -> Result<T, StorageError> {
    outcome.map_err(storage_error)
}
