//! Why a write has no reply, and why a read could not be ordered.

use serde::{Deserialize, Serialize};

/// Why a write has no reply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum ProposeError {
    /// Not done: there is no leader that could be reached.
    #[error("no Raft leader")]
    NoLeader,
    /// Not done: this node belongs to no cluster yet.
    #[error("no Raft cluster")]
    NoCluster,
    /// Not done: the bound on bytes in flight is reached.
    #[error("too many writes are waiting to be committed")]
    Busy,
    /// Not done: the node is going down.
    #[error("this node is shutting down")]
    ShuttingDown,
    /// Unknown: it may or may not be done, now or later.
    #[error("not committed yet")]
    Unknown,
    /// Not done: this node is about to belong to a cluster.
    #[error("no Raft cluster (joining now)")]
    Joining,
}

/// Why a read could not be ordered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum ReadError {
    /// No leader could be reached.
    #[error("no Raft leader")]
    NoLeader,
    /// This node belongs to no cluster yet.
    #[error("no Raft cluster")]
    NoCluster,
    /// The leader could not confirm in time that it leads, or this node is too far behind it.
    #[error("no quorum for read")]
    NoQuorum,
    /// This node has not applied in time what the session has seen.
    #[error("this node has not applied index {0} yet")]
    NotApplied(u64),
    /// What this node has may be older than the bound of the read, and nobody could tell it better in time.
    #[error("this node may be behind the leader by more than {0} ms")]
    Stale(u64),
    /// This node is about to belong to a cluster.
    #[error("no Raft cluster (joining now)")]
    Joining,
}
