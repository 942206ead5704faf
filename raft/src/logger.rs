//! What happens to a member, told in the log: one line for each event, with the fields `event`, `node`, `term` and
//! `index`.
//!
//! The target of all of them is [`TARGET`]. `term` and `index` are those of what the event is about: the term of an
//! election and the end of this node's log, the log id of a membership, of a snapshot, or of the last entry purged.
//!
//! | event | level | it says | further fields |
//! |---|---|---|---|
//! | `election_started` | info | this node stands | |
//! | `election_won`, `election_lost` | info | how that ended | |
//! | `stepped_down` | warn | it leads no more | |
//! | `term_changed` | info | somebody has begun a new term | |
//! | `leader_changed`, `leader_lost` | info, warn | whom it follows | `leader`, `previous` |
//! | `vote_granted`, `vote_refused` | info | what it answered a candidate | `candidate`, `vote`, `last_log` |
//! | `membership_changed` | info | who belongs to the cluster | `voters`, `learners`, `joint` |
//! | `snapshot_begun`, `snapshot_made` | info | one of its own | `bytes`, `ms` |
//! | `snapshot_sending`, `snapshot_sent`, `snapshot_not_sent` | info, warn | one on its way to a follower | `to`, `bytes`, `ms`, `error` |
//! | `snapshot_received`, `snapshot_installed` | info | one of the leader's | `bytes` |
//! | `log_purged` | info | the log up to there is given up | |
//! | `follower_lagging`, `follower_caught_up` | warn, info | as the leader sees it; `log.lagging_entries` | `follower`, `lag` |
//! | `storage_failed`, `storage_ok` | warn, info | what the storage is able to | `detail` |

use std::path::Path;
use std::time::Duration;

use openraft::raft::{VoteRequest, VoteResponse};

use crate::types::{LogId, NodeId, Raft};

/// The target of the events, for `log.level`.
pub const TARGET: &str = "raft::events";

/// Tells a member's events.
#[derive(Clone, Copy, Debug)]
pub struct RaftLogger {
    pub(crate) node: NodeId,
}

/// One event; the message is for people, everything else for machines.
macro_rules! tell {
    ($level:ident, $event:literal, $node:expr, $term:expr, $index:expr, $message:literal $(, $($field:tt)+)?) => {
        tracing::$level!(
            target: $crate::logger::TARGET, event = $event, node = $node, term = $term, index = $index, $($($field)+,)? $message
        )
    };
}

pub(crate) use tell;

impl RaftLogger {
    /// For a node.
    pub const fn new(node: NodeId) -> Self {
        Self { node }
    }

    /// For the node that a consensus is of.
    pub fn of(raft: &Raft) -> Self {
        // Those of the server name it only once something has changed.
        Self::new(raft.metrics().borrow().id)
    }

    /// A candidate has asked for this node's vote.
    pub(crate) fn voted(self, asked: &VoteRequest<NodeId>, answer: &VoteResponse<NodeId>) {
        let (node, candidate) = (self.node, asked.vote.leader_id().voted_for());
        let term = asked.vote.leader_id().term;
        let index = asked.last_log_id.map_or(0, |last| last.index);
        let (vote, last_log) = (answer.vote, answer.last_log_id.map_or(0, |last| last.index));
        if answer.vote_granted {
            tell!(info, "vote_granted", node, term, index, "this node votes for another", candidate, %vote, last_log);
        } else {
            tell!(
                info, "vote_refused", node, term, index, "this node does not vote for a candidate",
                candidate, %vote, last_log
            );
        }
    }

    /// A snapshot of this node's storage is being written.
    pub(crate) fn snapshot_begun(self, at: Option<LogId>) {
        let (term, index) = place(at);
        tell!(info, "snapshot_begun", self.node, term, index, "a snapshot is being made");
    }

    /// It is there.
    pub(crate) fn snapshot_made(self, at: Option<LogId>, bytes: u64, took: Duration) {
        let (term, index) = place(at);
        let ms = millis(took);
        tell!(info, "snapshot_made", self.node, term, index, "a snapshot was made", bytes, ms);
    }

    /// A follower lacks what the log has no more.
    pub(crate) fn snapshot_sending(self, at: Option<LogId>, to: NodeId, file: &Path) {
        let (term, index) = place(at);
        // It is only told: who sends it finds out whether it is there.
        let bytes = std::fs::metadata(file).map_or(0, |file| file.len());
        tell!(info, "snapshot_sending", self.node, term, index, "a snapshot is being sent", to, bytes);
    }

    /// The follower has it, or not.
    pub(crate) fn snapshot_sent<E: std::fmt::Display>(
        self,
        at: Option<LogId>,
        to: NodeId,
        took: Duration,
        result: Result<(), E>,
    ) {
        let (node, ms) = (self.node, millis(took));
        let (term, index) = place(at);
        match result {
            Ok(()) => tell!(info, "snapshot_sent", node, term, index, "a snapshot was sent", to, ms),
            Err(error) => {
                tell!(warn, "snapshot_not_sent", node, term, index, "a snapshot was not sent", to, ms, %error);
            }
        }
    }

    /// A snapshot of the leader has arrived.
    pub(crate) fn snapshot_received(self, at: Option<LogId>, bytes: u64) {
        let (term, index) = place(at);
        tell!(info, "snapshot_received", self.node, term, index, "a snapshot has arrived", bytes);
    }

    /// The storage holds what was in it.
    pub(crate) fn snapshot_installed(self, at: Option<LogId>) {
        let (term, index) = place(at);
        tell!(info, "snapshot_installed", self.node, term, index, "a snapshot is installed");
    }
}

/// The term and the index of a log id; zeros for none.
pub(crate) fn place(log_id: Option<LogId>) -> (u64, u64) {
    log_id.map_or((0, 0), |log_id| (log_id.leader_id.term, log_id.index))
}

fn millis(took: Duration) -> u64 {
    u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
}
