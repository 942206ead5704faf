//! A snapshot of what is applied, written to a file while writes go on.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use openraft::{AnyError, RaftSnapshotBuilder, Snapshot, StorageIOError};
use tokio::sync::OwnedMutexGuard;

use super::files::{self, Meta};
use super::machine::Machine;
use super::mark::{Mark, MarkError};
use crate::TypeConfig;
use crate::types::{SnapshotFile, StorageError};

const BUFFER: usize = 1024 * 1024;
/// The pause before a snapshot is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Builds one snapshot, in a task of its own.
pub struct SnapshotBuilder {
    pub(super) shared: Arc<Machine>,
}

/// Why there is no snapshot.
#[derive(Debug, thiserror::Error)]
enum BuildError {
    #[error(transparent)]
    Storage(#[from] adapter::StorageError),
    #[error(transparent)]
    File(#[from] std::io::Error),
    #[error(transparent)]
    Position(#[from] MarkError),
    #[error(transparent)]
    Ended(#[from] tokio::task::JoinError),
    #[error("after a flush the storage is durable up to {durable} and applied up to {applied}")]
    NotDurable { durable: u64, applied: u64 },
    #[error("the snapshot is gone")]
    Gone,
}

impl BuildError {
    /// Whether it may be tried again: the storage is another process, and that is not there, or has lost its data.
    fn is_passing(&self) -> bool {
        use adapter::StorageError::{Away, Lost};
        matches!(self, Self::Storage(Away(_) | Lost(_)))
    }
}

impl RaftSnapshotBuilder<TypeConfig> for SnapshotBuilder {
    async fn build_snapshot(&mut self) -> Result<Snapshot<TypeConfig>, StorageError> {
        let (meta, snapshot) = loop {
            let began = Instant::now();
            match self.build().await {
                Ok(built) => {
                    metrics::histogram!("raft_proxy_snapshot_make_duration_seconds").record(began.elapsed());
                    break built;
                }
                Err(error) if error.is_passing() => {
                    metrics::counter!("raft_proxy_snapshot_make_failures_total").increment(1);
                    tracing::warn!(%error, "a snapshot could not be made, and is tried again");
                    tokio::time::sleep(RETRY).await;
                }
                Err(error) => {
                    return Err(StorageIOError::write_snapshot(None, AnyError::new(&error)).into());
                }
            }
        };
        self.shared.progress.send_if_modified(|progress| {
            let newer = progress.snapshot < meta.last_log_id;
            progress.snapshot = progress.snapshot.max(meta.last_log_id);
            newer
        });
        Ok(Snapshot { meta, snapshot: Box::new(snapshot) })
    }
}

impl SnapshotBuilder {
    async fn build(&self) -> Result<(Meta, SnapshotFile), BuildError> {
        // The log up to the snapshot may be given up once it exists. So what the snapshot holds must be durable in
        // the storage too, or a crash would take the storage back to before the log begins.
        let turn = self.turn_between_uploads().await?;
        let durable = self.shared.adapter.flush().await?;
        let shared = Arc::clone(&self.shared);
        tokio::task::spawn_blocking(move || write(&shared, turn, durable.index)).await?
    }
}

impl SnapshotBuilder {
    /// The turn, at a moment when no commands are there in part: whoever begins with the snapshot would lack the rest.
    async fn turn_between_uploads(&self) -> Result<OwnedMutexGuard<()>, BuildError> {
        let mut progress = self.shared.progress.subscribe();
        loop {
            let turn = Arc::clone(&self.shared.turn).lock_owned().await;
            let mark = Mark::of(&self.shared.adapter.applied().position)?;
            if mark.upload.is_none() {
                return Ok(turn);
            }
            drop(turn);
            // The other end is kept as long as this.
            let _ = progress.changed().await;
        }
    }
}

/// Takes a snapshot of the storage, lets writes go on, and writes the snapshot; answers the newest snapshot.
fn write(
    shared: &Machine,
    turn: OwnedMutexGuard<()>,
    durable: u64,
) -> Result<(Meta, SnapshotFile), BuildError> {
    let content = shared.adapter.snapshot()?;
    drop(turn);
    let mark = Mark::of(&content.applied().position)?;
    let taken_at = content.applied().position.index;
    if taken_at > durable {
        return Err(BuildError::NotDurable { durable, applied: taken_at });
    }
    let began = Instant::now();
    shared.logger.snapshot_begun(mark.applied);
    let meta = files::meta(&mark);
    let file = shared.files.unfinished(&meta);
    let mut out = BufWriter::with_capacity(BUFFER, File::create(&file.path)?);
    content.write(mark.origin(shared.cluster_id.clone()), &mut out)?;
    out.flush()?;
    out.get_ref().sync_all()?;
    let bytes = out.get_ref().metadata()?.len();
    metrics::gauge!("raft_proxy_snapshot_bytes").set(bytes as f64);
    adapter::failpoint::reached("snapshot-written");
    shared.files.publish(&meta, file)?;
    shared.logger.snapshot_made(mark.applied, bytes, began.elapsed());
    shared.files.newest().ok_or(BuildError::Gone)
}
