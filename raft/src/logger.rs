//! What happens to a member, told in the log: one line for each event, with the fields `event`, `node`, `term` and `index`.
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

mod transition;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use adapter::Health;
use conf::Live;
use openraft::metrics::RaftDataMetrics;
use openraft::raft::{VoteRequest, VoteResponse};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use crate::leadership::Leadership;
use crate::types::{LogId, NodeId, Raft, ServerMetrics};
use transition::{Seen, Transition, transitions};

/// The target of the events, for `log.level`.
pub const TARGET: &str = "raft::events";

/// How often is looked at what changes all the time. A follower lags if it does so twice in a row.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// Tells a member's events.
#[derive(Clone, Copy, Debug)]
pub struct RaftLogger {
    node: NodeId,
}

/// One event; the message is for people, everything else for machines.
macro_rules! tell {
    ($level:ident, $event:literal, $node:expr, $term:expr, $index:expr, $message:literal $(, $($field:tt)+)?) => {
        tracing::$level!(
            target: TARGET, event = $event, node = $node, term = $term, index = $index, $($($field)+,)? $message
        )
    };
}

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

    /// Tells what openraft's metrics, and the health of the storage, change to. Ends with the consensus.
    pub(crate) fn watch(
        self,
        raft: &Raft,
        leadership: Leadership,
        config: Live,
        health: impl Fn() -> Health + Send + 'static,
    ) -> impl Future<Output = ()> + Send + 'static {
        let (server, data) = (raft.server_metrics(), raft.data_metrics());
        let standing = self.watch_standing(leadership, server.clone(), data.clone());
        let progress = self.watch_progress(server, data, config, health);
        async move {
            tokio::select! { () = standing => {}, () = progress => {} }
        }
    }

    async fn watch_standing(
        self,
        mut leadership: Leadership,
        server: watch::Receiver<ServerMetrics>,
        data: watch::Receiver<RaftDataMetrics<NodeId>>,
    ) {
        let mut before = Seen::of(&server.borrow(), leadership.leader());
        while leadership.changed().await {
            let now = Seen::of(&server.borrow(), leadership.leader());
            let last_log = data.borrow().last_log.map_or(0, |last| last.index);
            for transition in transitions(&before, &now) {
                self.transition(transition, last_log);
            }
            before = now;
        }
    }

    fn transition(self, transition: Transition, last_log: u64) {
        let node = self.node;
        match transition {
            Transition::ElectionStarted { term } => {
                tell!(info, "election_started", node, term, last_log, "this node stands for election");
            }
            Transition::ElectionWon { term } => {
                tell!(info, "election_won", node, term, last_log, "this node leads");
            }
            Transition::ElectionLost { term } => {
                tell!(info, "election_lost", node, term, last_log, "this node was not elected");
            }
            Transition::SteppedDown { term } => {
                tell!(warn, "stepped_down", node, term, last_log, "this node leads no more");
            }
            Transition::TermChanged { term } => {
                tell!(info, "term_changed", node, term, last_log, "a new term has begun");
            }
            Transition::LeaderChanged { term, leader, previous } => {
                tell!(info, "leader_changed", node, term, last_log, "there is a leader", leader, previous);
            }
            Transition::LeaderLost { term, previous } => {
                tell!(warn, "leader_lost", node, term, last_log, "there is no leader", previous);
            }
            Transition::MembershipChanged { log_id, voters, learners, joint } => {
                let (term, index) = place(log_id);
                tell!(
                    info, "membership_changed", node, term, index, "the members of the cluster have changed",
                    voters = ?voters, learners = ?learners, joint
                );
            }
        }
    }

    async fn watch_progress(
        self,
        server: watch::Receiver<ServerMetrics>,
        data: watch::Receiver<RaftDataMetrics<NodeId>>,
        config: Live,
        health: impl Fn() -> Health + Send + 'static,
    ) {
        let mut looks = interval(LOOK_INTERVAL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut purged = data.borrow().purged;
        let (mut lagging, mut suspects) = (BTreeSet::new(), BTreeSet::new());
        let mut was_ok = true;
        // openraft drops its side when it ends.
        while data.has_changed().is_ok() {
            looks.tick().await;
            let term = server.borrow().vote.leader_id().term;
            let data = data.borrow().clone();
            let last_log = data.last_log.map_or(0, |last| last.index);
            if data.purged > purged {
                purged = data.purged;
                let (term, index) = place(purged);
                tell!(info, "log_purged", self.node, term, index, "the log up to here is given up");
            }
            let bound = config.load().log.lagging_entries;
            self.followers(&data, bound, term, &mut lagging, &mut suspects);
            let Health { ok, detail, .. } = health();
            if ok != was_ok {
                was_ok = ok;
                let node = self.node;
                if ok {
                    tell!(info, "storage_ok", node, term, last_log, "the storage can be used", detail);
                } else {
                    tell!(warn, "storage_failed", node, term, last_log, "the storage cannot be used", detail);
                }
            }
        }
    }

    /// Followers of this leader. One that lags by half the bound or less has caught up.
    fn followers(
        self,
        data: &RaftDataMetrics<NodeId>,
        bound: u64,
        term: u64,
        lagging: &mut BTreeSet<NodeId>,
        suspects: &mut BTreeSet<NodeId>,
    ) {
        let last = data.last_log.map_or(0, |last| last.index);
        let mut seen = BTreeSet::new();
        for (follower, matched) in data.replication.iter().flatten().filter(|(id, _)| **id != self.node) {
            seen.insert(*follower);
            let index = matched.map_or(0, |matched| matched.index);
            let (follower, lag, node) = (*follower, last.saturating_sub(index), self.node);
            if lag >= bound && !lagging.contains(&follower) && !suspects.insert(follower) {
                lagging.insert(follower);
                tell!(warn, "follower_lagging", node, term, index, "a follower is far behind", follower, lag);
            }
            if lag < bound {
                suspects.remove(&follower);
            }
            if lag <= bound / 2 && lagging.remove(&follower) {
                tell!(
                    info,
                    "follower_caught_up",
                    node,
                    term,
                    index,
                    "a follower has caught up",
                    follower,
                    lag
                );
            }
        }
        // Who follows no more, or if this node leads no more, all.
        lagging.retain(|follower| seen.contains(follower));
        suspects.retain(|follower| seen.contains(follower));
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

fn place(log_id: Option<LogId>) -> (u64, u64) {
    log_id.map_or((0, 0), |log_id| (log_id.leader_id.term, log_id.index))
}

fn millis(took: Duration) -> u64 {
    u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
}
