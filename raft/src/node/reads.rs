//! Read barriers of a member: the rounds of [`crate::read_index`] over the network.

use std::sync::Arc;
use std::time::Duration;

use openraft::CommittedLeaderId;
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, sleep, timeout_at};

use super::consensus::Leadership;
use crate::handle::ReadError;
use crate::log_store::LogStore;
use crate::network::{path, wire};
use crate::proposer::Route;
use crate::read_index::{Index, Quorum, ReadIndex, Refused, Survey};
use crate::state_machine::Progress;
use crate::types::{NodeId, Vote};

/// A peer that has not answered by then is not waited for alone any more.
const PATIENCE: Duration = Duration::from_millis(10);
/// A peer that has not answered by then does not answer.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(1);
/// The wait before a round is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(10);

/// See the module.
pub(crate) struct Reads {
    id: NodeId,
    leadership: Leadership,
    log: LogStore,
    progress: watch::Receiver<Progress>,
    index: ReadIndex,
    survey: Mutex<Survey>,
    timeout: Duration,
}

impl Reads {
    pub(crate) fn new(
        id: NodeId,
        leadership: Leadership,
        log: LogStore,
        progress: watch::Receiver<Progress>,
        timeout: Duration,
    ) -> Arc<Self> {
        let survey = Mutex::new(Survey::new(PATIENCE));
        Arc::new(Self { id, leadership, log, progress, index: ReadIndex::default(), survey, timeout })
    }

    /// Runs the rounds. For ever.
    pub(crate) async fn run(self: Arc<Self>) {
        tokio::join!(
            self.index.leader.run(|| self.leader_round()),
            self.index.follower.run(|| self.follower_round())
        );
    }

    /// Returns once the local storage holds every write that was answered before the call.
    pub(crate) async fn barrier(&self) -> Result<(), ReadError> {
        let deadline = Instant::now() + self.timeout;
        match timeout_at(deadline, self.ordered()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(ReadError::NoQuorum),
            Err(_) if self.leadership.route() == Route::Nowhere => Err(ReadError::NoLeader),
            Err(_) => Err(ReadError::NoQuorum),
        }
    }

    /// The read index, if this node leads.
    pub(crate) async fn leader_index(&self) -> Index {
        match self.leadership.route() {
            Route::Here => self.index.leader.next().await,
            Route::To(_) | Route::Nowhere => Err(Refused::NotLeader),
        }
    }

    async fn ordered(&self) -> Result<(), Refused> {
        loop {
            let index = match self.leadership.route() {
                Route::Here => self.index.leader.next().await,
                Route::To(_) => self.index.follower.next().await,
                Route::Nowhere => Err(Refused::NotLeader),
            };
            match index {
                Ok(index) => {
                    self.applied(index).await;
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

    /// Vote and applied index, if this node may lead reads now.
    fn standing(&self) -> Result<(Vote, Option<u64>), Refused> {
        let vote = self.log.current_vote().filter(|vote| vote.committed).ok_or(Refused::NotLeader)?;
        if vote.leader_id.node_id != self.id || self.leadership.route() != Route::Here {
            return Err(Refused::NotLeader);
        }
        let own = CommittedLeaderId::new(vote.leader_id.term, vote.leader_id.node_id);
        let applied = self.progress.borrow().applied.filter(|applied| applied.leader_id == own);
        Ok((vote, applied.map(|applied| applied.index)))
    }

    async fn leader_round(&self) -> Index {
        let deadline = Instant::now() + self.timeout;
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

    async fn follower_round(&self) -> Index {
        let Route::To(leader) = self.leadership.route() else { return Err(Refused::NotLeader) };
        let pool = self.leadership.peer(leader).ok_or(Refused::NotLeader)?;
        let answer = pool.call(path::READ_INDEX, bytes::Bytes::new(), Instant::now() + self.timeout).await;
        match answer {
            Ok(answer) => wire::decode(&answer).unwrap_or(Err(Refused::NotLeader)),
            // Asking is safe to repeat, whatever became of it.
            Err(_) => Err(Refused::NotLeader),
        }
    }
}

pub(crate) fn applied_index(progress: &Progress) -> u64 {
    progress.applied.map_or(0, |applied| applied.index)
}
