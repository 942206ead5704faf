//! What the proxy sees: propose writes, order reads, ask how things are.

use std::sync::Arc;
use std::time::Duration;

use adapter::snapshot::Digest;
use adapter::{Adapter, CommandBuffer, Health, Reply};
use conf::Consistency;
use serde::{Deserialize, Serialize};

use crate::backup::{Backups, Begun, TakeError};
use crate::checkpoint::DigestError;
pub use crate::error::{ProposeError, ReadError};
use crate::health::HealthView;
pub use crate::membership::change::{Change, ChangeError};
use crate::types::NodeId;

/// What became of a group of commands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Committed {
    /// The index of the log entry that holds them; 0 where there were none. A storage that has applied it shows them.
    pub index: u64,
    /// One reply for each command.
    pub replies: Vec<Reply>,
}

/// A node's part in its cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Orders all writes.
    Leader,
    /// Votes and follows.
    Follower,
    /// Stands for election.
    Candidate,
    /// Follows without a vote.
    Learner,
    /// Runs without a cluster.
    Standalone,
    /// Is on its way into its cluster: it opens its log, or waits for the other members.
    Starting,
    /// Was removed from its cluster, and cannot come back.
    Removed,
}

impl Role {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Leader => "leader",
            Self::Follower => "follower",
            Self::Candidate => "candidate",
            Self::Learner => "learner",
            Self::Standalone => "standalone",
            Self::Starting => "starting",
            Self::Removed => "removed",
        }
    }
}

/// How a node is, as it sees itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// Its id.
    pub id: NodeId,
    /// The cluster's id; empty if there is none.
    pub cluster_id: String,
    /// Its part.
    pub role: Role,
    /// `host:port` for clients.
    pub resp: String,
    /// `host:port` for nodes.
    pub raft: String,
    /// The current term.
    pub term: u64,
    /// The leader it follows.
    pub leader: Option<NodeId>,
    /// The index of the last entry in its log.
    pub last_log: u64,
    /// The index up to which its storage has applied.
    pub applied: u64,
    /// The index of its last snapshot; 0 for none.
    pub snapshot: u64,
    /// The index up to which the log is purged; 0 for nothing.
    pub purged: u64,
    /// Its storage.
    pub storage: Health,
    /// The kind of its storage, as in the configuration.
    pub storage_kind: String,
    /// The cluster version, as far as it has applied; 0 without a cluster.
    pub cluster_version: u16,
    /// The newest version whose forms its program knows; 0 of a program from before there were versions.
    pub newest_version: u16,
    /// Its program's version.
    pub program: String,
    /// Seconds since it started.
    pub uptime_seconds: u64,
    /// Its process id.
    pub process_id: u32,
}

/// One row of the cluster's table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MemberStatus {
    /// Its id.
    pub id: NodeId,
    /// Whether it votes.
    pub voter: bool,
    /// `host:port` for nodes, as the membership says.
    pub raft: String,
    /// `host:port` for clients, as the membership says; empty until the node has told it.
    pub resp: String,
    /// When a connection to it was last opened from here, Unix milliseconds; 0 for never.
    pub connected_ms: u64,
    /// What the node answered; none if it did not.
    pub node: Option<NodeStatus>,
}

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

/// A future in a box: one allocation for each *pipeline*, not each command.
pub type Boxed<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;

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
    /// Raises the cluster version to the newest that this program knows, if every member's program knows it; answers the
    /// cluster's version. On any node.
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
