//! Keeps elections short.
//!
//! The follower whose timer ends first may be one that lacks the newest entries. openraft's voters refuse it and go
//! on waiting for their own timers; and where it has voted for itself, it refuses in turn the node that could win, by
//! its higher id, which costs another whole timeout. So a voter that meets a candidate whose log is shorter than its
//! own, and has no leader, stands at once: it can have the candidate's own vote.
//!
//! **Promises.** A node that takes a leader's append promises to vote for nobody else for a time, itself included: a
//! leader's lease ([`crate::lease`]) rests on that. openraft keeps it towards candidates and in its own timer. Whatever
//! else has the node stand must go through [`Elections::stand_for_election`], which keeps it here; only a leader that
//! gives up leading, and so has no lease any more, may release its followers from it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::sleep;

use crate::log_store::LogStore;
use crate::types::{NodeId, Raft, Vote};

/// How often a node stands against one candidate. The first try can meet the candidate's own vote, which may be the
/// higher one of the same term; the second is of the next term.
const TRIES: u32 = 3;
/// Longer than an exchange between two nodes and the two fsyncs in it mostly take.
const BETWEEN_TRIES: Duration = Duration::from_millis(60);
/// The most of a leader's lease that is left when the leader, which has waited for its end, asks a node to stand.
const LEASE_MARGIN: Duration = Duration::from_millis(200);
/// Several that meet one candidate stand at different moments.
const JITTER: Duration = Duration::from_millis(20);

/// What a member's network has seen of leaders and candidates.
pub(crate) struct Elections {
    /// openraft's lease of a leader over its followers.
    lease: Duration,
    heard: Mutex<Heard>,
    /// The last candidate whose log was shorter than this node's.
    lesser: watch::Sender<Option<Vote>>,
}

#[derive(Default)]
struct Heard {
    /// When the last append of a leader was taken.
    at: Option<Instant>,
    /// How often the node has begun to stand.
    stood: u64,
    /// How many have openraft stand right now; it may not have heard of it.
    standing: u32,
}

/// Counts as standing until openraft has been told.
struct Standing<'a>(&'a Elections);

impl Drop for Standing<'_> {
    fn drop(&mut self) {
        self.0.heard().standing -= 1;
    }
}

/// What goes before an append is taken: see [`Elections::leader_heard`].
pub(crate) struct Taking(Option<u64>);

impl Elections {
    pub(crate) fn new(lease: Duration) -> Arc<Self> {
        // What it promised to a leader before it was started again still holds.
        let heard = Mutex::new(Heard { at: Some(Instant::now()), ..Heard::default() });
        Arc::new(Self { lease, heard, lesser: watch::Sender::default() })
    }

    /// An append is about to be handed to openraft.
    pub(crate) fn taking(&self) -> Taking {
        let heard = self.heard();
        Taking((heard.standing == 0).then_some(heard.stood))
    }

    /// A leader's append was taken. Answers for how long this node votes for nobody else: not at all if it has begun to
    /// stand meanwhile, because openraft may have heard of that after the append.
    pub(crate) fn leader_heard(&self, taking: &Taking) -> Duration {
        let mut heard = self.heard();
        heard.at = Some(Instant::now());
        let is_undisturbed = heard.standing == 0 && taking.0 == Some(heard.stood);
        if is_undisturbed { self.lease } else { Duration::ZERO }
    }

    /// Has this node stand, unless it has promised a leader not to. An error means that openraft has ended.
    pub(crate) async fn stand_for_election(&self, raft: &Raft) -> Result<(), openraft::error::Fatal<NodeId>> {
        let standing = {
            let mut heard = self.heard();
            if self.lease_left(&heard) > Duration::ZERO {
                return Ok(());
            }
            heard.stood += 1;
            heard.standing += 1;
            Standing(self)
        };
        // openraft sees to it that a leader and a learner do not stand.
        let told = raft.trigger().elect().await;
        drop(standing);
        told
    }

    /// As [`Self::stand_for_election`] at the wish of the leader, whose lease may need a moment yet to run out.
    pub(crate) async fn take_over(&self, raft: &Raft) -> Result<(), openraft::error::Fatal<NodeId>> {
        let left = self.lease_left(&self.heard());
        sleep(left.min(LEASE_MARGIN)).await;
        self.stand_for_election(raft).await
    }

    /// When the last append of a leader was taken.
    pub(super) fn last_heard(&self) -> Option<Instant> {
        self.heard().at
    }

    /// The candidate with this vote has a shorter log than this node.
    pub(crate) fn lesser_candidate(&self, vote: Vote) {
        self.lesser.send_replace(Some(vote));
    }

    fn has_leader(&self) -> bool {
        self.lease_left(&self.heard()) > Duration::ZERO
    }

    fn lease_left(&self, heard: &Heard) -> Duration {
        heard.at.map_or(Duration::ZERO, |at| self.lease.saturating_sub(at.elapsed()))
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stands against lesser candidates, unless this node is giving up leading. For ever.
    pub(super) async fn stand(self: Arc<Self>, raft: Raft, log: LogStore, yielding: Arc<AtomicBool>) {
        let mut lesser = self.lesser.subscribe();
        while lesser.changed().await.is_ok() {
            let Some(candidate) = *lesser.borrow_and_update() else { continue };
            sleep(JITTER.mul_f64(rand::random())).await;
            for _ in 0..TRIES {
                let vote = log.current_vote().unwrap_or_default();
                // This node has stood above the candidate already, or voted for a better one.
                let decided = vote.partial_cmp(&candidate).is_none_or(|order| order.is_gt());
                if decided || self.has_leader() || yielding.load(Ordering::Acquire) {
                    break;
                }
                tracing::info!(%candidate, "a candidate's log is behind this node's: standing for election");
                if self.stand_for_election(&raft).await.is_err() {
                    return;
                }
                sleep(BETWEEN_TRIES).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_promised_to_a_leader_whose_append_met_an_election() {
        let elections = Elections::new(Duration::from_secs(1));
        let begin = || {
            elections.heard().stood += 1;
            elections.heard().standing += 1;
            Standing(&elections)
        };
        assert_eq!(elections.leader_heard(&elections.taking()), Duration::from_secs(1));
        let before = elections.taking();
        let standing = begin();
        let during = elections.taking();
        assert_eq!(elections.leader_heard(&during), Duration::ZERO, "it was standing all the time");
        drop(standing);
        assert_eq!(elections.leader_heard(&before), Duration::ZERO, "it has begun to stand");
        assert_eq!(elections.leader_heard(&during), Duration::ZERO, "it has ceased to stand");
        assert_eq!(elections.leader_heard(&elections.taking()), Duration::from_secs(1));
    }

    #[test]
    fn a_node_that_was_started_again_has_a_leader_for_as_long_as_it_may_have_promised() {
        let elections = Elections::new(Duration::from_millis(40));
        assert!(elections.has_leader());
        std::thread::sleep(Duration::from_millis(60));
        assert!(!elections.has_leader());
    }
}
