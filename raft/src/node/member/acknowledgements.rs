//! On how many disks a log entry is, as Raft's own replication tells: for WAIT and WAITAOF.
//!
//! The leader knows how far each follower's log, on its disk, matches its own. Another node asks the leader, which
//! answers once the followers are enough; a node that finds no leader knows of itself alone.

use std::time::Duration;

use conf::Durability;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::Member;
use crate::leadership::Patience;
use crate::network::message::Replicated;
use crate::network::{path, wire};
use crate::proposer::Route;

/// The longest that the leader is asked at a time; it may stop leading meanwhile.
const ASK_FOR: Duration = Duration::from_secs(1);
/// Lets the leader's answer arrive.
const TRAVEL: Duration = Duration::from_millis(500);
/// The wait before somebody is asked again.
const RETRY_PAUSE: Duration = Duration::from_millis(20);
/// How often this node's log is looked at.
const SYNC_PAUSE: Duration = Duration::from_millis(2);

impl Member {
    /// Waits until `wanted` members besides the leader have an entry that is committed, or for that long; how many
    /// are known to have it.
    pub(super) async fn acknowledged(&self, index: u64, wanted: usize, patience: Duration) -> usize {
        let deadline = Instant::now() + patience;
        let mut known = 0;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let heard = match self.leadership.route() {
                Route::Here => Some(self.wait_for_followers(index, wanted, left.min(ASK_FOR)).await),
                Route::To(leader) => self.ask_leader(leader, index, wanted, left.min(ASK_FOR)).await,
                Route::Nowhere => None,
            };
            // What was on a disk once stays there, whoever leads.
            known = known.max(heard.unwrap_or_else(|| usize::from(self.is_follower_with(index))));
            if known >= wanted || Instant::now() >= deadline {
                return known;
            }
            sleep(RETRY_PAUSE).await;
        }
    }

    /// As [`Self::acknowledged`] for a node that asks; none if this node does not lead.
    pub(super) async fn replicated_here(&self, question: Replicated) -> Option<u32> {
        if self.leadership.route() != Route::Here {
            return None;
        }
        let budget = Duration::from_millis(question.budget_ms.into()).min(ASK_FOR);
        let wanted = usize::try_from(question.wanted).unwrap_or(usize::MAX);
        u32::try_from(self.wait_for_followers(question.index, wanted, budget).await).ok()
    }

    async fn wait_for_followers(&self, index: u64, wanted: usize, patience: Duration) -> usize {
        let mut metrics = self.raft.data_metrics();
        let mut known = 0;
        // Ends early if openraft does, and the node with it.
        let _ = timeout(patience, async {
            loop {
                known = known.max(self.followers_with(index, &metrics.borrow_and_update()));
                if known >= wanted || metrics.changed().await.is_err() {
                    return;
                }
            }
        })
        .await;
        known
    }

    fn followers_with(&self, index: u64, metrics: &openraft::metrics::RaftDataMetrics<u64>) -> usize {
        let Some(replication) = &metrics.replication else { return 0 };
        let has =
            |matched: &Option<crate::types::LogId>| matched.is_some_and(|matched| matched.index >= index);
        replication.iter().filter(|(node, matched)| **node != self.id && has(matched)).count()
    }

    /// Whether this node, were another the leader, would have a committed entry. With two voters or more, some node
    /// besides the one that leads must have it.
    fn is_follower_with(&self, index: u64) -> bool {
        self.leadership.voters().iter().all(|config| config.len() > 1) && self.is_synced(index)
    }

    async fn ask_leader(&self, leader: u64, index: u64, wanted: usize, patience: Duration) -> Option<usize> {
        let question = Replicated {
            index,
            wanted: u32::try_from(wanted).unwrap_or(u32::MAX),
            budget_ms: u32::try_from(patience.as_millis()).unwrap_or(u32::MAX),
        };
        let deadline = Instant::now() + patience + TRAVEL;
        let question = (path::REPLICATED, wire::encode(&question));
        let answer = self.leadership.ask(leader, question, deadline, Patience::NONE).await.ok()?;
        let count = wire::decode::<Option<u32>>(&answer).ok()??;
        usize::try_from(count).ok()
    }

    /// Waits until an entry that is committed is synced to this node's own disk; whether it is in time.
    pub(super) async fn synced(&self, index: u64, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        if self.config.load().raft.durability != Durability::Fsync {
            return false;
        }
        let waited = timeout_at(deadline, async {
            self.reads.wait_applied(index, patience).await;
            while !self.is_synced(index) {
                sleep(SYNC_PAUSE).await;
            }
        });
        waited.await.is_ok()
    }

    /// Whether a committed entry is on this node's disk. What is applied is what was committed; a log may hold another
    /// entry at an index that is not.
    fn is_synced(&self, index: u64) -> bool {
        self.config.load().raft.durability == Durability::Fsync
            && self.reads.applied_upto() >= index
            && self.log.durable_upto() >= index
    }
}
