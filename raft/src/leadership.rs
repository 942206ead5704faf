//! Who leads, as this node last heard, and the way to ask the leader.
//!
//! openraft names the last leader until there is another one. [`Leadership`] names it only as long as it is heard
//! ([`crate::elections`]), and names none while this node is giving up leading.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant, timeout_at};

use crate::elections::Elections;
use crate::network::body::Outgoing;
use crate::network::message::{Proposed, StatusReport};
use crate::network::path;
use crate::network::peers::Peers;
use crate::network::pool::{CallError, Pool};
use crate::network::wire;
use crate::proposer::Route;
use crate::remote_clock::{Reading, RemoteClocks};
use crate::types::{NodeId, Peer, Raft, ServerMetrics};
use crate::version;

/// How long a peer has to say how it is.
pub(crate) const STATUS_TIMEOUT: Duration = Duration::from_secs(1);

/// For how long the answer of a leader that this node does not look to any more is still waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// Another leads by now, perhaps this node itself.
    pub(crate) elsewhere: Duration,
    /// No leader is heard.
    pub(crate) nowhere: Duration,
}

impl Patience {
    /// Of what can be asked anywhere, any number of times.
    pub(crate) const NONE: Self = Self { elsewhere: Duration::ZERO, nowhere: Duration::ZERO };
    /// Of changes of the members: the leader may hand leadership over before it answers.
    pub(crate) const LONG: Self = Self { elsewhere: Duration::from_secs(2), nowhere: Duration::from_secs(2) };
    /// Of writes: a leader that has handed leadership over has answered all, and the answers may be on their way. (One
    /// that hangs has not been heard for longer than this when the next one is elected.)
    pub(crate) const AFTER_TRANSFER: Duration = Duration::from_millis(300);
}

/// Who leads, as openraft last told.
#[derive(Clone)]
pub(crate) struct Leadership {
    id: NodeId,
    metrics: watch::Receiver<ServerMetrics>,
    peers: Peers,
    /// Whether a leader has been heard lately. openraft names the last one until there is another.
    present: watch::Receiver<bool>,
    /// After this time a leader that is not heard is none any more.
    silence: Duration,
    /// This node is giving up leading: it takes nothing new on.
    paused: Arc<AtomicBool>,
    clocks: Arc<RemoteClocks>,
}

impl Leadership {
    pub(crate) fn new(id: NodeId, raft: &Raft, peers: Peers, elections: &Elections) -> Self {
        Self {
            id,
            metrics: raft.server_metrics(),
            peers,
            present: elections.presence(),
            silence: elections.longest_timeout(),
            paused: Arc::default(),
            clocks: Arc::default(),
        }
    }

    /// What openraft last told. Not to be held across an await: it keeps openraft from telling more.
    pub(crate) fn metrics(&self) -> watch::Ref<'_, ServerMetrics> {
        self.metrics.borrow()
    }

    /// After this time a leader that is not heard is none any more.
    pub(crate) fn silence(&self) -> Duration {
        self.silence
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

    /// Asks the leader. Gives up at the deadline, and when this node does not look to that leader any more.
    pub(crate) async fn ask(
        &self,
        leader: NodeId,
        question: (&'static str, impl Into<Outgoing>),
        deadline: Instant,
        patience: Patience,
    ) -> Result<Bytes, CallError> {
        let (path, body) = question;
        let Some(pool) = self.peer(leader) else {
            let (address, reason) = (format!("node {leader}"), "it is no member".to_owned());
            return Err(CallError::NotSent { address, reason, kind: None });
        };
        pool.call_unless(path, body, deadline, self.lost(leader, patience)).await
    }

    /// The deadline by the leader's clock. If that clock is not known, it is asked for, by forwarding nothing.
    pub(crate) async fn deadline(&self, leader: NodeId, deadline: Instant) -> Option<Reading> {
        let after = || deadline.saturating_duration_since(Instant::now());
        if let Some(known) = self.clocks.deadline(leader, after()) {
            return Some(known);
        }
        let nothing = wire::encode_groups(Reading::default(), [].into_iter());
        let asked = self.ask(leader, (path::PROPOSE, nothing), deadline, Patience::NONE).await;
        let (_, reading) = wire::decode::<Proposed>(&asked.ok()?).ok()?;
        self.clocks.heard(leader, reading);
        self.clocks.deadline(leader, after())
    }

    /// What a node's clock showed when it answered.
    pub(crate) fn heard_clock(&self, node: NodeId, reading: Reading) {
        self.clocks.heard(node, reading);
    }

    /// It may be another process by now.
    pub(crate) fn forget_clock(&self, node: NodeId) {
        self.clocks.forget(node);
    }

    /// Returns when this node has not looked to `leader` for as long as the patience says.
    pub(crate) async fn lost(&self, leader: NodeId, patience: Patience) {
        let (mut this, mut led) = (self.clone(), Instant::now());
        loop {
            let limit = match this.route() {
                Route::To(named) if named == leader => None,
                Route::Nowhere => Some(patience.nowhere),
                Route::Here | Route::To(_) => Some(patience.elsewhere),
            };
            let goes_on = match limit {
                None => {
                    let goes_on = this.changed().await;
                    led = Instant::now();
                    goes_on
                }
                Some(limit) => timeout_at(led + limit, this.changed()).await.unwrap_or(false),
            };
            if !goes_on {
                return;
            }
        }
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
        self.newest_versions().await.into_keys().collect()
    }

    /// The members that answer now, this node among them, and the newest version that each knows.
    pub(crate) async fn newest_versions(&self) -> BTreeMap<NodeId, u16> {
        let members: Vec<NodeId> = {
            let metrics = self.metrics.borrow();
            metrics.membership_config.membership().nodes().map(|(id, _)| *id).collect()
        };
        let mut asking = JoinSet::new();
        for id in members.into_iter().filter(|id| *id != self.id) {
            let pool = self.peer(id);
            asking.spawn(async move {
                let answer =
                    pool?.call(path::STATUS, Vec::new(), Instant::now() + STATUS_TIMEOUT).await.ok()?;
                let report = wire::decode::<StatusReport>(&answer);
                Some((id, report.map_or(0, |report| report.status.newest_version)))
            });
        }
        let own = (self.id, version::newest());
        asking.join_all().await.into_iter().flatten().chain([own]).collect()
    }

    /// Returns when the leader, or something else about the cluster, has changed.
    pub(crate) async fn changed(&mut self) -> bool {
        tokio::select! {
            changed = self.metrics.changed() => changed.is_ok(),
            changed = self.present.changed() => changed.is_ok(),
        }
    }
}
