//! How a node is, as it tells its peers and its operators.

use std::time::Instant;

use adapter::Health;
use conf::ClusterConfig;
use serde::{Deserialize, Serialize};

use crate::types::NodeId;
use crate::version;

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

impl NodeStatus {
    /// What a process says of itself, whatever its part: of a node without a log, and with no id.
    pub fn of_process(config: &ClusterConfig, storage: Health, started: Instant) -> Self {
        Self {
            id: 0,
            cluster_id: String::new(),
            role: Role::Standalone,
            resp: config.advertised_resp(),
            raft: config.advertised_raft(),
            term: 0,
            leader: None,
            last_log: 0,
            applied: 0,
            snapshot: 0,
            purged: 0,
            storage,
            storage_kind: config.storage.kind.name().to_owned(),
            cluster_version: 0,
            newest_version: version::newest(),
            program: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_seconds: started.elapsed().as_secs(),
            process_id: std::process::id(),
        }
    }
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
