//! Why the log cannot be opened, in words for the operator.

use std::path::{Path, PathBuf};

use adapter::rocksdb_failure::{self, Cause};

use crate::data_id::DataId;

/// What to do about a node that has lost what it has promised.
const ADVICE: &str = "A node that votes without all that it has acknowledged can undo writes. Put the data directory back as it \
    was when the node stopped; or remove this node from the cluster (RAFT.NODE REMOVE) and let it join with an empty data \
    directory and a new id";

/// The log cannot be opened. Nothing of it was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("the Raft log in {} is in use by another process; is this node running already?", path.display())]
    Locked {
        /// The log's directory.
        path: PathBuf,
    },
    /// There is no room on the disk.
    #[error("the disk of the Raft log in {} is full: {reason}", path.display())]
    DiskFull {
        /// The log's directory.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// What is there is not what was written.
    #[error(
        "the Raft log in {} is damaged: {reason}; a node that lost its log must not vote again under the same id: \
         remove it from the cluster and add it anew with an empty data directory and another id",
        path.display()
    )]
    Damaged {
        /// The log's directory.
        path: PathBuf,
        /// What is damaged.
        reason: String,
    },
    /// It was there, and is no more.
    #[error("the Raft log in {} is gone, or was emptied: the identity file says that there is one. {ADVICE}", path.display())]
    Lost {
        /// The log's directory.
        path: PathBuf,
    },
    /// It is not the one that belongs here.
    #[error(
        "the Raft log in {} is the log {}, and the data directory is that of the log {expected}: they were put together \
         from several copies. {ADVICE}",
        path.display(), found.map_or_else(|| "of nobody".to_owned(), |found| found.to_string())
    )]
    Foreign {
        /// The log's directory.
        path: PathBuf,
        /// Which one is there.
        found: Option<DataId>,
        /// Which one belongs there.
        expected: DataId,
    },
    /// The directory that it is in does not know of it.
    #[error(
        "the Raft log in {}, {found}, is not empty, and the identity file beside it is that of a node that never had a log: \
         they were put together from several copies. {ADVICE}",
        path.display()
    )]
    Unnamed {
        /// The log's directory.
        path: PathBuf,
        /// Which one is there.
        found: DataId,
    },
    /// It is not all there.
    #[error(
        "the Raft log in {} was cut, or is an older copy: it ends with {found}, and this node had {known}. {ADVICE}",
        path.display()
    )]
    Cut {
        /// The log's directory.
        path: PathBuf,
        /// How far it is.
        found: String,
        /// How far it was.
        known: String,
    },
    /// What says how far it was is not there.
    #[error("{} {reason}: it says how far the Raft log beside it has been. {ADVICE}", path.display())]
    Extent {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Written by a newer program.
    #[error("the Raft log in {} has the format {found}; this program knows formats up to {known}", path.display())]
    Format {
        /// The log's directory.
        path: PathBuf,
        /// The format on disk.
        found: u32,
        /// The newest one this program reads.
        known: u32,
    },
    /// Anything else, such as missing permissions.
    #[error("the Raft log in {} cannot be opened: {reason}", path.display())]
    Other {
        /// The log's directory.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
}

impl OpenError {
    /// An error of RocksDB.
    pub(super) fn from_rocksdb(path: &Path, error: &rocksdb::Error) -> Self {
        let (path, reason) = (path.to_owned(), error.to_string());
        match rocksdb_failure::cause(error) {
            Cause::Locked => Self::Locked { path },
            Cause::DiskFull => Self::DiskFull { path, reason },
            Cause::Damaged => Self::Damaged { path, reason },
            Cause::Other => Self::Other { path, reason },
        }
    }

    pub(super) fn damaged(path: &Path, reason: impl ToString) -> Self {
        Self::Damaged { path: path.to_owned(), reason: reason.to_string() }
    }
}
