//! What the proposer proposes to: openraft here, or the leader over there.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use adapter::{Adapter, Batch, CommandBuffer};
use bytes::Bytes;
use conf::Live;
use openraft::error::ClientWriteError;
use openraft::metrics::RaftServerMetrics;
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock, watch};
use tokio::task::JoinSet;
use tokio::time::error::Elapsed;
use tokio::time::{Duration, Instant, sleep, sleep_until, timeout, timeout_at};

use super::bootstrap::STATUS_TIMEOUT;
use super::elections::Elections;
use crate::applying::{self, Applying};
use crate::boot_clock;
use crate::handle::{Boxed, Committed, ProposeError};
use crate::lease::Lease;
use crate::log_clock::LogClock;
use crate::log_store::LogStore;
use crate::network::body::Outgoing;
use crate::network::path;
use crate::network::peers::Peers;
use crate::network::pool::{CallError, Pool};
use crate::network::server::StatusReport;
use crate::network::wire::{self, Proposed};
use crate::proposer::{Consensus, LARGE, Outcome, Route, allowance};
use crate::remote_clock::{Reading, RemoteClocks};
use crate::state_machine::Mark;
use crate::types::{NodeId, Peer, Raft, Vote};
use crate::version;

/// With up to this many voters, an entry that a new leader made this node truncate can never be committed: the two
/// of them are a majority that has another entry in its place. With more, a third node could still bring it back.
const VOTERS_WHERE_TRUNCATED_IS_GONE: usize = 3;
/// A leader that no quorum has answered for this many times `raft.election_timeout_max` takes nothing on: the others have
/// had the time to elect another one.
const UNHEARD_TIMEOUTS: u32 = 2;

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
    const AFTER_TRANSFER: Duration = Duration::from_millis(300);
}

/// Bytes of a piece of what is too large for one entry: so many are on every disk in a moment.
const PIECE: usize = 1 << 20;
/// Pieces that are proposed and not yet applied.
const PIECES_UNDER_WAY: usize = 4;

/// How often it is looked whether a transfer of leadership has ended.
const TRANSFER_PAUSE: Duration = Duration::from_millis(10);

/// Who leads, as openraft last told.
#[derive(Clone)]
pub(crate) struct Leadership {
    id: NodeId,
    metrics: watch::Receiver<RaftServerMetrics<NodeId, Peer>>,
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

/// See the module.
pub(crate) struct RaftConsensus {
    pub(crate) leadership: Leadership,
    pub(crate) means: Means,
    /// In which term the last batch was made.
    vote: Mutex<Vote>,
    /// There is one upload at a time.
    uploading: tokio::sync::Mutex<()>,
    /// Held for reading by every piece that is proposed and not yet answered.
    pieces: Arc<RwLock<()>>,
}

/// What the consensus is made of, besides who leads.
pub(crate) struct Means {
    pub(crate) raft: Raft,
    pub(crate) adapter: Arc<dyn Adapter>,
    pub(crate) busy: Arc<Applying>,
    pub(crate) log: LogStore,
    pub(crate) lease: Arc<Lease>,
    pub(crate) clock: Arc<LogClock>,
    /// How many snapshots of other leaders have arrived. One can hold an entry that this node's log loses to it.
    pub(crate) snapshots: Arc<AtomicU64>,
    pub(crate) config: Live,
}

impl RaftConsensus {
    pub(crate) fn new(leadership: Leadership, means: Means) -> Self {
        Self {
            leadership,
            means,
            vote: Mutex::default(),
            uploading: tokio::sync::Mutex::default(),
            pieces: Arc::default(),
        }
    }

    /// The time of the next batch, never before a batch of an earlier term or of this one.
    fn now_ms(&self) -> u64 {
        let vote = self.leadership.metrics.borrow().vote;
        let mut last = self.vote.lock().unwrap_or_else(PoisonError::into_inner);
        if *last != vote {
            *last = vote;
            self.means.clock.applied(self.means.adapter.applied().now_ms);
        }
        self.means.clock.next_ms()
    }

    /// Proposes a batch behind all that were proposed before; what is answered ends with its outcome. `patience` is what it
    /// may take longer than others.
    async fn begin(&self, batch: Batch, patience: Duration) -> Boxed<'_, Outcome> {
        let (snapshots, truncations) =
            (self.means.snapshots.load(Ordering::Acquire), self.means.log.truncations());
        // An error here means that openraft's core has ended before it took the batch.
        let Ok(answer) = self.means.raft.client_write_ff(batch).await else {
            return Box::pin(std::future::ready(Outcome::NotDone));
        };
        let patience = self.means.config.load().raft.request_timeout + patience;
        Box::pin(async move {
            match self.patiently(patience, answer).await {
                Ok(Ok(Ok(response))) => {
                    Outcome::Done(Committed { index: response.log_id.index, replies: response.data.0 })
                }
                // Truncated for a snapshot, which may hold it: openraft removes everything that it does not know to be
                // committed from a log that ends otherwise.
                Ok(Ok(Err(ClientWriteError::ForwardToLeader(_))))
                    if self.means.snapshots.load(Ordering::Acquire) != snapshots =>
                {
                    Outcome::Unknown
                }
                Ok(Ok(Err(ClientWriteError::ForwardToLeader(_)))) => self.refused(truncations),
                Ok(Ok(Err(ClientWriteError::ChangeMembershipError(_)))) => Outcome::NotDone,
                // Never answered: stranded by a snapshot, by the end of the core, or by a lost quorum.
                Ok(Err(_)) | Err(_) => Outcome::Unknown,
            }
        })
    }

    /// Waits for so long, and on while the storage is busy with what takes long.
    async fn patiently<T>(&self, patience: Duration, answer: impl Future<Output = T>) -> Result<T, Elapsed> {
        let (mut answer, mut patience) = (pin!(answer), patience);
        loop {
            match timeout(patience, &mut answer).await {
                Err(_) if self.means.busy.is_long() => patience = applying::PAUSE,
                answered => return answered,
            }
        }
    }

    /// Returns at `deadline`, or later if the storages are busy then with what takes long.
    async fn patience_ends(&self, deadline: Instant) {
        sleep_until(deadline).await;
        while self.means.busy.is_long() {
            sleep(applying::PAUSE).await;
        }
    }

    /// Proposes what is too large for one entry: its pieces, a few at a time, and when all of them are applied the entry
    /// that has it take effect. Until that one is proposed it is not done, whatever becomes of the pieces.
    async fn upload(&self, groups: &[CommandBuffer], patience: Duration) -> Outcome {
        let _turn = self.uploading.lock().await;
        let total = groups.iter().map(|group| group.bytes().len() as u64).sum();
        let count = groups.iter().map(CommandBuffer::count).sum();
        let (upload, mut offset, mut under_way) = (rand::random(), 0, VecDeque::new());
        let pieces = groups.iter().flat_map(|group| group.bytes().chunks(PIECE));
        for piece in pieces.map(Some).chain([None; PIECES_UNDER_WAY]) {
            if under_way.len() == PIECES_UNDER_WAY || piece.is_none() {
                let oldest: Option<Boxed<'_, Outcome>> = under_way.pop_front();
                let Some(oldest) = oldest else { continue };
                if !matches!(oldest.await, Outcome::Done(_)) {
                    drop(under_way);
                    return self.give_up(upload).await;
                }
            }
            if let Some(piece) = piece {
                let Some(held) = self.may_propose(&mut under_way).await else {
                    return self.give_up(upload).await;
                };
                let batch = Batch::piece(upload, total, offset, piece);
                offset += piece.len() as u64;
                let begun = self.begin(batch, Duration::ZERO).await;
                under_way.push_back(Box::pin(async move {
                    let outcome = begun.await;
                    drop(held);
                    outcome
                }));
            }
        }
        let Some(held) = self.may_propose(&mut under_way).await else {
            return self.give_up(upload).await;
        };
        let last = Batch::last(self.now_ms(), rand::random(), count, upload, total);
        let outcome = self.begin(last, patience).await.await;
        drop(held);
        match outcome {
            // Another has led meanwhile, and so the pieces were given up.
            Outcome::Done(done) if done.replies.is_empty() => Outcome::NotDone,
            outcome => outcome,
        }
    }

    /// Whether every member knows what pieces are.
    fn may_upload(&self) -> bool {
        Mark::of(&self.means.adapter.applied().position)
            .is_ok_and(|mark| mark.version >= version::WITH_PIECES)
    }

    /// Has the nodes forget the pieces of an upload, unless they do so because another leads.
    async fn give_up(&self, upload: u64) -> Outcome {
        if self.leadership.route() == Route::Here {
            // Whatever it comes to, the next upload has the same effect.
            let _ = self.begin(Batch::last(0, 0, 0, upload, 0), Duration::ZERO).await.await;
        }
        Outcome::NotDone
    }

    /// What a piece is proposed under, once a transfer of leadership that may be under way has ended: nothing is proposed
    /// during one, and it begins when all that was proposed is answered. None if this node leads no more, or if a
    /// piece has failed.
    async fn may_propose(
        &self,
        under_way: &mut VecDeque<Boxed<'_, Outcome>>,
    ) -> Option<OwnedRwLockReadGuard<()>> {
        loop {
            if self.leadership.route() == Route::Here
                && let Ok(held) = Arc::clone(&self.pieces).try_read_owned()
                && self.leadership.route() == Route::Here
            {
                return Some(held);
            }
            while let Some(oldest) = under_way.pop_front() {
                if !matches!(oldest.await, Outcome::Done(_)) {
                    return None;
                }
            }
            if !self.leadership.metrics.borrow().state.is_leader() {
                return None;
            }
            sleep(TRANSFER_PAUSE).await;
        }
    }

    /// What became of a batch that openraft refuses: it was not appended, or it was cut off. `truncations` were counted
    /// before it was handed over.
    fn refused(&self, truncations: u64) -> Outcome {
        if self.means.log.truncations() == truncations {
            return Outcome::NotDone;
        }
        let most = self.leadership.voters().iter().map(|config| config.len()).max().unwrap_or(0);
        if most <= VOTERS_WHERE_TRUNCATED_IS_GONE { Outcome::NotDone } else { Outcome::Unknown }
    }

    /// Whether a quorum has answered this leader lately.
    fn is_heard(&self) -> bool {
        // Without a clock nothing can be told.
        let Some(now) = boot_clock::now() else { return true };
        let within = self.leadership.silence * UNHEARD_TIMEOUTS;
        let metrics = self.leadership.metrics.borrow();
        let configs = metrics.membership_config.membership().get_joint_config();
        self.means.lease.hears_quorum(metrics.vote, configs, now, within)
    }
}

impl Consensus for RaftConsensus {
    fn route(&self) -> Route {
        match self.leadership.route() {
            Route::Here if !self.is_heard() => Route::Nowhere,
            route => route,
        }
    }

    fn busy(&self) -> Arc<Applying> {
        Arc::clone(&self.means.busy)
    }

    async fn hold_uploads(&self) -> Option<OwnedRwLockWriteGuard<()>> {
        Some(Arc::clone(&self.pieces).write_owned().await)
    }

    async fn submit(&self, groups: &[CommandBuffer]) -> Outcome {
        let patience = groups.iter().map(allowance).sum();
        if groups.iter().map(|group| group.bytes().len()).sum::<usize>() > LARGE && self.may_upload() {
            return self.upload(groups, patience).await;
        }
        let batch = Batch::new(self.now_ms(), rand::random(), groups);
        self.begin(batch, patience).await.await
    }

    async fn forward(&self, leader: NodeId, groups: &[CommandBuffer], deadlines: &[Instant]) -> Vec<Outcome> {
        let not_done = vec![Outcome::NotDone; groups.len()];
        let Some(last) = deadlines.iter().max().copied() else { return not_done };
        let Some(until) = self.leadership.deadline(leader, last).await else { return not_done };
        let Some(pool) = self.leadership.peer(leader) else { return not_done };
        let earlier = deadlines.iter().map(|deadline| last - *deadline);
        let body = wire::encode_groups(until, earlier.zip(groups));
        let patience = Patience { elsewhere: Patience::AFTER_TRANSFER, nowhere: self.leadership.silence };
        let given_up = async {
            tokio::select! {
                () = self.leadership.lost(leader, patience) => {}
                () = self.patience_ends(last) => {}
            }
        };
        let answers = match pool.call_unless(path::PROPOSE, body, last + applying::HOPELESS, given_up).await {
            Ok(answer) => wire::decode::<Proposed>(&answer).map(|(answers, reading)| {
                self.leadership.clocks.heard(leader, reading);
                answers
            }),
            Err(CallError::Lost { .. }) => Ok(Vec::new()),
            Err(error @ (CallError::NotSent { .. } | CallError::Refused { .. })) => {
                tracing::debug!(%error, "commands were not forwarded");
                return not_done;
            }
        };
        // What has no answer is unknown.
        answers.unwrap_or_default().into_iter().map(outcome).collect()
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

#[cfg(test)]
mod tests;
