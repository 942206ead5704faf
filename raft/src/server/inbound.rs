//! What the server asks of the node behind it.

use std::sync::Arc;

use crate::boxed::Boxed;
use crate::health::HealthMonitor;
use crate::membership::change::{Change, ChangeError, Join, Joined, View};
use crate::network::message::{
    Announced, Forwarded, Introduction, PreVote, PreVoteAnswer, Proposed, ReadIndexAnswer, Replicated,
    StatusReport,
};
use crate::network::traffic::Traffic;
use crate::state_machine::KeepError;
use crate::types::{NodeId, Peer, Raft, SnapshotFile, Vote};

/// This node's log is shorter than it has been: the node has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this node lacks log entries that it has acknowledged: it has stopped")]
pub(crate) struct ShorterLog;

/// What is served: a node, as its peers see it.
pub(crate) trait Inbound: Send + Sync + 'static {
    fn raft(&self) -> &Raft;
    /// The present vote, without asking openraft's core.
    fn vote(&self) -> Vote;
    /// An error, and the node's end, if the leader with this vote knows this node's log to have been further than it
    /// is.
    fn check_log(&self, leader: Vote, matched: u64) -> Result<(), ShorterLog>;
    /// What an asker that starts is told.
    fn introduction(&self, asker: NodeId) -> Introduction;
    /// Whether this node would vote for the asker.
    fn pre_vote(&self, asker: NodeId, question: &PreVote) -> PreVoteAnswer;
    /// Proposes commands that a follower has forwarded, before their deadlines or not at all; never forwards them
    /// again.
    fn propose(&self, groups: Vec<Forwarded>) -> Boxed<'_, Proposed>;
    /// The read index, if this node leads; `by_lease`: the leader's lease is enough.
    fn read_index(&self, by_lease: bool) -> Boxed<'_, ReadIndexAnswer>;
    /// How many others have a log entry, if this node leads.
    fn replicated(&self, question: Replicated) -> Boxed<'_, Option<u32>>;
    fn report(&self, asker: NodeId) -> StatusReport;
    fn health(&self) -> &HealthMonitor;
    fn traffic(&self, from: NodeId) -> Arc<Traffic>;
    /// What a member says of where it is reached.
    fn announced(&self, member: NodeId, place: Peer) -> Boxed<'_, Announced>;
    /// Lets a node in.
    fn join(&self, join: Join) -> Boxed<'_, Result<Joined, ChangeError>>;
    /// Takes a change on, if this node leads.
    fn change(&self, change: Change) -> Boxed<'_, Result<NodeId, ChangeError>>;
    /// Transfers leadership, if this node leads.
    fn transfer(&self, target: Option<NodeId>) -> Boxed<'_, Result<NodeId, ChangeError>>;
    /// Raises the cluster version, if this node leads.
    fn finalize_version(&self) -> Boxed<'_, Result<u16, ChangeError>>;
    /// How this node sees the members, if it leads.
    fn view(&self) -> Option<View>;
    /// Checks a snapshot that has arrived, and keeps it, before it is installed.
    fn keep_snapshot(&self, file: Box<SnapshotFile>) -> Boxed<'_, Result<Box<SnapshotFile>, KeepError>>;
}
