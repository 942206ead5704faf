//! How a member leaves for a while: it answers what it has taken on, gives up leading, and closes its storage. And
//! how it gives up leading alone, when its storage cannot be used.
//!
//! Leadership goes to the follower that is furthest, by a [transfer](crate::membership::transfer).

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::Member;
use crate::membership::change::TransferError;
use crate::proposer::Route;
use crate::types::NodeId;

/// How long what is under way may take to be answered.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);
/// How long one follower may take to come near enough to the end of the log to lead.
const HAND_OVER_TIMEOUT: Duration = Duration::from_millis(500);
/// How often a leader looks at its storage; one that cannot be used twice in a row costs it its place.
const FITNESS_INTERVAL: Duration = Duration::from_millis(500);
/// How long openraft's core has to end.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

impl Member {
    pub(super) async fn leave(&self) {
        self.proposer.close();
        self.proposer.drain(Instant::now() + DRAIN_TIMEOUT).await;
        if self.stopping.swap(true, Ordering::AcqRel) {
            return;
        }
        self.yielding.store(true, Ordering::Release);
        if self.leadership.route() == Route::Here {
            self.hand_over(self.transfer.heirs()).await;
        }
        // No elections of our own any more, and nothing more to apply.
        self.raft.runtime_config().elect(false);
        match timeout(STOP_TIMEOUT, self.raft.shutdown()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "Raft has not ended well"),
            Err(_) => tracing::warn!("Raft has not ended in time"),
        }
        self.tasks().clear();
        match self.adapter.flush().await {
            Ok(position) => tracing::info!(index = position.index, "the storage is flushed"),
            Err(error) => {
                tracing::error!(%error, "the storage could not be flushed; the log will bring it up to date")
            }
        }
        self.adapter.close().await;
    }

    /// Gives up leading while this member's storage cannot be used and another's can. For ever.
    pub(super) async fn lead_only_when_fit(member: Weak<Self>) {
        let mut unfit = 0;
        loop {
            sleep(FITNESS_INTERVAL).await;
            let Some(member) = member.upgrade() else { return };
            let leads = member.leadership.route() == Route::Here;
            unfit = if leads && !member.adapter.health().ok { unfit + 1 } else { 0 };
            if unfit >= 2 {
                unfit = 0;
                member.yield_leadership().await;
            }
        }
    }

    async fn yield_leadership(self: &Arc<Self>) {
        let statuses = self.member_statuses().await;
        let fit: BTreeSet<NodeId> = statuses
            .into_iter()
            .filter(|member| member.node.as_ref().is_some_and(|node| node.storage.ok))
            .map(|member| member.id)
            .collect();
        let heirs: Vec<NodeId> =
            self.transfer.heirs().into_iter().filter(|heir| fit.contains(heir)).collect();
        if heirs.is_empty() || self.stopping.load(Ordering::Acquire) {
            return;
        }
        tracing::warn!(storage = self.adapter.health().detail, "the storage cannot be used");
        self.yielding.store(true, Ordering::Release);
        self.hand_over(heirs).await;
        if !self.stopping.load(Ordering::Acquire) {
            self.yielding.store(false, Ordering::Release);
        }
    }

    /// Has one of these lead, the first that can.
    async fn hand_over(&self, heirs: Vec<NodeId>) {
        for heir in heirs {
            match self.transfer.run(Some(heir), HAND_OVER_TIMEOUT).await {
                Ok(_) | Err(TransferError::Different | TransferError::NotLeader) => return,
                Err(error) => tracing::info!(heir, %error, "the next one is asked to lead"),
            }
        }
        tracing::warn!("nobody has taken over leadership in time; the others elect when this node is gone");
    }
}
