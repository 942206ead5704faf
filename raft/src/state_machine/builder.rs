//! A snapshot of what is applied, written to a file while writes go on.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::sync::Arc;

use adapter::{Adapter, Frozen};
use openraft::{AnyError, RaftSnapshotBuilder, Snapshot, StorageIOError};
use tokio::sync::OwnedMutexGuard;

use super::Shared;
use super::files::{self, Meta};
use super::mark::Mark;
use crate::TypeConfig;
use crate::types::{SnapshotFile, StorageError};

const BUFFER: usize = 1024 * 1024;

/// Builds one snapshot, in a task of its own.
pub struct SnapshotBuilder<A: Adapter> {
    pub(super) shared: Arc<Shared<A>>,
}

impl<A: Adapter> RaftSnapshotBuilder<TypeConfig> for SnapshotBuilder<A> {
    async fn build_snapshot(&mut self) -> Result<Snapshot<TypeConfig>, StorageError> {
        // The log up to the snapshot may be given up once it exists. So what the snapshot holds must be durable in
        // the storage too, or a crash would take the storage back to before the log begins.
        let turn = Arc::clone(&self.shared.turn).lock_owned().await;
        let durable = self.shared.adapter.flush().await.map_err(failed)?;
        let shared = Arc::clone(&self.shared);
        let written = tokio::task::spawn_blocking(move || write(&shared, turn, durable.index)).await;
        let (meta, snapshot) = written.map_err(failed)?.map_err(failed)?;
        self.shared.progress.send_if_modified(|progress| {
            let newer = progress.snapshot < meta.last_log_id;
            progress.snapshot = progress.snapshot.max(meta.last_log_id);
            newer
        });
        Ok(Snapshot { meta, snapshot: Box::new(snapshot) })
    }
}

/// Freezes the storage, lets writes go on, and writes the snapshot; answers the newest snapshot. An error is a
/// sentence.
fn write<A: Adapter>(
    shared: &Shared<A>,
    turn: OwnedMutexGuard<()>,
    durable: u64,
) -> Result<(Meta, SnapshotFile), String> {
    let frozen = shared.adapter.freeze().map_err(say)?;
    drop(turn);
    let mark = Mark::of(&frozen.applied().position)?;
    let frozen_at = frozen.applied().position.index;
    if frozen_at > durable {
        return Err(format!(
            "after a flush the storage is durable up to {durable} and applied up to {frozen_at}"
        ));
    }
    let meta = files::meta(&mark);
    let file = shared.files.unfinished(&meta);
    let mut out = BufWriter::with_capacity(BUFFER, File::create(&file.path).map_err(say)?);
    frozen.write(&mut out).map_err(say)?;
    out.flush().map_err(say)?;
    out.get_ref().sync_all().map_err(say)?;
    shared.files.publish(&meta, file).map_err(say)?;
    shared.files.newest().ok_or_else(|| "the snapshot is gone".to_owned())
}

fn say(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn failed(error: impl std::fmt::Display) -> StorageError {
    StorageIOError::write_snapshot(None, AnyError::error(error)).into()
}
