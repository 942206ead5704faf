//! Why a node cannot start.

use crate::identity::IdentityError;
use crate::network::credentials::CredentialsError;
use crate::types::NodeId;

/// Why a node cannot start. Nothing that was there has been written over.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration cannot be used.
    #[error("{0}")]
    Config(String),
    /// The data directory is not this node's.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The cluster id cannot be said to other nodes.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The Raft log cannot be opened.
    #[error(transparent)]
    Log(#[from] crate::log_store::OpenError),
    /// The storage or the snapshots cannot be opened.
    #[error(transparent)]
    StateMachine(#[from] crate::state_machine::OpenError),
    /// openraft cannot start.
    #[error("Raft cannot start: {0}")]
    Raft(String),
    /// The other members do not know this node.
    #[error(
        "the other members refuse this node: {reason}; check cluster.id, cluster.secret and cluster.members"
    )]
    Stranger {
        /// What one of them said.
        reason: String,
    },
    /// Its data is lost.
    #[error(
        "node {node} has an empty log, or one that begins with a backup, but {how}: its data is lost. \
         Under this id it could undo writes that were acknowledged. Put its data directory back as it was, or remove the \
         node (RAFT.NODE REMOVE {node}) and let it join with an empty data directory and a new id"
    )]
    Wiped {
        /// This node.
        node: NodeId,
        /// How that is known.
        how: String,
    },
    /// Its data is of an earlier time.
    #[error(
        "the data directory of node {node} is an older copy, or not its own: {how}. With it this node could undo writes that \
         were acknowledged. Put its newest data directory back, or remove the node (RAFT.NODE REMOVE {node}) and let it join \
         with an empty data directory and a new id"
    )]
    OlderCopy {
        /// This node.
        node: NodeId,
        /// How that is known.
        how: String,
    },
    /// Another founder has another cluster in mind.
    #[error(
        "node {node} does not begin with what this node begins with: {how}. Members form a cluster only together: give all the \
         same cluster.members, and restore all from the same backup, or none"
    )]
    OtherBeginning {
        /// The other one.
        node: NodeId,
        /// What differs.
        how: String,
    },
    /// Between storage and log something is missing.
    #[error(
        "the storage has what was applied up to index {applied}, the Raft log begins behind index {begins_behind}, and there is no \
         snapshot of what lies between: this node's data is not complete. Put its data directory back as it was, or remove \
         the node from the cluster (RAFT.NODE REMOVE) and let it join with an empty data directory and a new id"
    )]
    Gap {
        /// How far the storage is.
        applied: u64,
        /// What the log no longer has.
        begins_behind: u64,
    },
    /// Storage and log are not of one node.
    #[error(
        "the storage has applied another entry at index {applied} than the Raft log has there: they do not belong together. \
         Put the data directory back as it was, or remove the node from the cluster (RAFT.NODE REMOVE) and let it \
         join with an empty data directory and a new id"
    )]
    OtherHistory {
        /// How far the storage is.
        applied: u64,
    },
    /// It was a member once.
    #[error(
        "node {node} was removed from its cluster: an id is never used again. Start it with an empty data directory and \
         another node.id, and let it join"
    )]
    Removed {
        /// This node.
        node: NodeId,
    },
    /// Its log is gone.
    #[error(
        "the data directory holds what a member has left, but its Raft log is empty: it is lost. Under its id this node could \
         undo writes that were acknowledged. Put its data directory back as it was, or remove the node from the cluster \
         (RAFT.NODE REMOVE) and let it join with an empty data directory and a new id"
    )]
    Lost,
}
