//! Nodes talking over HTTP/1.1 with binary bodies.
//!
//! | module | what it says |
//! |---|---|
//! | [`secret`] | keys made from the secret, and what proves that somebody has one |
//! | [`version`] | which version of all this two nodes speak |
//! | [`credentials`] | who a node is, and what it asks of others |
//! | [`handshake`] | how two nodes prove to each other who they are, before anything else is said |
//! | [`gate`] | the Raft port's door: strangers, and those who have proved themselves |
//! | [`body`] | outgoing bodies: slices sent as they are, or a stream |
//! | [`pool`] | kept-alive connections to one peer, and one call over them |
//! | [`peers`] | who is reached where |
//! | [`traffic`] | what goes to a peer and comes from it, counted |
//! | [`wire`] | the form of the bodies |
//! | [`client`] | openraft's way to a peer |
//! | [`message`] | questions and answers between nodes, besides those of Raft itself |
//! | [`snapshot`] | a snapshot's way from file to file |
//!
//! What a node answers is in [`crate::server`].
//!
//! A connection begins with the handshake, in which both sides prove that they know the secret without saying it, and
//! name the cluster, the caller and whom it looks for. What comes after it is HTTP/1.1, and needs no proof any more.

pub mod client;
pub mod fuzz;
pub mod peers;

pub(crate) mod body;
pub(crate) mod credentials;
pub(crate) mod gate;
pub(crate) mod handshake;
pub(crate) mod matched;
pub(crate) mod message;
pub(crate) mod pool;
pub(crate) mod secret;
pub(crate) mod snapshot;
pub(crate) mod traffic;
pub(crate) mod version;
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
    pub const INTRODUCTION: &str = "/introduction";
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
    /// A raise of the cluster version, for the leader.
    pub const FINALIZE: &str = "/membership/finalize";
    /// A leader that goes has the node drop its lease, in favour of the vote in the body.
    pub const GIVE_WAY: &str = "/raft/give-way";
    /// A leader that goes asks the node to stand for election.
    pub const ELECT: &str = "/raft/elect";
}
