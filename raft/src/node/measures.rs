//! What a member counts where it happens. What is looked up when somebody asks is in `member/metrics.rs`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use metrics::{Counter, Histogram};

use crate::read_index::Index;
use crate::types::NodeId;

/// What the rounds of read indices bring.
pub(super) struct RoundMeasures {
    rounds: Counter,
    failed: Counter,
    duration: Histogram,
}

impl RoundMeasures {
    pub(super) fn new() -> Self {
        Self {
            rounds: metrics::counter!("raft_proxy_read_index_rounds_total"),
            failed: metrics::counter!("raft_proxy_read_index_failed_total"),
            duration: metrics::histogram!("raft_proxy_read_index_duration_seconds"),
        }
    }

    /// Runs a round, and counts it.
    pub(super) async fn round(&self, round: impl Future<Output = Index>) -> Index {
        let began = Instant::now();
        let index = round.await;
        self.rounds.increment(1);
        self.duration.record(began.elapsed());
        if index.is_err() {
            self.failed.increment(1);
        }
        index
    }
}

/// How often this node has seen another leader.
#[derive(Default)]
pub(super) struct LeaderChanges {
    seen: AtomicU64,
    last: AtomicU64,
}

impl LeaderChanges {
    pub(super) fn count(&self) -> u64 {
        self.seen.load(Ordering::Acquire)
    }

    /// This is the leader now; nodes' ids begin with 1.
    pub(super) fn see(&self, leader: Option<NodeId>) {
        if let Some(leader) = leader
            && self.last.swap(leader, Ordering::AcqRel) != leader
        {
            self.seen.fetch_add(1, Ordering::AcqRel);
        }
    }
}
