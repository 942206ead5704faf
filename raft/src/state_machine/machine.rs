//! What the state machine, its snapshot builders and what rebuilds the storage share.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use adapter::Adapter;
use bytes::Bytes;
use metrics::Histogram;
use tokio::sync::watch;

use super::files::Files;
use crate::applying::Applying;
use crate::checkpoint::Checkpointer;
use crate::log_store::LogReader;
use crate::logger::RaftLogger;
use crate::types::LogId;
use crate::watermark::Watermark;

/// How far the local storage is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The last applied entry: reads see it.
    pub applied: Option<LogId>,
    /// The last entry in the newest snapshot.
    pub snapshot: Option<LogId>,
}

/// See the module.
pub(super) struct Machine {
    pub(super) adapter: Arc<dyn Adapter>,
    /// The adapter has one writer at a time: whoever holds this. Not held while a snapshot is being written.
    pub(super) turn: Arc<tokio::sync::Mutex<()>>,
    pub(super) checkpointer: Arc<Checkpointer>,
    pub(super) files: Files,
    pub(super) log: LogReader,
    pub(super) logger: RaftLogger,
    /// What is handed over for application below this index has been applied, with a snapshot that was installed early.
    pub(super) restored: AtomicU64,
    /// How many snapshots have arrived.
    pub(super) taken: Arc<AtomicU64>,
    /// Stands in every snapshot.
    pub(super) cluster_id: Bytes,
    pub(super) progress: watch::Sender<Progress>,
    pub(super) watermark: Arc<Watermark>,
    pub(super) applying: Histogram,
    pub(super) busy: Arc<Applying>,
}
