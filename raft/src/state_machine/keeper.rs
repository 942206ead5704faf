//! Keeps what has been received of a leader, before openraft hears of it.
//!
//! openraft gives up the log below a snapshot at once, while the snapshot is still to be installed. A crash between the
//! two would leave a node with neither. So a snapshot is checked whole and made this node's newest first; a node that
//! is behind its newest snapshot is restored from that when it starts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use adapter::snapshot::survey;

use super::machine::Machine;
use super::mark::{Mark, MarkError};
use super::{files, stream};
use crate::types::SnapshotFile;

/// Why a snapshot is not kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeepError {
    #[error(transparent)]
    Unusable(#[from] adapter::StorageError),
    #[error(transparent)]
    Position(#[from] MarkError),
    #[error(transparent)]
    Version(#[from] crate::version::TooNew),
    #[error("it cannot be put in its place: {0}")]
    File(#[from] std::io::Error),
    #[error("its check has ended early: {0}")]
    Ended(#[from] tokio::task::JoinError),
}

/// Takes received snapshots in.
pub(crate) struct Keeper {
    pub(super) shared: Arc<Machine>,
}

impl Clone for Keeper {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl Keeper {
    /// Counts the snapshots that have arrived, each before openraft hears of it.
    pub(crate) fn taken(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.shared.taken)
    }

    /// Checks a file, which is synced, and makes it the newest snapshot, unless there is a newer one. Answers the
    /// file in its new place.
    pub(crate) async fn keep(&self, file: Box<SnapshotFile>) -> Result<Box<SnapshotFile>, KeepError> {
        let shared = Arc::clone(&self.shared);
        shared.taken.fetch_add(1, Ordering::AcqRel);
        tokio::task::spawn_blocking(move || {
            let survey = survey(stream::open(&file.path, &shared.cluster_id)?)?;
            let mark = Mark::of(&survey.header.applied.position)?;
            crate::version::check(mark.version)?;
            let newest = shared.files.newest().and_then(|(meta, _)| meta.last_log_id);
            if newest >= mark.applied {
                return Ok(file);
            }
            shared.files.publish(&files::meta(&mark), *file)?;
            let kept = shared.files.newest().map(|(_, kept)| Box::new(kept));
            kept.ok_or_else(|| std::io::Error::other("it is gone").into())
        })
        .await?
    }
}
