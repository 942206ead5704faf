//! Keeps elections short.
//!
//! The follower whose timer ends first may be one that lacks the newest entries. openraft's voters refuse it and go
//! on waiting for their own timers; and where it has voted for itself, it refuses in turn the node that could win, by
//! its higher id, which costs another whole timeout. So a voter that meets a candidate whose log is shorter than its
//! own, and has no leader, stands at once: it can have the candidate's own vote.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::sleep;

use crate::log_store::LogStore;
use crate::types::{Raft, Vote};

/// How often a node stands against one candidate. The first try can meet the candidate's own vote, which may be the
/// higher one of the same term; the second is of the next term.
const TRIES: u32 = 3;
/// Longer than an exchange between two nodes and the two fsyncs in it mostly take.
const BETWEEN_TRIES: Duration = Duration::from_millis(60);
/// Several that meet one candidate stand at different moments.
const JITTER: Duration = Duration::from_millis(20);

/// What a member's network has seen of leaders and candidates.
pub(crate) struct Elections {
    /// openraft's lease of a leader over its followers.
    lease: Duration,
    /// When the last append of a leader was taken.
    heard: Mutex<Option<Instant>>,
    /// The last candidate whose log was shorter than this node's.
    lesser: watch::Sender<Option<Vote>>,
}

impl Elections {
    pub(crate) fn new(lease: Duration) -> Arc<Self> {
        Arc::new(Self { lease, heard: Mutex::default(), lesser: watch::Sender::default() })
    }

    /// A leader's append was taken.
    pub(crate) fn leader_heard(&self) {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// The candidate with this vote has a shorter log than this node.
    pub(crate) fn lesser_candidate(&self, vote: Vote) {
        self.lesser.send_replace(Some(vote));
    }

    fn has_leader(&self) -> bool {
        let heard = *self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.is_some_and(|heard| heard.elapsed() <= self.lease)
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
                // openraft sees to it that a leader and a learner do not stand.
                if raft.trigger().elect().await.is_err() {
                    return;
                }
                sleep(BETWEEN_TRIES).await;
            }
        }
    }
}
