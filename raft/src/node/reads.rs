//! Read barriers of a member, one for each level.
//!
//! | level | what is waited for |
//! |---|---|
//! | linearizable | a round of [`crate::read_index`], and the apply of its index |
//! | lease | the same, where the leader's [`crate::lease`] stands for the round |
//! | session | the apply of what the session has seen |
//! | bounded | nothing, if [`Freshness`] is within the bound; else a round |
//! | eventual | nothing |

use std::sync::Arc;
use std::time::Duration;

use conf::{Consistency, Live};
use openraft::CommittedLeaderId;
use tokio::sync::{Mutex, Notify, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::measures::RoundMeasures;
use crate::boot_clock;
use crate::error::ReadError;
use crate::freshness::Freshness;
use crate::leadership::{Leadership, Patience};
use crate::lease::Lease;
use crate::log_store::LogStore;
use crate::network::{message, path, wire};
use crate::proposer::Route;
use crate::read_index::{Index, Quorum, ReadIndex, Refused, Survey};
use crate::state_machine::Progress;
use crate::types::{NodeId, Vote};
use crate::watermark::Watermark;

/// A peer that has not answered by then is not waited for alone any more.
const PATIENCE: Duration = Duration::from_millis(10);
/// A peer that has not answered by then does not answer.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(1);
/// A leader that has not answered by then is asked again: the question may have been lost on its way.
const ASK_TIMEOUT: Duration = Duration::from_secs(1);
/// The wait before a round is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(10);
/// A read whose bound has passed waits for a round as long as its bound is, but at least this long.
const LEAST_PATIENCE: Duration = Duration::from_millis(100);

/// What may answer for the leader that it still leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proof {
    Quorum,
    Lease,
}

/// See the module.
pub(crate) struct Reads {
    id: NodeId,
    leadership: Leadership,
    log: LogStore,
    progress: watch::Receiver<Progress>,
    watermark: Arc<Watermark>,
    index: ReadIndex,
    survey: Mutex<Survey>,
    lease: Arc<Lease>,
    freshness: Freshness,
    /// The content is to be shown to be fresh before somebody needs it.
    refresh: Notify,
    measures: RoundMeasures,
    config: Live,
}

impl Reads {
    pub(crate) fn new(
        id: NodeId,
        leadership: Leadership,
        log: LogStore,
        (progress, watermark): (watch::Receiver<Progress>, Arc<Watermark>),
        lease: Arc<Lease>,
        config: Live,
    ) -> Arc<Self> {
        Arc::new(Self {
            id,
            leadership,
            log,
            progress,
            watermark,
            index: ReadIndex::default(),
            survey: Mutex::new(Survey::new(PATIENCE)),
            lease,
            freshness: Freshness::default(),
            refresh: Notify::new(),
            measures: RoundMeasures::new(),
            config,
        })
    }

    /// How long a read may take to be ordered.
    fn timeout(&self) -> Duration {
        self.config.load().raft.request_timeout
    }

    /// Runs the rounds. For ever.
    pub(crate) async fn run(self: Arc<Self>) {
        tokio::join!(
            self.index.leader.run(|| self.measures.round(self.leader_round())),
            self.index.follower.run(|| self.follower_round(Proof::Quorum)),
            self.index.follower_by_lease.run(|| self.follower_round(Proof::Lease)),
            self.refresh(),
        );
    }

    /// Returns once a read of the local storage keeps what the level promises; `seen` is the position that the
    /// session has seen.
    pub(crate) async fn barrier(&self, consistency: Consistency, seen: u64) -> Result<(), ReadError> {
        match consistency {
            Consistency::Linearizable => self.ordered_in_time(Proof::Quorum).await,
            Consistency::Lease => self.ordered_in_time(Proof::Lease).await,
            Consistency::Session if self.wait_applied(seen, self.timeout()).await => Ok(()),
            Consistency::Session => Err(ReadError::NotApplied(seen)),
            Consistency::Bounded(bound) => self.fresh(bound).await,
            Consistency::Eventual => Ok(()),
        }
    }

    /// Waits until an index is applied; whether it is in time.
    pub(crate) async fn wait_applied(&self, index: u64, patience: Duration) -> bool {
        self.applied_upto() >= index || timeout(patience, self.applied(index)).await.is_ok()
    }

    /// The index up to which the local storage has applied.
    pub(crate) fn applied_upto(&self) -> u64 {
        applied_index(&self.progress.borrow())
    }

    /// No read of the local storage has seen anything above this index.
    pub(crate) fn seen_upto(&self) -> u64 {
        self.watermark.index()
    }

    async fn fresh(&self, bound: Duration) -> Result<(), ReadError> {
        if let Some(age) = self.freshness.age().filter(|age| *age <= bound) {
            if age > bound / 2 {
                self.refresh.notify_one();
            }
            return Ok(());
        }
        let patience = bound.max(LEAST_PATIENCE).min(self.timeout());
        match timeout(patience, self.ordered(Proof::Quorum)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => {
                Err(ReadError::Stale(u64::try_from(bound.as_millis()).unwrap_or(u64::MAX)))
            }
        }
    }

    /// Has a round begin whenever one is due, so that bounded reads need not wait for theirs. For ever.
    async fn refresh(&self) {
        loop {
            self.refresh.notified().await;
            // Whoever needs it and does not find it asks again, and is told why there is none.
            let _ = timeout(self.timeout(), self.ordered(Proof::Quorum)).await;
        }
    }

    async fn ordered_in_time(&self, proof: Proof) -> Result<(), ReadError> {
        let deadline = Instant::now() + self.timeout();
        match timeout_at(deadline, self.ordered(proof)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(ReadError::NoQuorum),
            Err(_) if self.leadership.route() == Route::Nowhere => Err(ReadError::NoLeader),
            Err(_) => Err(ReadError::NoQuorum),
        }
    }

    /// The read index, if this node leads; `by_lease`: its lease is enough.
    pub(crate) async fn leader_index(&self, by_lease: bool) -> Index {
        match self.leadership.route() {
            Route::Here => self.index_here(if by_lease { Proof::Lease } else { Proof::Quorum }).await,
            Route::To(_) | Route::Nowhere => Err(Refused::NotLeader),
        }
    }

    async fn index_here(&self, proof: Proof) -> Index {
        if proof == Proof::Lease
            && let Some(index) = self.leased()
        {
            return Ok(index);
        }
        self.index.leader.next().await
    }

    /// The read index, if this node's lease shows that it leads.
    fn leased(&self) -> Option<u64> {
        // In this order: what anybody can have been shown by the time of the clock is at most the mark of before,
        // unless another leads by then; and a vote for another is written down before it is given.
        let (vote, index) = self.standing().ok()?;
        let (index, now) = (index?, boot_clock::now()?);
        let holds = self.lease.holds(vote, &self.leadership.voters(), now);
        (holds && self.log.current_vote() == Some(vote)).then_some(index)
    }

    async fn ordered(&self, proof: Proof) -> Result<(), Refused> {
        let began = boot_clock::now();
        loop {
            let index = match (self.leadership.route(), proof) {
                (Route::Here, _) => self.index_here(proof).await,
                (Route::To(_), Proof::Quorum) => self.index.follower.next().await,
                (Route::To(_), Proof::Lease) => self.index.follower_by_lease.next().await,
                (Route::Nowhere, _) => Err(Refused::NotLeader),
            };
            match index {
                Ok(index) => {
                    self.applied(index).await;
                    if proof == Proof::Quorum {
                        self.freshness.shown(began);
                    }
                    return Ok(());
                }
                Err(Refused::NoQuorum) => return Err(Refused::NoQuorum),
                Err(Refused::NotLeader) => sleep(RETRY_PAUSE).await,
            }
        }
    }

    async fn applied(&self, index: u64) {
        let reached = |progress: &Progress| applied_index(progress) >= index;
        if !reached(&self.progress.borrow()) {
            // The sender lives as long as the state machine; without one the deadline of the caller ends this.
            if self.progress.clone().wait_for(reached).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// The vote and the read index, if this node may lead reads now: no index until an entry of its own term is
    /// applied.
    fn standing(&self) -> Result<(Vote, Option<u64>), Refused> {
        let vote = self.log.current_vote().filter(|vote| vote.committed).ok_or(Refused::NotLeader)?;
        if vote.leader_id.node_id != self.id || self.leadership.route() != Route::Here {
            return Err(Refused::NotLeader);
        }
        let own = CommittedLeaderId::new(vote.leader_id.term, vote.leader_id.node_id);
        let applied = self.progress.borrow().applied.filter(|applied| applied.leader_id == own);
        Ok((vote, applied.map(|applied| applied.index.max(self.watermark.index()))))
    }

    async fn leader_round(&self) -> Index {
        let deadline = Instant::now() + self.timeout();
        while Instant::now() < deadline {
            if let (vote, Some(index)) = self.standing()?
                && self.confirmed(vote).await
            {
                return Ok(index);
            }
            // Either the first entry of the term is not applied yet, or its vote has not reached a quorum.
            sleep(RETRY_PAUSE).await;
        }
        Err(Refused::NoQuorum)
    }

    async fn confirmed(&self, vote: Vote) -> bool {
        let configs = self.leadership.voters();
        let mut peers: Vec<NodeId> = configs.iter().flatten().copied().filter(|id| *id != self.id).collect();
        peers.sort_unstable();
        peers.dedup();
        let mut quorum = Quorum::new(configs);
        quorum.grant(self.id);
        let body = wire::encode_vote(&vote);
        let ask = |node| {
            let (pool, body) = (self.leadership.peer(node), body.clone());
            async move {
                let Some(pool) = pool else { return false };
                let answer = pool.call(path::CONFIRM, body, Instant::now() + CONFIRM_TIMEOUT).await;
                answer.is_ok_and(|answer| answer[..] == [1])
            }
        };
        self.survey.lock().await.run(quorum, &peers, ask).await
    }

    async fn follower_round(&self, proof: Proof) -> Index {
        let Route::To(leader) = self.leadership.route() else { return Err(Refused::NotLeader) };
        let body = if proof == Proof::Lease { vec![message::BY_LEASE] } else { Vec::new() };
        let deadline = Instant::now() + self.timeout().min(ASK_TIMEOUT);
        // Whoever waits asks the next leader as soon as there is one.
        match self.leadership.ask(leader, (path::READ_INDEX, body), deadline, Patience::NONE).await {
            Ok(answer) => wire::decode(&answer).unwrap_or(Err(Refused::NotLeader)),
            // Asking is safe to repeat, whatever became of it.
            Err(_) => Err(Refused::NotLeader),
        }
    }
}

pub(crate) fn applied_index(progress: &Progress) -> u64 {
    progress.applied.map_or(0, |applied| applied.index)
}
