//! What can be asked for, and what is answered.

use serde::{Deserialize, Serialize};

use crate::types::{NodeId, Peer};

/// A change of the members.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// A node comes in: as a learner, and once it has caught up as a voter.
    Add {
        /// Its id; 0 for one that was never used.
        id: NodeId,
        /// `host:port` of its Raft listener.
        raft: String,
        /// The node itself asks, and has no data.
        fresh: bool,
        /// Also if no node of this cluster, or of none, answers there.
        force: bool,
    },
    /// A member goes.
    Remove {
        /// Its id.
        id: NodeId,
        /// Also if no majority is left that answers.
        force: bool,
    },
    /// A node comes in, and takes a member's place in the moment in which it becomes a voter.
    Replace {
        /// Who goes.
        old: NodeId,
        /// Who comes; 0 for an id that was never used.
        new: NodeId,
        /// `host:port` of the Raft listener of who comes.
        raft: String,
        /// Also if no node of this cluster, or of none, answers there.
        force: bool,
    },
    /// A learner becomes a voter, once it has caught up.
    Promote {
        /// Its id.
        id: NodeId,
    },
    /// A voter becomes a learner, and stays one.
    Demote {
        /// Its id.
        id: NodeId,
        /// Also if no majority is left that answers.
        force: bool,
    },
}

/// Why there is no change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum ChangeError {
    /// Nobody leads who could be reached.
    #[error("no Raft leader")]
    NoLeader,
    /// The node asked belongs to no cluster.
    #[error("no Raft cluster")]
    NoCluster,
    /// It belongs to one already.
    #[error("it is a member of a cluster already")]
    AlreadyMember,
    /// Ids are never used twice.
    #[error("node id has already been used in this cluster")]
    IdUsed,
    /// There is no such member.
    #[error("node id does not exist")]
    NoSuchNode,
    /// There is one change at a time.
    #[error("a membership change is in progress: {0}")]
    Busy(String),
    /// It must not be, or cannot.
    #[error("{0}")]
    Refused(String),
    /// It may be done, now or later.
    #[error("not committed yet")]
    Unknown,
    /// It has begun for certain, and has not ended in the time that is waited for.
    #[error("the change goes on, but is not finished yet: {0}")]
    GoesOn(String),
    /// `RAFT.TRANSFER_LEADER`: no leader in time.
    #[error("transfer timed out")]
    TransferTimedOut,
    /// `RAFT.TRANSFER_LEADER`: another one than was asked for.
    #[error("different node elected leader")]
    DifferentLeader,
    /// The node is configured to belong to none.
    #[error("this node runs without a cluster (cluster.enabled = false)")]
    StandAlone,
    /// Whoever should be at the addresses named is not there: which address, and why.
    #[error("{0}")]
    Unreachable(String),
}

/// Why leadership was not transferred.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TransferError {
    #[error("no Raft leader")]
    NotLeader,
    #[error("node id does not exist")]
    NoSuchNode,
    #[error("node {0} is a learner: it cannot lead")]
    Learner(NodeId),
    #[error("there is no other voter that could lead")]
    NobodyElse,
    #[error("leadership is being transferred already")]
    InProgress,
    #[error("transfer timed out")]
    TimedOut,
    #[error("different node elected leader")]
    Different,
}

impl From<TransferError> for ChangeError {
    fn from(error: TransferError) -> Self {
        match error {
            TransferError::NotLeader => Self::NoLeader,
            TransferError::NoSuchNode => Self::NoSuchNode,
            TransferError::TimedOut => Self::TransferTimedOut,
            TransferError::Different => Self::DifferentLeader,
            other @ (TransferError::Learner(_) | TransferError::NobodyElse | TransferError::InProgress) => {
                Self::Refused(other.to_string())
            }
        }
    }
}

/// What a node that wants to join says of itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Join {
    /// Its id; 0 to be given one.
    pub(crate) id: NodeId,
    /// `host:port` of its Raft listener.
    pub(crate) raft: String,
    /// The newest version whose forms its program knows.
    pub(crate) newest_version: u16,
}

/// What it is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Joined {
    pub(crate) id: NodeId,
    pub(crate) cluster_id: String,
    /// The members, itself among them.
    pub(crate) members: Vec<(NodeId, Peer)>,
}

/// How a leader sees a member, for those that wait for a change to end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct View {
    pub(crate) members: Vec<NodeId>,
    pub(crate) voters: Vec<NodeId>,
    /// What is under way, as a phrase.
    pub(crate) pending: Option<String>,
}
