//! What the proxy sees: propose writes, order reads, ask how things are.

use std::sync::Arc;
use std::time::Duration;

use adapter::snapshot::Digest;
use adapter::{Adapter, CommandBuffer};
use conf::Consistency;

use crate::backup::{Backups, Begun, TakeError};
use crate::boxed::Boxed;
use crate::checkpoint::DigestError;
use crate::committed::Committed;
pub use crate::error::{ProposeError, ReadError};
use crate::health::HealthView;
pub use crate::membership::change::{Change, ChangeError};
use crate::status::{MemberStatus, NodeStatus};
use crate::types::NodeId;

/// Where a client's command for the leader goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lead {
    /// This node leads.
    Here,
    /// Another node leads, and is reached by clients there (`host:port`).
    At(String),
    /// Nobody leads, or it is in doubt who does: the command waits here for a leader.
    Unsure,
}

/// The way to the storage, through a cluster or without one. Cheap to clone.
pub struct Handle(Arc<dyn Service>);

impl Clone for Handle {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// What a cluster node and a stand-alone node both offer. No method has a body here, so that the compiler names what an
/// implementation that passes calls on has forgotten.
pub trait Service: Send + Sync + 'static {
    /// Has the commands applied, in their order and next to each other, and answers one reply for each.
    fn propose(&self, commands: CommandBuffer) -> Boxed<'_, Result<Committed, ProposeError>>;
    /// When this answers, a read of the local storage keeps what the level promises. `seen` is the position that the
    /// session has seen.
    fn read_barrier(&self, consistency: Consistency, seen: u64) -> Boxed<'_, Result<(), ReadError>>;
    /// No read of the local storage that has ended has seen more of the log than up to this index.
    fn seen_upto(&self) -> u64;
    /// Waits until the local storage has applied a position, for at most this long; whether it has.
    fn wait_applied(&self, index: u64, timeout: Duration) -> Boxed<'_, bool>;
    /// Waits until `wanted` members besides the leader have the log entry at this index, for at most this long; how
    /// many are known to have it then.
    fn wait_replicated(&self, index: u64, wanted: usize, timeout: Duration) -> Boxed<'_, usize>;
    /// Waits until the log entry at this index, or its effects, are synced to this node's disk, for at most this
    /// long; whether they are.
    fn wait_synced(&self, index: u64, timeout: Duration) -> Boxed<'_, bool>;
    /// The time by which this node's reads see what has expired: that which a log entry would get now.
    fn now_ms(&self) -> u64;
    /// The local storage.
    fn adapter(&self) -> &dyn Adapter;
    /// How this node is.
    fn status(&self) -> NodeStatus;
    /// How all members are, each asked with a deadline of about a second.
    fn members(&self) -> Boxed<'_, Vec<MemberStatus>>;
    /// All links between the members, and what follows from them, as this node last knew.
    fn health_view(&self) -> HealthView;
    /// Sets the metrics that are looked up rather than counted.
    fn publish_metrics(&self);
    /// How all members are, as far as they say so within a moment: what clients are told of the cluster. A look that is
    /// younger than a tenth of a second is not repeated.
    fn glance(&self) -> Boxed<'_, Vec<MemberStatus>>;
    /// Who leads, if that is beyond doubt. Asks nobody.
    fn lead(&self) -> Lead;
    /// Has this node make a snapshot, beside everything else, where there is a log that it stands for.
    fn make_snapshot(&self) -> Boxed<'_, ()>;
    /// The digest of the content at exactly this index, which is waited for as long as a request may take.
    fn digest_at(&self, index: u64) -> Boxed<'_, Result<Digest, DigestError>>;
    /// Begins a snapshot that holds every write that was answered before the call.
    fn begin_backup(&self) -> Boxed<'_, Result<Begun, TakeError>>;
    /// The snapshots that have begun and are being read.
    fn backups(&self) -> &Backups;
    /// Changes the members, and waits for the end of that (of an addition, until the node is a learner). Answers the id
    /// of the node that it is about. On any node.
    fn change_membership(&self, change: Change) -> Boxed<'_, Result<NodeId, ChangeError>>;
    /// Has another voter lead: this one, or the one that has most of the log. Answers which. On any node.
    fn transfer_leadership(&self, target: Option<NodeId>) -> Boxed<'_, Result<NodeId, ChangeError>>;
    /// Makes a node without a cluster the first of a new one; answers the cluster's id.
    fn init_cluster(&self, id: Option<String>) -> Boxed<'_, Result<String, ChangeError>>;
    /// Brings a node without a cluster into the one of the first of these nodes (`host:port` of their Raft listeners)
    /// that lets it in.
    fn join_cluster(&self, seeds: Vec<String>) -> Boxed<'_, Result<(), ChangeError>>;
    /// Raises the cluster version to the newest that this program knows, if every member's program knows it; answers
    /// the cluster's version. On any node.
    fn finalize_version(&self) -> Boxed<'_, Result<u16, ChangeError>>;
    /// Hands leadership over where there is somebody to take it, flushes, stops. Writes are refused from the
    /// first moment on.
    fn shutdown(&self) -> Boxed<'_, ()>;
}

impl Handle {
    /// Wraps a service.
    pub fn new(service: Arc<dyn Service>) -> Self {
        Self(service)
    }
}

impl std::ops::Deref for Handle {
    type Target = dyn Service;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}
