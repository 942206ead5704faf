//! What the proposer proposes to: openraft here, or the leader over there.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use adapter::clock::unix_ms;
use adapter::{Adapter, Batch, CommandBuffer};
use conf::Live;
use openraft::error::ClientWriteError;
use openraft::metrics::RaftServerMetrics;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::bootstrap::STATUS_TIMEOUT;
use super::elections::Elections;
use crate::handle::{Committed, ProposeError};
use crate::network::path;
use crate::network::peers::Peers;
use crate::network::pool::{CallError, Pool};
use crate::network::wire::{self, Answers};
use crate::proposer::{Consensus, Outcome, Route};
use crate::types::{NodeId, Peer, Raft, Vote};

/// With up to this many voters, an entry that a new leader made this node truncate can never be committed: the two
/// of them are a majority that has another entry in its place. With more, a third node could still bring it back.
const VOTERS_WHERE_TRUNCATED_IS_GONE: usize = 3;

/// Who leads, as openraft last told.
#[derive(Clone)]
pub(crate) struct Leadership {
    id: NodeId,
    metrics: watch::Receiver<RaftServerMetrics<NodeId, Peer>>,
    peers: Peers,
    /// Whether a leader has been heard lately. openraft names the last one until there is another.
    present: watch::Receiver<bool>,
    /// This node is giving up leading: it takes nothing new on.
    paused: Arc<AtomicBool>,
}

impl Leadership {
    pub(crate) fn new(id: NodeId, raft: &Raft, peers: Peers, elections: &Elections) -> Self {
        Self {
            id,
            metrics: raft.server_metrics(),
            peers,
            present: elections.presence(),
            paused: Arc::default(),
        }
    }

    /// Has this node take nothing on as a leader, or ends that.
    pub(crate) fn pause(&self, paused: bool) {
        self.paused.store(paused, Ordering::Release);
    }

    pub(crate) fn route(&self) -> Route {
        let (leads, named) = {
            let metrics = self.metrics.borrow();
            (metrics.state.is_leader(), metrics.current_leader)
        };
        if leads {
            return if self.paused.load(Ordering::Acquire) { Route::Nowhere } else { Route::Here };
        }
        // A leader that is deposed may still be named for a moment.
        self.present(named).filter(|leader| *leader != self.id).map_or(Route::Nowhere, Route::To)
    }

    /// Who leads, as far as this node has heard lately.
    pub(crate) fn leader(&self) -> Option<NodeId> {
        self.present(self.metrics.borrow().current_leader)
    }

    fn present(&self, named: Option<NodeId>) -> Option<NodeId> {
        named.filter(|leader| *leader == self.id || *self.present.borrow())
    }

    /// The connections to a member.
    pub(crate) fn peer(&self, node: NodeId) -> Option<Arc<Pool>> {
        let metrics = self.metrics.borrow();
        let peer = metrics.membership_config.membership().get_node(&node)?;
        Some(self.peers.at(node, &peer.raft))
    }

    /// Where a member is, as the membership says.
    pub(crate) fn place(&self, node: NodeId) -> Option<Peer> {
        self.metrics.borrow().membership_config.membership().get_node(&node).cloned()
    }

    /// All members but this one.
    pub(crate) fn others(&self) -> Vec<NodeId> {
        let metrics = self.metrics.borrow();
        let nodes = metrics.membership_config.membership().nodes();
        nodes.map(|(id, _)| *id).filter(|id| *id != self.id).collect()
    }

    pub(crate) fn voters(&self) -> Vec<BTreeSet<NodeId>> {
        self.metrics.borrow().membership_config.membership().get_joint_config().clone()
    }

    /// The members that answer now, this node among them.
    pub(crate) async fn alive(&self) -> BTreeSet<NodeId> {
        let members: Vec<NodeId> = {
            let metrics = self.metrics.borrow();
            metrics.membership_config.membership().nodes().map(|(id, _)| *id).collect()
        };
        let mut asking = JoinSet::new();
        for id in members.into_iter().filter(|id| *id != self.id) {
            let pool = self.peer(id);
            asking.spawn(async move {
                pool?.call(path::STATUS, Vec::new(), Instant::now() + STATUS_TIMEOUT).await.ok().map(|_| id)
            });
        }
        asking.join_all().await.into_iter().flatten().chain([self.id]).collect()
    }

    /// Returns when the leader, or something else about the cluster, has changed.
    pub(crate) async fn changed(&mut self) -> bool {
        tokio::select! {
            changed = self.metrics.changed() => changed.is_ok(),
            changed = self.present.changed() => changed.is_ok(),
        }
    }
}

/// See the module.
pub(crate) struct RaftConsensus<A> {
    pub(crate) leadership: Leadership,
    pub(crate) raft: Raft,
    pub(crate) adapter: Arc<A>,
    pub(crate) config: Live,
    clock: Mutex<LogClock>,
}

/// The time of the last batch, and in whose term.
#[derive(Default)]
struct LogClock {
    vote: Vote,
    last_ms: u64,
}

impl<A: Adapter> RaftConsensus<A> {
    pub(crate) fn new(leadership: Leadership, raft: Raft, adapter: Arc<A>, config: Live) -> Self {
        Self { leadership, raft, adapter, config, clock: Mutex::default() }
    }

    /// The clock, but never before a batch of an earlier term or of this one.
    fn now_ms(&self) -> u64 {
        let vote = self.leadership.metrics.borrow().vote;
        let mut clock = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        if clock.vote != vote {
            clock.vote = vote;
            clock.last_ms = clock.last_ms.max(self.adapter.applied().now_ms);
        }
        clock.last_ms = clock.last_ms.max(unix_ms());
        clock.last_ms
    }

    fn refused(&self) -> Outcome {
        let most = self.leadership.voters().iter().map(|config| config.len()).max().unwrap_or(0);
        if most <= VOTERS_WHERE_TRUNCATED_IS_GONE { Outcome::NotDone } else { Outcome::Unknown }
    }
}

impl<A: Adapter> Consensus for RaftConsensus<A> {
    fn route(&self) -> Route {
        self.leadership.route()
    }

    async fn submit(&self, groups: &[CommandBuffer]) -> Outcome {
        let batch = Batch::new(self.now_ms(), rand::random(), groups);
        // An error here means that openraft's core has ended before it took the batch.
        let Ok(answer) = self.raft.client_write_ff(batch).await else { return Outcome::NotDone };
        let patience = self.config.load().raft.request_timeout;
        match timeout(patience, answer).await {
            Ok(Ok(Ok(response))) => {
                Outcome::Done(Committed { index: response.log_id.index, replies: response.data.0 })
            }
            // Not appended, or truncated.
            Ok(Ok(Err(ClientWriteError::ForwardToLeader(_)))) => self.refused(),
            Ok(Ok(Err(ClientWriteError::ChangeMembershipError(_)))) => Outcome::NotDone,
            // Never answered: stranded by a snapshot, by the end of the core, or by a lost quorum.
            Ok(Err(_)) | Err(_) => Outcome::Unknown,
        }
    }

    async fn forward(&self, leader: NodeId, groups: &[CommandBuffer], deadline: Instant) -> Vec<Outcome> {
        let Some(pool) = self.leadership.peer(leader) else { return vec![Outcome::NotDone; groups.len()] };
        let budget = deadline.saturating_duration_since(Instant::now());
        let budget_ms = u32::try_from(budget.as_millis()).unwrap_or(u32::MAX);
        let body = wire::encode_groups(budget_ms, groups.iter());
        let answers = match pool.call(path::PROPOSE, body, deadline).await {
            Ok(answer) => wire::decode::<Answers>(&answer).unwrap_or_default(),
            Err(CallError::Lost { .. }) => Vec::new(),
            Err(error @ (CallError::NotSent { .. } | CallError::Refused { .. })) => {
                tracing::debug!(%error, "commands were not forwarded");
                return vec![Outcome::NotDone; groups.len()];
            }
        };
        // What has no answer is unknown.
        answers.into_iter().map(outcome).collect()
    }
}

fn outcome(answer: Result<Committed, ProposeError>) -> Outcome {
    match answer {
        Ok(committed) => Outcome::Done(committed),
        Err(ProposeError::Unknown) => Outcome::Unknown,
        Err(
            ProposeError::NoLeader
            | ProposeError::NoCluster
            | ProposeError::Joining
            | ProposeError::Busy
            | ProposeError::ShuttingDown,
        ) => Outcome::NotDone,
    }
}
