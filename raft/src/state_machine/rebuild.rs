//! Giving a storage again what it has lost: the newest snapshot, and the log behind it.
//!
//! The log is only ever purged up to a snapshot, so the two together hold everything. Meanwhile the storage is at an
//! earlier position than reads have seen, and refuses them. After a crash in the middle it is simply behind, and
//! openraft applies the log again from where it is.

use std::io::Cursor;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use adapter::Applied;
use adapter::snapshot::{Header, SnapshotWriter};
use openraft::RaftLogReader;

use super::machine::Machine;
use super::mark::{Mark, MarkError};
use super::pieces::Pieces;
use super::prepared::Prepared;
use super::stream;
use crate::types::StorageError;

/// The pause after a failure.
const RETRY: Duration = Duration::from_secs(5);

/// Why a storage could not be given everything again.
#[derive(Debug, thiserror::Error)]
pub(super) enum RebuildError {
    #[error(transparent)]
    Storage(#[from] adapter::StorageError),
    #[error(transparent)]
    Position(#[from] MarkError),
    #[error("the log cannot be read: {0}")]
    Log(#[from] StorageError),
    #[error("neither the newest snapshot nor the log has the entry at index {0}")]
    Gap(u64),
}

/// Rebuilds the storage whenever it is found to have lost data.
pub struct Rebuilder {
    pub(super) shared: Arc<Machine>,
}

impl Rebuilder {
    /// For ever.
    pub async fn run(self) {
        loop {
            let reason = self.shared.adapter.lost().await;
            let rebuilt = {
                let _turn = self.shared.turn.lock().await;
                rebuild(&self.shared, &reason).await
            };
            if let Err(error) = rebuilt {
                tracing::error!(%error, "the storage cannot be rebuilt");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

/// Brings the storage from the newest snapshot to where it was. The caller has the turn.
pub(super) async fn rebuild(shared: &Machine, reason: &str) -> Result<(), RebuildError> {
    let goal = shared.progress.borrow().applied;
    tracing::warn!(reason, ?goal, "the storage is rebuilt from the newest snapshot and the log");
    shared.adapter.set_rebuilding(true);
    let mut log = shared.log.clone();
    let (mut mark, mut pieces) = (install(shared).await?, Pieces::default());
    while mark.applied < goal {
        let next = mark.applied.map_or(0, |applied| applied.index + 1);
        let end = goal.map_or(next, |goal| goal.index + 1);
        let entries = log.limited_get_log_entries(next, end).await?;
        let Some(Prepared { run, .. }) = Prepared::new(entries, &mut mark, &mut pieces)? else {
            // A snapshot has arrived meanwhile, and the log below it is gone.
            let before = mark.applied;
            (mark, pieces) = (install(shared).await?, Pieces::default());
            if mark.applied <= before {
                return Err(RebuildError::Gap(next));
            }
            continue;
        };
        match shared.adapter.apply(run).await {
            Ok(_) => adapter::failpoint::reached("rebuild-applied"),
            Err(adapter::StorageError::Lost(reason)) => {
                tracing::warn!(reason, "the storage has lost data again");
                (mark, pieces) = (install(shared).await?, Pieces::default());
            }
            Err(error) => return Err(error.into()),
        }
    }
    if mark.applied > goal {
        let restored = mark.applied.map_or(0, |applied| applied.index + 1);
        shared.restored.store(restored, Ordering::Release);
    }
    shared.adapter.set_rebuilding(false);
    tracing::info!(?goal, "the storage has been rebuilt");
    Ok(())
}

/// Takes the storage back to the newest snapshot, or to the beginning of the log.
async fn install(shared: &Machine) -> Result<Mark, RebuildError> {
    let installed: Applied = match shared.files.newest() {
        Some((meta, file)) => {
            shared.watermark.raise(meta.last_log_id.map_or(0, |last| last.index));
            shared.adapter.install(Box::new(stream::open(&file.path, &shared.cluster_id)?)).await?
        }
        None => {
            let (nothing, _) = SnapshotWriter::new(Vec::new(), &Header::default())?.finish()?;
            shared.adapter.install(Box::new(Cursor::new(nothing))).await?
        }
    };
    Ok(Mark::of(&installed.position)?)
}
