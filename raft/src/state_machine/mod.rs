//! Committed entries onto an [`Adapter`]; snapshots of it.
//!
//! | module | what it says |
//! |---|---|
//! | [`mark`] | log id and membership, kept with the data |
//! | [`machine`] | what the state machine, its snapshot builders and what rebuilds the storage share |
//! | [`prepared`] | committed entries, made ready to be applied |
//! | [`pieces`] | commands that came in pieces, put together |
//! | [`files`] | the snapshots directory |
//! | [`builder`] | a snapshot, written while writes go on |
//! | [`keeper`] | a snapshot that was received, kept before anything else is done with it |
//! | [`rebuild`] | a storage that has lost data is given all of it again |
//! | [`stream`] | a snapshot of this cluster, to be installed |
//!
//! The position is the adapter's: it is stored with the effects, so there is no second place that could disagree
//! with it after a crash. Any failure here is fatal to the node; it must not guess what took effect.

mod builder;
pub(crate) mod files;
mod keeper;
mod machine;
mod mark;
mod pieces;
mod prepared;
mod rebuild;
mod stream;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use adapter::{Adapter, Batch};
use bytes::Bytes;
use openraft::storage::RaftStateMachine;
use openraft::{AnyError, EntryPayload, OptionalSend, Snapshot, SnapshotMeta, StorageIOError};
use tokio::sync::watch;

use self::files::Files;
use self::machine::Machine;
pub use self::machine::Progress;
pub(crate) use self::mark::Mark;
pub use self::mark::MarkError;
use self::pieces::Pieces;
use self::prepared::Prepared;
use crate::TypeConfig;
use crate::applying::Applying;
use crate::checkpoint::Checkpointer;
use crate::log_store::LogReader;
use crate::logger::RaftLogger;
use crate::types::{Entry, LogId, NodeId, Peer, Replies, SnapshotFile, StorageError, StoredMembership};
use crate::version;
use crate::watermark::Watermark;

pub use self::builder::SnapshotBuilder;
pub(crate) use self::keeper::{KeepError, Keeper};
pub use self::rebuild::Rebuilder;

/// A run is closed at this many bytes of batches: a reader waits for at most that much to be applied at once.
const MAX_RUN_BYTES: usize = 8 * 1024 * 1024;

/// The state machine cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The snapshots directory cannot be used.
    #[error("the snapshots in {} cannot be used: {source}", path.display())]
    Snapshots {
        /// The snapshots directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The storage's position is not one that this program stored.
    #[error("the storage does not belong to a Raft log: {0}")]
    Position(#[from] MarkError),
    /// The data is of a cluster whose forms this program does not know.
    #[error(transparent)]
    Version(#[from] version::TooNew),
    /// The log does not give what the position needs of it.
    #[error("the Raft log cannot be read: {0}")]
    Log(Box<StorageError>),
    /// The storage is behind the newest snapshot and could not be brought up to it.
    #[error("the newest snapshot cannot be restored: {0}")]
    Restore(adapter::StorageError),
}

/// Applies committed entries to an adapter.
pub struct KiwiStateMachine {
    shared: Arc<Machine>,
    mark: Mark,
    pieces: Pieces,
}

impl KiwiStateMachine {
    /// Puts an adapter under a Raft log, with snapshots in `<data_dir>/snapshots`. A storage that is behind the
    /// newest snapshot, as one in memory is after a restart, is restored from it.
    pub async fn open(
        adapter: Arc<dyn Adapter>,
        data_dir: &Path,
        cluster_id: &str,
        log: LogReader,
    ) -> Result<Self, OpenError> {
        let path = data_dir.join("snapshots");
        let snapshots = |source| OpenError::Snapshots { path: path.clone(), source };
        let files = Files::open(path.clone()).map_err(snapshots)?;
        let newest = files.newest();
        let mut applied = adapter.applied();
        let found = Mark::of(&applied.position)?;
        let snapshot = newest.as_ref().and_then(|(meta, _)| meta.last_log_id);
        if let Some((meta, file)) = newest.filter(|(meta, _)| meta.last_log_id > found.applied) {
            tracing::info!(snapshot = %meta, "the storage is behind the newest snapshot and is restored from it");
            let stream = stream::open(&file.path, cluster_id.as_bytes()).map_err(OpenError::Restore)?;
            applied = adapter.install(Box::new(stream)).await.map_err(OpenError::Restore)?;
        }
        let mark = Mark::of(&applied.position)?;
        version::check(mark.version)?;
        let pieces = Pieces::of(&mark, &log).await.map_err(|error| OpenError::Log(Box::new(error)))?;
        let watermark = Arc::<Watermark>::default();
        watermark.raise(applied.position.index);
        let (progress, _) = watch::channel(Progress { applied: mark.applied, snapshot });
        let (turn, cluster_id) = (Arc::default(), Bytes::copy_from_slice(cluster_id.as_bytes()));
        let checkpointer = Arc::new(Checkpointer::new(Arc::clone(&adapter), Arc::clone(&turn)));
        Ok(Self {
            shared: Arc::new(Machine {
                adapter,
                turn,
                checkpointer,
                files,
                logger: RaftLogger::new(log.node_id()),
                log,
                restored: AtomicU64::new(0),
                taken: Arc::default(),
                cluster_id,
                progress,
                watermark,
                applying: metrics::histogram!("raft_proxy_apply_log_duration_seconds"),
                busy: Arc::default(),
            }),
            mark,
            pieces,
        })
    }

    /// Tells how far the storage is, and every change of it. A reader that waits for an index wakes up when it is
    /// applied.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.shared.progress.subscribe()
    }

    /// What reads may have seen.
    pub(crate) fn watermark(&self) -> Arc<Watermark> {
        Arc::clone(&self.shared.watermark)
    }

    /// Whether a run takes long.
    pub(crate) fn busy(&self) -> Arc<Applying> {
        Arc::clone(&self.shared.busy)
    }

    /// What is applied, and who the members are there.
    pub(crate) fn mark(&self) -> &Mark {
        &self.mark
    }

    /// What rebuilds the storage when it has lost data.
    pub fn rebuilder(&self) -> Rebuilder {
        Rebuilder { shared: Arc::clone(&self.shared) }
    }

    /// What takes received snapshots in.
    pub(crate) fn keeper(&self) -> Keeper {
        Keeper { shared: Arc::clone(&self.shared) }
    }

    /// Fixes the content between two runs.
    pub(crate) fn checkpointer(&self) -> Arc<Checkpointer> {
        Arc::clone(&self.shared.checkpointer)
    }

    /// Applies one run and answers its replies, one list per entry.
    async fn apply_run(
        &mut self,
        entries: Vec<Entry>,
        replies: &mut Vec<Replies>,
    ) -> Result<(), StorageError> {
        let prepared = Prepared::new(entries, &mut self.mark, &mut self.pieces);
        let unprepared =
            |error| StorageError::from(StorageIOError::write_state_machine(AnyError::error(error)));
        let Some(Prepared { run, last, has_batch }) = prepared.map_err(unprepared)? else { return Ok(()) };
        let failed = |error: AnyError| StorageError::from(StorageIOError::apply(last, error));
        let (expected, began) = (run.batches.len(), Instant::now());
        let _running = self.shared.busy.begin();
        self.shared.watermark.raise(last.index);
        let applied = loop {
            if last.index < self.shared.restored.load(Ordering::Acquire) {
                // Only a follower is given a snapshot: nobody waits for these replies.
                replies.extend(has_batch.iter().map(|_| Replies::default()));
                return Ok(());
            }
            match self.shared.adapter.apply(run.clone()).await {
                Ok(applied) => break applied,
                Err(adapter::StorageError::Lost(reason)) => {
                    let rebuilt = rebuild::rebuild(&self.shared, &reason).await;
                    rebuilt.map_err(|error| failed(AnyError::new(&error)))?;
                }
                Err(error) => return Err(failed(AnyError::new(&error))),
            }
        };
        if applied.len() != expected {
            let error =
                format!("the storage answered {} lists of replies to {expected} batches", applied.len());
            return Err(failed(AnyError::error(error)));
        }
        let mut applied = applied.into_iter();
        replies.extend(has_batch.into_iter().map(|has_batch| {
            let list = if has_batch { applied.next() } else { None };
            Replies(list.unwrap_or_default())
        }));
        let staged = self.pieces.stage(&*self.shared.adapter).await;
        staged.map_err(|error| failed(AnyError::new(&error)))?;
        self.shared.applying.record(began.elapsed());
        self.shared.checkpointer.reached(last.index);
        self.shared.progress.send_modify(|progress| progress.applied = Some(last));
        Ok(())
    }
}

/// The bytes of an entry's batch.
fn bytes(entry: &Entry) -> usize {
    match &entry.payload {
        EntryPayload::Normal(batch) => Batch::raw(batch).len(),
        EntryPayload::Blank | EntryPayload::Membership(_) => 0,
    }
}

impl RaftStateMachine<TypeConfig> for KiwiStateMachine {
    type SnapshotBuilder = SnapshotBuilder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), StorageError> {
        let mark = Mark::of(&self.shared.adapter.applied().position);
        let mark = mark.map_err(|error| StorageIOError::read_state_machine(AnyError::error(error)))?;
        Ok((mark.applied, mark.membership))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<Replies>, StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let turn = Arc::clone(&self.shared.turn);
        let _turn = turn.lock().await;
        let mut replies = Vec::new();
        let (mut run, mut run_bytes) = (Vec::new(), 0);
        for entry in entries {
            let more = bytes(&entry);
            if run_bytes > 0 && run_bytes + more > MAX_RUN_BYTES {
                self.apply_run(std::mem::take(&mut run), &mut replies).await?;
                run_bytes = 0;
            }
            run_bytes += more;
            let is_awaited = self.shared.checkpointer.is_awaited(entry.log_id.index);
            run.push(entry);
            if is_awaited {
                self.apply_run(std::mem::take(&mut run), &mut replies).await?;
                run_bytes = 0;
            }
        }
        self.apply_run(run, &mut replies).await?;
        Ok(replies)
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder {
        SnapshotBuilder { shared: Arc::clone(&self.shared) }
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<SnapshotFile>, StorageError> {
        let incoming = self.shared.files.incoming();
        let incoming =
            incoming.map_err(|error| StorageIOError::write_snapshot(None, AnyError::new(&error)))?;
        Ok(Box::new(incoming))
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta<NodeId, Peer>,
        snapshot: Box<SnapshotFile>,
    ) -> Result<(), StorageError> {
        let failed = |error: AnyError| {
            StorageError::from(StorageIOError::write_snapshot(Some(meta.signature()), error))
        };
        let turn = Arc::clone(&self.shared.turn);
        let _turn = turn.lock().await;
        let began = Instant::now();
        let stream = stream::open(&snapshot.path, &self.shared.cluster_id);
        let stream = stream.map_err(|error| failed(AnyError::new(&error)))?;
        stream.sync_all().map_err(|error| failed(AnyError::new(&error)))?;
        self.shared.watermark.raise(meta.last_log_id.map_or(0, |last| last.index));
        let installed = self
            .shared
            .adapter
            .install(Box::new(stream))
            .await
            .map_err(|error| failed(AnyError::new(&error)))?;
        let mark = Mark::of(&installed.position).map_err(|error| failed(AnyError::error(error)))?;
        if mark.applied != meta.last_log_id {
            let error =
                format!("the snapshot was announced for {:?} and is of {:?}", meta.last_log_id, mark.applied);
            return Err(failed(AnyError::error(error)));
        }
        // Only what the stream itself says: two nodes' descriptions of the same snapshot are the same.
        let published = self.shared.files.publish(&files::meta(&mark), *snapshot);
        published.map_err(|error| failed(AnyError::new(&error)))?;
        metrics::histogram!("raft_proxy_snapshot_install_duration_seconds").record(began.elapsed());
        let applied = mark.applied;
        // No snapshot is made while an upload is under way.
        (self.mark, self.pieces) = (mark, Pieces::default());
        self.shared.logger.snapshot_installed(applied);
        self.shared.checkpointer.reached(applied.map_or(0, |applied| applied.index));
        self.shared.progress.send_modify(|progress| {
            *progress = Progress { applied, snapshot: progress.snapshot.max(applied) };
        });
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<TypeConfig>>, StorageError> {
        let newest = self.shared.files.newest();
        Ok(newest.map(|(meta, snapshot)| Snapshot { meta, snapshot: Box::new(snapshot) }))
    }
}
