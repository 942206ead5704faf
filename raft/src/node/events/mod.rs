//! What happens to a member, as seen from outside: in openraft's metrics and the health of the storage. What each event
//! says is in [`crate::logger`].

mod transition;

use std::collections::BTreeSet;
use std::time::Duration;

use adapter::Health;
use conf::Live;
use openraft::metrics::RaftDataMetrics;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use crate::leadership::Leadership;
use crate::logger::{RaftLogger, place, tell};
use crate::types::{NodeId, Raft, ServerMetrics};
use transition::{Seen, Transition, transitions};

/// How often is looked at what changes all the time. A follower lags if it does so twice in a row.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

impl RaftLogger {
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
}
