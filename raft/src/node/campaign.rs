//! When a node stands for election.
//!
//! openraft's own timer is off: it raises the term as soon as a follower has heard no leader for a while, and a node
//! that comes back from a partition would depose a leader that is well. Here a node asks first, in a *pre-vote*:
//! would you vote for me, if I stood with this log? The answer is no while the one that is asked leads or has a
//! leader, or has more of the log. Only with a quorum of yeses the node stands, by openraft's own election. Asking
//! changes nothing anywhere, so nothing rests on it but the peace: it is the election that decides.
//!
//! The follower whose timer ends first may be one that lacks the newest entries. So a voter that is asked by a
//! candidate whose log is shorter than its own, and has no leader, stands at once. The same if it meets such a
//! candidate in an election.
//!
//! A node that was removed, while it was away or before it had heard of the last step, cannot hear of it from the log
//! any more. It hears of it here: from anybody who has applied its removal, because no id is ever used again.
//! Learners ask for that alone.
//!
//! What the node has promised to leaders is kept in [`crate::elections`].

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use openraft::ServerState;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout_at};

use crate::elections::Elections;
use crate::leadership::Leadership;
use crate::log_store::LogStore;
use crate::network::message::{PreVote, PreVoteAnswer};
use crate::network::{path, wire};
use crate::read_index::Quorum;
use crate::types::{NodeId, Raft, Vote};

/// How often the timer is looked at.
const TICK: Duration = Duration::from_millis(20);
/// How often a node stands against one candidate. The first try can meet the candidate's own vote, which may be the
/// higher one of the same term; the second is of the next term.
const TRIES: u32 = 3;
/// Longer than an exchange between two nodes and the two fsyncs in it mostly take.
const BETWEEN_TRIES: Duration = Duration::from_millis(60);
/// Several that meet one candidate stand at different moments.
const JITTER: Duration = Duration::from_millis(20);
/// The wait before a node that was told no asks again: whoever said so may only have heard the leader a little later.
const ASK_AGAIN: Duration = Duration::from_millis(100);
/// How long the others have to answer, once somebody has said no.
const AFTER_DENIAL: Duration = Duration::from_millis(50);

/// What a pre-vote brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Poll {
    Granted,
    /// Somebody says no, and there are too few others.
    Denied,
    /// Too few answer.
    Unheard,
    /// This node was removed.
    Removed,
}

/// What became of a try to stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tried {
    /// It stands, or there was no reason to.
    Settled,
    /// It was told that it would not be elected now.
    Denied,
    /// openraft has ended.
    Ended,
}

/// A node that may stand.
pub(crate) struct Campaign {
    pub(crate) id: NodeId,
    pub(crate) elections: Arc<Elections>,
    pub(crate) raft: Raft,
    pub(crate) log: LogStore,
    pub(crate) leadership: Leadership,
    /// The node gives up leading, for now or for good.
    pub(crate) yielding: Arc<AtomicBool>,
    /// Whether a node was removed, as far as this one has applied the log.
    pub(crate) has_lost: Box<dyn Fn(NodeId) -> bool + Send + Sync>,
}

impl Campaign {
    /// Answers another node's question.
    pub(crate) fn answer(&self, asker: NodeId, question: &PreVote) -> PreVoteAnswer {
        let removed = (self.has_lost)(asker);
        let leads = self.raft.server_metrics().borrow().state.is_leader();
        let has_leader = leads || self.elections.has_leader();
        let last = self.log.last_log_id();
        if !has_leader && !removed && question.last < last {
            self.elections.lesser_candidate(question.vote);
        }
        PreVoteAnswer { granted: !has_leader && !removed && question.last >= last, removed }
    }

    /// Stands when it is time to. For ever.
    pub(super) async fn run(self: Arc<Self>) {
        let elections = &self.elections;
        let mut lesser = elections.lesser_candidates();
        // A leader from before this node started may live: its lease runs.
        let (mut vote, mut since) = (self.log.current_vote(), Instant::now());
        let (mut wait, mut not_before) = (elections.draw(), since);
        loop {
            let met = tokio::select! {
                changed = lesser.changed() => if changed.is_ok() { *lesser.borrow_and_update() } else { return },
                () = sleep(TICK) => None,
            };
            elections.notice_silence();
            if let Some(candidate) = met {
                self.stand_against(candidate).await;
                continue;
            }
            let present = self.log.current_vote();
            if present != vote {
                (vote, since, wait) = (present, Instant::now(), elections.draw());
            }
            if !self.may_stand() && !self.is_learner() {
                continue;
            }
            // Its own log may say so, and then nobody need be asked.
            if self.is_learner() && !elections.is_removed() && (self.has_lost)(self.id) {
                self.note_removal();
            }
            let lease = if vote.is_some_and(|vote| vote.committed) {
                elections.longest_timeout()
            } else {
                Duration::ZERO
            };
            let quiet_since = elections.last_heard().map_or(since, |heard| heard.max(since));
            let is_due = self.is_only_voter() || quiet_since.elapsed() >= lease + wait;
            if !is_due || Instant::now() < not_before {
                continue;
            }
            wait = elections.draw();
            not_before = match self.stand().await {
                Tried::Settled => Instant::now() + wait,
                Tried::Denied => Instant::now() + ASK_AGAIN,
                Tried::Ended => return,
            };
        }
    }

    async fn stand_against(&self, candidate: Vote) {
        sleep(JITTER.mul_f64(rand::random())).await;
        for _ in 0..TRIES {
            let vote = self.log.current_vote().unwrap_or_default();
            // This node has stood above the candidate already, or voted for a better one.
            let decided = vote.partial_cmp(&candidate).is_none_or(|order| order.is_gt());
            if decided || self.elections.has_leader() || !self.may_stand() {
                return;
            }
            tracing::info!(%candidate, "a candidate's log is behind this node's: standing for election");
            if self.stand().await == Tried::Ended {
                return;
            }
            sleep(BETWEEN_TRIES).await;
        }
    }

    /// Asks, and stands if a quorum would vote for this node.
    async fn stand(&self) -> Tried {
        match self.ask().await {
            Poll::Granted => {}
            Poll::Denied => return Tried::Denied,
            Poll::Unheard => return Tried::Settled,
            Poll::Removed => {
                self.note_removal();
                return Tried::Settled;
            }
        }
        if !self.may_stand() {
            return Tried::Settled;
        }
        tracing::info!(node = self.id, "a quorum has no leader either: standing for election");
        match self.elections.stand_for_election(&self.raft).await {
            Ok(()) => Tried::Settled,
            Err(_) => Tried::Ended,
        }
    }

    fn note_removal(&self) {
        if !self.elections.set_removed() {
            tracing::error!(
                node = self.id,
                "this node has been removed from its cluster: stop it. To have it in the cluster again, let it join with \
                 a new id and an empty data directory"
            );
        }
    }

    /// Asks all voters, and waits for no more of them than it needs: one that hangs must not delay the next try.
    async fn ask(&self) -> Poll {
        let term = self.log.current_vote().map_or(0, |vote| vote.leader_id.term);
        let question = PreVote { vote: Vote::new(term + 1, self.id), last: self.log.last_log_id() };
        let (body, configs) = (wire::encode(&question), self.leadership.voters());
        let mut asking = JoinSet::new();
        let mut others: BTreeSet<NodeId> = configs.iter().flatten().copied().collect();
        others.remove(&self.id);
        let now = tokio::time::Instant::now;
        let deadline = now() + self.elections.shortest_timeout();
        for node in others.iter().copied() {
            let (pool, body) = (self.leadership.peer(node), body.clone());
            asking.spawn(async move {
                let answer = async { pool?.call(path::PRE_VOTE, body, deadline).await.ok() }.await;
                (node, answer.and_then(|answer| wire::decode::<PreVoteAnswer>(&answer).ok()))
            });
        }
        let mut granted = Quorum::new(configs);
        granted.grant(self.id);
        let (mut without, mut until) = (Poll::Unheard, deadline);
        loop {
            if granted.reached() {
                return Poll::Granted;
            }
            let Ok(Some(Ok((node, answer)))) = timeout_at(until, asking.join_next()).await else {
                return without;
            };
            match answer {
                Some(answer) if answer.granted => granted.grant(node),
                Some(answer) if answer.removed => return Poll::Removed,
                // The missing one may be the leader, which hangs.
                Some(_) => (without, until) = (Poll::Denied, until.min(now() + AFTER_DENIAL)),
                None => {}
            }
        }
    }

    fn may_stand(&self) -> bool {
        let metrics = self.raft.server_metrics();
        let metrics = metrics.borrow();
        let voter = metrics.membership_config.membership().voter_ids().any(|id| id == self.id);
        let stands = matches!(metrics.state, ServerState::Follower | ServerState::Candidate);
        voter && stands && !self.yielding.load(Ordering::Acquire)
    }

    /// A learner does not stand, and asks all the same: whether it is still one.
    fn is_learner(&self) -> bool {
        let state = self.raft.server_metrics().borrow().state;
        state == ServerState::Learner && !self.yielding.load(Ordering::Acquire)
    }

    fn is_only_voter(&self) -> bool {
        self.leadership.voters().iter().all(|config| config.len() == 1 && config.contains(&self.id))
    }
}
