//! Many commands, one entry.
//!
//! Groups of commands, one from each connection that has something to write, queue here. While as many entries as
//! allowed are under way, the next fills; and while any is, the next fills until it is as large as those. So those who
//! were just answered come together again with what they write next, instead of each leaving in an entry of its own,
//! which costs every node the same as one of many. A lone group leaves at once. On a follower the queue leaves as
//! requests to the leader, without waiting to be large.
//!
//! **Outcomes.** A group is *done* (its replies), *not done* (it never reached a log that could be committed: it is
//! proposed again until its deadline), or *unknown* (it was handed over and no answer came: it is never proposed
//! again). A group whose deadline passes while it is still queued is not done, and nobody proposes it any more; once
//! handed over it is unknown.
//!
//! **Another leader.** Nothing here waits for a leader that this node does not look to any more. The loop that hands
//! groups over leaves any wait as soon as the route may have changed ([`Proposer::route_changed`]), and
//! [`Consensus::forward`] ends when its leader is lost.
//!
//! **Order.** A connection has one group under way at a time, so groups need no order among each other.

pub(crate) mod limits;
mod queue;

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use adapter::CommandBuffer;
use tokio::sync::{Notify, OwnedRwLockWriteGuard, OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use self::limits::Limits;
use crate::applying::{self, Applying};
use crate::committed::Committed;
use crate::error::ProposeError;
use crate::types::NodeId;
pub(crate) use queue::Pending;
use queue::{Group, Queue, State};

/// Requests with forwarded groups that are under way at once.
const MAX_FORWARDS: usize = 4;
/// The wait before groups that were not done are proposed again; an election takes some of these.
const RETRY_PAUSE: Duration = Duration::from_millis(15);
/// A request without an answer for so long leaves its place among [`MAX_FORWARDS`] to the next one: it may have been
/// lost on its way to a leader that is well.
const SLOT_PATIENCE: Duration = Duration::from_secs(1);

/// A group of more bytes than this travels in pieces, beside all others.
pub(crate) const LARGE: usize = 2 << 20;
/// What a group may take longer for its size: the bytes that are written to every disk in a second at least, and the
/// time for each argument.
const BYTES_PER_SECOND: u64 = 4 << 20;
const FOR_AN_ARGUMENT: Duration = Duration::from_micros(50);

/// How much longer commands may take than others, for their size.
pub(crate) fn allowance(commands: &CommandBuffer) -> Duration {
    let arguments = FOR_AN_ARGUMENT.saturating_mul(u32::try_from(commands.args()).unwrap_or(u32::MAX));
    Duration::from_millis(commands.bytes().len() as u64 * 1000 / BYTES_PER_SECOND) + arguments
}

/// Where a batch goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// This node leads.
    Here,
    /// That node leads.
    To(NodeId),
    /// No leader is known.
    Nowhere,
}

/// What became of a batch or of one group of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outcome {
    /// Applied.
    Done(Committed),
    /// It will never take effect.
    NotDone,
    /// It may take effect, or have.
    Unknown,
}

/// What the proposer proposes to.
pub(crate) trait Consensus: Send + Sync + 'static {
    fn route(&self) -> Route;
    /// Whether the storage is busy with what takes long.
    fn busy(&self) -> Arc<Applying>;
    /// Returns when every piece of what is too large for one entry is answered. None is proposed until the answer is
    /// dropped.
    fn hold_uploads(&self) -> impl Future<Output = Option<OwnedRwLockWriteGuard<()>>> + Send;
    /// Has the groups applied next to each other as one entry. Bounded in time.
    fn submit(&self, groups: &[CommandBuffer]) -> impl Future<Output = Outcome> + Send;
    /// Has the leader propose each group before the deadline at the same place in `deadlines`; one outcome for each.
    /// Ends early when this node does not look to that leader any more.
    fn forward(
        &self,
        leader: NodeId,
        groups: &[CommandBuffer],
        deadlines: &[Instant],
    ) -> impl Future<Output = Vec<Outcome>> + Send;
}

/// See the module. Shared by everybody who writes.
pub(crate) struct Proposer<C> {
    consensus: C,
    limits: Box<dyn Fn() -> Limits + Send + Sync>,
    queue: Queue,
    entries: Arc<Semaphore>,
    forwards: Arc<Semaphore>,
    under_way: UnderWay,
    /// A retry or a change of route is due.
    changed: Notify,
    closed: AtomicBool,
}

/// The entries that were proposed here and are not yet answered.
#[derive(Debug, Default)]
struct UnderWay(Mutex<(usize, usize)>);

impl UnderWay {
    fn begin(&self, bytes: usize) {
        let mut sum = self.lock();
        *sum = (sum.0 + 1, sum.1 + bytes);
    }

    fn end(&self, bytes: usize) {
        let mut sum = self.lock();
        *sum = (sum.0 - 1, sum.1 - bytes);
    }

    /// Bytes of one of them on average; of none, none.
    fn usual(&self) -> usize {
        let (entries, bytes) = *self.lock();
        bytes.checked_div(entries).unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, (usize, usize)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// While this is kept, nothing is proposed here.
pub(crate) struct Quiet {
    _entries: Option<OwnedSemaphorePermit>,
    _uploads: Option<OwnedRwLockWriteGuard<()>>,
}

/// A group that is proposed and not yet answered.
pub(crate) struct Waiting {
    answer: oneshot::Receiver<Result<Committed, ProposeError>>,
    state: Option<Arc<State>>,
    deadline: Instant,
    busy: Arc<Applying>,
}

impl Waiting {
    /// Waits for the replies, until the deadline; what was handed over longer, while the storage is busy with what
    /// takes long.
    pub(crate) async fn answer(mut self) -> Result<Committed, ProposeError> {
        loop {
            match timeout_at(self.deadline, &mut self.answer).await {
                Ok(Ok(answer)) => return answer,
                // Whoever had the group has ended with it.
                Ok(Err(_)) => return Err(ProposeError::Unknown),
                Err(_) if self.busy.is_long() => self.deadline = Instant::now() + applying::PAUSE,
                Err(_) if self.state.as_ref().is_some_and(|state| state.cancel()) => {
                    return Err(ProposeError::NoLeader);
                }
                Err(_) => return Err(ProposeError::Unknown),
            }
        }
    }
}

impl<C: Consensus> Proposer<C> {
    /// The bounds are asked for each time, but for that of entries under way.
    pub(crate) fn new(consensus: C, limits: impl Fn() -> Limits + Send + Sync + 'static) -> Arc<Self> {
        let entries = Arc::new(Semaphore::new(limits().max_inflight_entries.max(1)));
        Arc::new(Self {
            consensus,
            limits: Box::new(limits),
            queue: Queue::default(),
            entries,
            forwards: Arc::new(Semaphore::new(MAX_FORWARDS)),
            under_way: UnderWay::default(),
            changed: Notify::new(),
            closed: AtomicBool::new(false),
        })
    }

    /// Proposes `commands`, here or through the leader.
    pub(crate) async fn propose(&self, commands: CommandBuffer) -> Result<Committed, ProposeError> {
        let answer = match self.queue(commands, (self.limits)().request_timeout, true) {
            Ok(waiting) => waiting.answer().await,
            Err(error) => Err(error),
        };
        if answer.is_err() {
            metrics::counter!("raft_proxy_proposals_failed_total").increment(1);
        }
        answer
    }

    /// What is proposed and not yet answered.
    pub(crate) fn pending(&self) -> Pending {
        self.queue.pending()
    }

    /// Queues what another node has forwarded: it is proposed here or not at all.
    pub(crate) fn queue_here(
        &self,
        commands: CommandBuffer,
        budget: Duration,
    ) -> Result<Waiting, ProposeError> {
        if self.consensus.route() != Route::Here {
            return Err(ProposeError::NoLeader);
        }
        self.queue(commands, budget.min((self.limits)().request_timeout), false)
    }

    fn queue(
        &self,
        commands: CommandBuffer,
        budget: Duration,
        may_forward: bool,
    ) -> Result<Waiting, ProposeError> {
        let deadline = Instant::now() + budget + allowance(&commands);
        let (sender, answer) = oneshot::channel();
        if commands.is_empty() {
            // The receiver is right here.
            let _ = sender.send(Ok(Committed::default()));
            return Ok(Waiting { answer, state: None, deadline, busy: self.consensus.busy() });
        }
        if self.closed.load(Ordering::Acquire) {
            return Err(ProposeError::ShuttingDown);
        }
        let most = (self.limits)().max_inflight_bytes;
        let state =
            self.queue.push(commands, deadline, may_forward, sender, most).ok_or(ProposeError::Busy)?;
        Ok(Waiting { answer, state: Some(state), deadline, busy: self.consensus.busy() })
    }

    /// Refuses everything new from now on.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// Waits until everything proposed is answered, or until `deadline`.
    pub(crate) async fn drain(&self, deadline: Instant) {
        while self.queue.bytes_in_flight() > 0 && Instant::now() < deadline {
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Returns when every entry that was proposed here is answered. None is proposed until the answer is dropped.
    pub(crate) async fn quiesce(&self) -> Quiet {
        let all = u32::try_from((self.limits)().max_inflight_entries.max(1)).unwrap_or(u32::MAX);
        let entries = Arc::clone(&self.entries).acquire_many_owned(all).await.ok();
        Quiet { _entries: entries, _uploads: self.consensus.hold_uploads().await }
    }

    /// Whether nothing waits or is under way.
    #[cfg(test)]
    fn is_idle(&self) -> bool {
        self.queue.bytes_in_flight() == 0
    }

    /// Tells that the leader may be another one now.
    pub(crate) fn route_changed(&self) {
        self.changed.notify_one();
    }

    /// Moves groups from the queue to where they go. For ever.
    pub(crate) async fn run(self: Arc<Self>) {
        loop {
            self.queue.not_empty().await;
            match self.consensus.route() {
                Route::Here => self.propose_here().await,
                Route::To(leader) => self.pass_on(leader).await,
                Route::Nowhere => {
                    stranded_groups(self.queue.take_stranded());
                    tokio::select! {
                        () = self.changed.notified() => {}
                        () = sleep(RETRY_PAUSE) => {}
                    }
                }
            }
        }
    }

    /// Proposes the next entry; nothing if this node turns out not to lead.
    async fn propose_here(self: &Arc<Self>) {
        let most = (self.limits)().max_batch_bytes;
        let ready = async {
            let slot = free_slot(&self.entries).await;
            self.queue.has(|| self.under_way.usual().min(most)).await;
            slot
        };
        let Some(slot) = self.unless_changed(ready).await else { return };
        // It may have taken a transfer of leadership until there was one.
        if self.consensus.route() != Route::Here {
            return;
        }
        let groups = self.take();
        if !groups.is_empty() {
            let bytes = bytes_of(&groups);
            // Others neither wait for a large one nor until they are as large.
            let slot = slot.filter(|_| bytes <= LARGE);
            if slot.is_some() {
                self.under_way.begin(bytes);
            }
            tokio::spawn(Arc::clone(self).submit(groups, slot));
        }
    }

    /// Sends what waits to the leader, unless it is another one by then.
    async fn pass_on(self: &Arc<Self>, leader: NodeId) {
        let Some(slot) = self.unless_changed(free_slot(&self.forwards)).await else { return };
        if self.consensus.route() != Route::To(leader) {
            return;
        }
        let (groups, stranded) = self.take().into_iter().partition(|group| group.may_forward);
        stranded_groups(stranded);
        if !Vec::is_empty(&groups) {
            tokio::spawn(Arc::clone(self).forward(leader, groups, slot));
        }
    }

    /// Waits, but no longer than until the leader may be another one.
    async fn unless_changed<T>(&self, what: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            done = what => Some(done),
            () = self.changed.notified() => None,
        }
    }

    fn take(&self) -> Vec<Group> {
        let limits = (self.limits)();
        self.queue.take(limits.max_batch_bytes, limits.max_batch_commands)
    }

    async fn submit(self: Arc<Self>, mut groups: Vec<Group>, slot: Option<OwnedSemaphorePermit>) {
        let bytes = bytes_of(&groups);
        let commands = take_commands(&mut groups);
        let outcome = self.consensus.submit(&commands).await;
        if slot.is_some() {
            self.under_way.end(bytes);
        }
        drop(slot);
        self.queue.look_again();
        let outcomes = fan_out(outcome, &commands);
        self.settle(groups, commands, outcomes).await;
    }

    async fn forward(
        self: Arc<Self>,
        leader: NodeId,
        mut groups: Vec<Group>,
        slot: Option<OwnedSemaphorePermit>,
    ) {
        let commands = take_commands(&mut groups);
        let deadlines: Vec<Instant> = groups.iter().map(|group| group.deadline).collect();
        let outcomes = {
            let mut forwarded = pin!(self.consensus.forward(leader, &commands, &deadlines));
            match timeout(SLOT_PATIENCE, &mut forwarded).await {
                Ok(outcomes) => {
                    drop(slot);
                    outcomes
                }
                Err(_) => {
                    drop(slot);
                    forwarded.await
                }
            }
        };
        self.settle(groups, commands, outcomes).await;
    }

    /// Answers the groups; what is not done waits a little and queues again.
    async fn settle(&self, groups: Vec<Group>, commands: Vec<CommandBuffer>, outcomes: Vec<Outcome>) {
        let mut again = Vec::new();
        let outcomes = outcomes.into_iter().chain(std::iter::repeat(Outcome::Unknown));
        for ((mut group, commands), outcome) in groups.into_iter().zip(commands).zip(outcomes) {
            match outcome {
                Outcome::Done(committed) => group.answer(Ok(committed)),
                Outcome::Unknown => group.answer(Err(ProposeError::Unknown)),
                Outcome::NotDone if !group.may_forward => group.answer(Err(ProposeError::NoLeader)),
                Outcome::NotDone => {
                    group.commands = commands;
                    group.is_not_done();
                    again.push(group);
                }
            }
        }
        if !again.is_empty() {
            sleep(RETRY_PAUSE).await;
            self.queue.put_back(again);
        }
    }
}

/// A semaphore is never closed here, so there always is a permit in the end.
async fn free_slot(slots: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    Arc::clone(slots).acquire_owned().await.ok()
}

fn bytes_of(groups: &[Group]) -> usize {
    groups.iter().map(Group::size).sum()
}

fn take_commands(groups: &mut [Group]) -> Vec<CommandBuffer> {
    groups.iter_mut().map(|group| std::mem::take(&mut group.commands)).collect()
}

/// Forwarded groups on a node that does not lead any more: not done, and one hop is enough.
fn stranded_groups(groups: Vec<Group>) {
    for group in groups {
        group.answer(Err(ProposeError::NoLeader));
    }
}

/// Gives each group its share of a batch's replies.
fn fan_out(outcome: Outcome, groups: &[CommandBuffer]) -> Vec<Outcome> {
    let Committed { index, replies } = match outcome {
        Outcome::Done(committed) => committed,
        other => return vec![other; groups.len()],
    };
    let expected: usize = groups.iter().map(|group| group.count() as usize).sum();
    if replies.len() != expected {
        tracing::error!(
            expected,
            replies = replies.len(),
            "the storage has answered another number of replies"
        );
        return vec![Outcome::Unknown; groups.len()];
    }
    let mut replies = replies.into_iter();
    let mut share = |group: &CommandBuffer| {
        let replies = replies.by_ref().take(group.count() as usize).collect();
        Outcome::Done(Committed { index, replies })
    };
    groups.iter().map(&mut share).collect()
}

#[cfg(test)]
mod tests;
