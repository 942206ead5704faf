//! Questions and answers between nodes, besides those of Raft itself.
//!
//! Which path each belongs to is in [`crate::server`], and the form of the bodies in [`wire`](super::wire).

use std::collections::BTreeSet;

use adapter::CommandBuffer;
use serde::{Deserialize, Serialize};

use crate::committed::Committed;
use crate::data_id::DataId;
use crate::error::ProposeError;
use crate::read_index::Refused;
use crate::remote_clock::Reading;
use crate::status::NodeStatus;
use crate::types::{LogId, NodeId, Vote};

/// A node's answer to `/status`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct StatusReport {
    /// How the node is.
    pub(crate) status: NodeStatus,
    /// The index up to which this leader knows the asker's log to match its own; none if it has not heard of one.
    pub(crate) matched: Option<u64>,
    /// Whether this node leads and has applied an entry of its term.
    pub(crate) leads: bool,
    /// Whether the asker was a member of this leader's cluster, and is none any more.
    pub(crate) removed: bool,
}

/// A question: would you vote for me?
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PreVote {
    /// The vote that the asker would stand with.
    pub(crate) vote: Vote,
    /// The end of its log.
    pub(crate) last: Option<LogId>,
}

/// The answer to a [`PreVote`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PreVoteAnswer {
    pub(crate) granted: bool,
    /// Whether the asker is known to have been removed.
    pub(crate) removed: bool,
}

/// What a node answers to a member that says where it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Announced {
    /// The membership says so now.
    Committed,
    /// That node leads, or nobody that is known.
    LedBy(Option<NodeId>),
    /// Not now, or not at all.
    Refused(String),
}

/// What a node tells one that starts: how it is itself, and what it knows of the other. A node that is still opening
/// its data tells nothing: what it will turn out to be is not known, and it is waited for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Introduction {
    /// The answering node's data directory.
    pub(crate) data: DataId,
    /// Its vote.
    pub(crate) vote: Vote,
    /// How it is.
    pub(crate) stage: Stage,
    /// What it knows of the one that asks.
    pub(crate) asker: Asker,
}

/// How a node is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Stage {
    /// It has nothing but what its cluster begins with, and never had anything else.
    Empty {
        /// What that is.
        beginning: Beginning,
        /// Whether it takes part already.
        runs: bool,
    },
    /// It has been in a cluster.
    Member {
        /// Whether it leads, and has applied an entry of its term: then it has everything that was ever committed.
        leads: bool,
        /// The voters, as it knows them; two sets while they change.
        voters: Vec<BTreeSet<NodeId>>,
    },
}

/// What a cluster begins with. It must be the same for all that form it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Beginning {
    /// The ids of the members. Where each is reached may differ with where one looks from.
    pub(crate) members: BTreeSet<NodeId>,
    /// The backup, if it begins with one; else empty.
    pub(crate) origin: String,
    /// The index behind which the log begins.
    pub(crate) base: u64,
}

/// What is known of a node that asks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Asker {
    /// It was a member, and is none any more.
    pub(crate) removed: bool,
    /// The data directory with which it is a member; none if that is not recorded.
    pub(crate) data: Option<DataId>,
    /// The index up to which this leader knows its log to match the leader's own.
    pub(crate) matched: Option<u64>,
}

/// What the leader answers to each forwarded group.
pub(crate) type Answers = Vec<Result<Committed, ProposeError>>;

/// The whole of that answer: what its clock shows goes with it, for the deadlines of what is forwarded next.
pub(crate) type Proposed = (Answers, Reading);

/// A group that is forwarded, and when whoever waits for it will do so no longer, by the receiver's clock.
pub(crate) type Forwarded = (Reading, CommandBuffer);

/// What the leader answers to a question for its read index.
pub(crate) type ReadIndexAnswer = Result<u64, Refused>;

/// The body of a question for the read index for which the leader's lease is enough.
pub(crate) const BY_LEASE: u8 = 1;

/// A question to the leader: how many others have a log entry.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Replicated {
    /// The entry.
    pub(crate) index: u64,
    /// It is answered once there are this many, or
    pub(crate) wanted: u32,
    /// after this time.
    pub(crate) budget_ms: u32,
}
