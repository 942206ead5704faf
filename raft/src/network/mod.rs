//! Nodes talking over HTTP/1.1 with binary bodies.
//!
//! | module | what it says |
//! |---|---|
//! | [`credentials`] | what every request must prove, and the check of it |
//! | [`body`] | outgoing bodies: slices sent as they are, or a stream |
//! | [`pool`] | kept-alive connections to one peer, and one call over them |
//! | [`peers`] | who is reached where |
//! | [`traffic`] | what goes to a peer and comes from it, counted |
//! | [`wire`] | the form of the bodies |
//! | [`client`] | openraft's way to a peer |
//! | [`snapshot`] | a snapshot's way from file to file |
//! | [`server`] | what a peer may ask of this node |
//!
//! Every request names the cluster, the sender and the target and carries the cluster's secret. A stranger gets
//! 401 and nothing else; a member of another cluster 409; somebody who looks for another node 421.

pub mod client;
pub mod peers;
pub mod server;

pub(crate) mod body;
pub(crate) mod credentials;
pub(crate) mod pool;
pub(crate) mod snapshot;
pub(crate) mod traffic;
pub(crate) mod wire;

/// The paths that a node serves; all with `POST`.
pub mod path {
    /// AppendEntries.
    pub const APPEND: &str = "/raft/append";
    /// RequestVote.
    pub const VOTE: &str = "/raft/vote";
    /// Whether the peer would vote for the sender.
    pub const PRE_VOTE: &str = "/raft/pre-vote";
    /// A whole snapshot.
    pub const SNAPSHOT: &str = "/raft/snapshot";
    /// How much of a snapshot has arrived already.
    pub const SNAPSHOT_OFFSET: &str = "/raft/snapshot/offset";
    /// Whether a vote is still the highest that the peer has seen.
    pub const CONFIRM: &str = "/raft/confirm";
    /// Commands for the leader.
    pub const PROPOSE: &str = "/forward/propose";
    /// The leader's read index.
    pub const READ_INDEX: &str = "/forward/read-index";
    /// How many others have a log entry.
    pub const REPLICATED: &str = "/forward/replicated";
    /// Where the sender is reached.
    pub const ANNOUNCE: &str = "/raft/announce";
    /// How the node is and what it knows of the sender, which starts.
    pub const WORD: &str = "/word";
    /// How the node is.
    pub const STATUS: &str = "/status";
    /// What the node knows of all links, for what the sender knows of them.
    pub const HEALTH: &str = "/health";
    /// A node without a cluster asks to be let into this one: it has the secret, and does not know the cluster's id.
    pub const JOIN: &str = "/membership/join";
    /// A change of the members, for the leader.
    pub const CHANGE: &str = "/membership/change";
    /// How the leader sees the members.
    pub const MEMBERSHIP: &str = "/membership";
    /// A transfer of leadership, for the leader.
    pub const TRANSFER: &str = "/membership/transfer";
    /// A leader that goes has the node drop its lease, in favour of the vote in the body.
    pub const GIVE_WAY: &str = "/raft/give-way";
    /// A leader that goes asks the node to stand for election.
    pub const ELECT: &str = "/raft/elect";
}
