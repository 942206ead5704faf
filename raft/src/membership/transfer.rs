//! Leadership moves to a chosen member, in milliseconds.
//!
//! openraft 0.9 has no leader transfer, and its voters refuse candidates for as long as the lease of a leader that they
//! have heard runs. What ends a lease at once is a vote: so the leader, whose term is `T`,
//!
//! 1. takes nothing new on, answers what it has, and waits until the target has its whole log;
//! 2. gives way, and has the voters give way, to the vote `T + 1` for the target, which is not committed: a vote
//!    without a leader has no lease. From here on nobody leads; a voter that has given way refuses every append of
//!    term `T`;
//! 3. asks the target to stand. It stands with that very vote, so that the voters have it on disk already.
//!
//! **Why it is safe.** To give way is to grant a vote to a candidate whose log is complete, before it asks. No rule
//! of Raft is bent: the target still needs the grants of a quorum in `T + 1`, and who has given way grants nobody
//! else in that term but a higher one, as ever. If the target is gone by then, the next timeout elects somebody.
//! Reads that ask a quorum whether `T` still stands get a no from whoever has given way. The lease that reads may
//! rest on is revoked before step 2, because the followers are released from their promises in it.
//!
//! Requests of clients wait meanwhile: proposals stay in the queue, forwarded ones are sent again by their sender.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::change::TransferError;
use crate::elections::Elections;
use crate::leadership::Leadership;
use crate::lease::Lease;
use crate::log_store::LogStore;
use crate::network::{path, wire};
use crate::proposer::{Consensus, Proposer, Route};
use crate::read_index::Quorum;
use crate::types::{NodeId, Raft, Vote};

/// A target that lacks more entries than this is waited for before anything stops.
const NEAR: u64 = 2000;
/// How long what is under way may take to be answered, and the target to have the rest of the log: clients wait.
const QUIET_TIMEOUT: Duration = Duration::from_millis(1000);
/// How long the voters have to give way; those that do not are not needed, or refuse for as long as their lease runs.
const GIVE_WAY_TIMEOUT: Duration = Duration::from_millis(300);
/// How long the target has to win.
const ELECTION_TIMEOUT: Duration = Duration::from_millis(1000);
/// How often progress is looked at.
const LOOK: Duration = Duration::from_millis(2);

/// See the module.
pub(crate) struct Transfer<C> {
    id: NodeId,
    raft: Raft,
    log: LogStore,
    elections: Arc<Elections>,
    leadership: Leadership,
    proposer: Arc<Proposer<C>>,
    lease: Arc<Lease>,
    turn: Mutex<()>,
}

impl<C: Consensus> Transfer<C> {
    pub(crate) fn new(
        id: NodeId,
        raft: Raft,
        (log, elections): (LogStore, Arc<Elections>),
        leadership: Leadership,
        proposer: Arc<Proposer<C>>,
        lease: Arc<Lease>,
    ) -> Self {
        Self { id, raft, log, elections, leadership, proposer, lease, turn: Mutex::default() }
    }

    /// Makes `target`, or the voter that has most of the log, the leader. To be called on the leader.
    pub(crate) async fn run(
        &self,
        target: Option<NodeId>,
        patience: Duration,
    ) -> Result<NodeId, TransferError> {
        let _turn = self.turn.try_lock().map_err(|_| TransferError::InProgress)?;
        if self.leadership.route() != Route::Here {
            return Err(TransferError::NotLeader);
        }
        let target = match target {
            Some(target) => target,
            None => self.heirs().first().copied().ok_or(TransferError::NobodyElse)?,
        };
        self.check(target)?;
        if target == self.id {
            return Ok(target);
        }
        let deadline = Instant::now() + patience;
        timeout_at(deadline, self.near(target)).await.map_err(|_| TransferError::TimedOut)??;
        self.hand_over(target).await?;
        Ok(target)
    }

    /// The other voters, the one that has most of the log first.
    pub(crate) fn heirs(&self) -> Vec<NodeId> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        let Some(replication) = &metrics.replication else { return Vec::new() };
        let configs = metrics.membership_config.membership().get_joint_config();
        // In a joint configuration: those that stay.
        let voters = configs.last().cloned().unwrap_or_default();
        let mut heirs: Vec<_> = replication
            .iter()
            .filter(|(id, matched)| **id != self.id && matched.is_some() && voters.contains(*id))
            .collect();
        heirs.sort_by_key(|(id, matched)| (Reverse(**matched), **id));
        heirs.into_iter().map(|(id, _)| *id).collect()
    }

    fn check(&self, target: NodeId) -> Result<(), TransferError> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        let membership = metrics.membership_config.membership();
        if membership.get_node(&target).is_none() {
            return Err(TransferError::NoSuchNode);
        }
        if !membership.voter_ids().any(|voter| voter == target) {
            return Err(TransferError::Learner(target));
        }
        Ok(())
    }

    /// Entries that the target lacks.
    pub(crate) fn lag(&self, target: NodeId) -> Result<u64, TransferError> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        let replication = metrics.replication.as_ref().ok_or(TransferError::NotLeader)?;
        let matched = replication.get(&target).copied().flatten().map_or(0, |matched| matched.index);
        Ok(metrics.last_log_index.unwrap_or(0).saturating_sub(matched))
    }

    async fn near(&self, target: NodeId) -> Result<(), TransferError> {
        while self.lag(target)? > NEAR {
            sleep(LOOK).await;
        }
        Ok(())
    }

    async fn hand_over(&self, target: NodeId) -> Result<(), TransferError> {
        let began = Instant::now();
        let _paused = self.begin();
        let quiet = async {
            let quiet = self.proposer.quiesce().await;
            while self.lag(target)? > 0 {
                sleep(LOOK).await;
            }
            Ok::<_, TransferError>(quiet)
        };
        let _quiet = timeout(QUIET_TIMEOUT, quiet).await.map_err(|_| TransferError::TimedOut)??;
        let vote = self.raft.metrics().borrow().vote;
        if !vote.committed || vote.leader_id.node_id != self.id {
            return Err(TransferError::NotLeader);
        }
        // Nobody may be released from what was promised while a read could still rest on it.
        self.lease.revoke(vote);
        self.give_way(target, vote).await;
        let pool = self.leadership.peer(target).ok_or(TransferError::NoSuchNode)?;
        let asked = pool.call(path::ELECT, wire::encode_vote(&vote), Instant::now() + ELECTION_TIMEOUT).await;
        if let Err(error) = asked {
            tracing::info!(target, %error, "the chosen leader cannot be asked to stand");
        }
        let leader = timeout(ELECTION_TIMEOUT, self.next_leader()).await;
        let leader = leader.map_err(|_| TransferError::TimedOut)?;
        tracing::info!(node = self.id, leader, took = ?began.elapsed(), "leadership was transferred");
        if leader == target { Ok(()) } else { Err(TransferError::Different) }
    }

    /// From here until the answer is dropped, this node takes on no proposals and orders no reads.
    fn begin(&self) -> Paused<'_> {
        self.leadership.pause(true);
        Paused(&self.leadership)
    }

    /// Gives way to the target, and returns when a quorum has that can elect it.
    async fn give_way(&self, target: NodeId, gives_up: Vote) {
        let vote = Vote::new(gives_up.leader_id.term + 1, target);
        let configs = self.leadership.voters();
        let voters: Vec<NodeId> = configs.iter().flatten().copied().filter(|id| *id != target).collect();
        let mut quorum = Quorum::new(configs);
        quorum.grant(target);
        let mut giving = JoinSet::new();
        for voter in voters {
            let (raft, log, elections) = (self.raft.clone(), self.log.clone(), Arc::clone(&self.elections));
            let (pool, is_self) = (self.leadership.peer(voter), voter == self.id);
            giving.spawn(async move {
                let given = if is_self {
                    elections
                        .give_way(&raft, || log.current_vote().unwrap_or_default(), gives_up, vote)
                        .await
                        .unwrap_or(false)
                } else if let Some(pool) = pool {
                    let deadline = Instant::now() + GIVE_WAY_TIMEOUT;
                    let answer = pool.call(path::GIVE_WAY, wire::encode(&(gives_up, vote)), deadline).await;
                    answer.is_ok_and(|answer| answer[..] == [1])
                } else {
                    false
                };
                (voter, given)
            });
        }
        while !quorum.reached()
            && let Some(answer) = giving.join_next().await
        {
            if let Ok((voter, true)) = answer {
                quorum.grant(voter);
            }
        }
        // Whoever has not answered yet may still.
        giving.detach_all();
    }

    /// The next leader that is known of.
    async fn next_leader(&self) -> NodeId {
        let mut leadership = self.leadership.clone();
        loop {
            if let Route::To(leader) = leadership.route() {
                return leader;
            }
            if !leadership.changed().await {
                std::future::pending::<()>().await;
            }
        }
    }
}

/// Ends the pause when it is dropped.
struct Paused<'a>(&'a Leadership);

impl Drop for Paused<'_> {
    fn drop(&mut self) {
        self.0.pause(false);
    }
}
