//! What the proposer proposes to: openraft here, or the leader over there.
//!
//! | module | what it says |
//! |---|---|
//! | this one | a batch that is one entry, and commands that are forwarded |
//! | [`upload`] | what is too large for one entry, proposed in pieces |

mod upload;

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use adapter::{Adapter, Batch, CommandBuffer};
use conf::Live;
use openraft::error::ClientWriteError;
use tokio::sync::{OwnedRwLockWriteGuard, RwLock};
use tokio::time::error::Elapsed;
use tokio::time::{Duration, Instant, sleep, sleep_until, timeout};

use crate::applying::{self, Applying};
use crate::boot_clock;
use crate::boxed::Boxed;
use crate::committed::Committed;
use crate::error::ProposeError;
use crate::leadership::{Leadership, Patience};
use crate::lease::Lease;
use crate::log_clock::LogClock;
use crate::log_store::LogStore;
use crate::network::message::Proposed;
use crate::network::path;
use crate::network::pool::CallError;
use crate::network::wire;
use crate::proposer::{Consensus, LARGE, Outcome, Route, allowance};
use crate::types::{NodeId, Raft, Vote};

/// With up to this many voters, an entry that a new leader made this node truncate can never be committed: the two
/// of them are a majority that has another entry in its place. With more, a third node could still bring it back.
const VOTERS_WHERE_TRUNCATED_IS_GONE: usize = 3;
/// A leader that no quorum has answered for this many times `raft.election_timeout_max` takes nothing on: the others
/// have had the time to elect another one.
const UNHEARD_TIMEOUTS: u32 = 2;

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
        let vote = self.leadership.metrics().vote;
        let mut last = self.vote.lock().unwrap_or_else(PoisonError::into_inner);
        if *last != vote {
            *last = vote;
            self.means.clock.applied(self.means.adapter.applied().now_ms);
        }
        self.means.clock.next_ms()
    }

    /// Proposes a batch behind all that were proposed before; what is answered ends with its outcome. `patience` is
    /// what it may take longer than others.
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
        let within = self.leadership.silence() * UNHEARD_TIMEOUTS;
        let metrics = self.leadership.metrics();
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
        let patience = Patience { elsewhere: Patience::AFTER_TRANSFER, nowhere: self.leadership.silence() };
        let given_up = async {
            tokio::select! {
                () = self.leadership.lost(leader, patience) => {}
                () = self.patience_ends(last) => {}
            }
        };
        let answers = match pool.call_unless(path::PROPOSE, body, last + applying::HOPELESS, given_up).await {
            Ok(answer) => wire::decode::<Proposed>(&answer).map(|(answers, reading)| {
                self.leadership.heard_clock(leader, reading);
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
