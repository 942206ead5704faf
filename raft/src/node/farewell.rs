//! How a member leaves for a while: it answers what it has taken on, gives up leading, and closes its storage. And how it
//! gives up leading alone, when its storage cannot be used.
//!
//! openraft 0.9 has no leader transfer. The orthodox way: the leader stops its heartbeats, waits until the voters'
//! lease of it has run out, and has the follower that is furthest stand for election. Nothing is voided by it: the
//! election is one like any other.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use adapter::Adapter;
use tokio::time::{Instant, sleep, timeout};

use super::Member;
use crate::network::path;
use crate::proposer::Route;
use crate::types::NodeId;

/// How long what is under way may take to be answered.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);
/// Lets a follower's vote request arrive behind the end of the last lease.
const LEASE_MARGIN: Duration = Duration::from_millis(50);
/// How long one follower has to win before the next is asked.
const ELECTION_TIMEOUT: Duration = Duration::from_millis(500);
/// How often a leader looks at its storage; one that cannot be used twice in a row costs it its place.
const FITNESS_INTERVAL: Duration = Duration::from_millis(500);
/// How long openraft's core has to end.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

impl<A: Adapter> Member<A> {
    pub(super) async fn leave(&self) {
        self.proposer.close();
        self.proposer.drain(Instant::now() + DRAIN_TIMEOUT).await;
        if self.stopping.swap(true, Ordering::AcqRel) {
            return;
        }
        self.yielding.store(true, Ordering::Release);
        if self.leadership.route() == Route::Here {
            self.hand_over(self.heirs()).await;
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
        let heirs: Vec<NodeId> = self.heirs().into_iter().filter(|heir| fit.contains(heir)).collect();
        if heirs.is_empty() || self.stopping.load(Ordering::Acquire) {
            return;
        }
        tracing::warn!(storage = self.adapter.health().detail, "the storage cannot be used");
        self.yielding.store(true, Ordering::Release);
        self.hand_over(heirs).await;
        if !self.stopping.load(Ordering::Acquire) {
            self.yielding.store(false, Ordering::Release);
            self.raft.runtime_config().heartbeat(true);
        }
    }

    async fn hand_over(&self, candidates: Vec<NodeId>) {
        if candidates.is_empty() {
            return;
        }
        tracing::info!(?candidates, "leadership is handed over");
        self.reads.revoke_lease();
        self.raft.runtime_config().heartbeat(false);
        let lease = self.config.load().raft.election_timeout_max;
        sleep(lease + LEASE_MARGIN).await;
        for heir in candidates {
            let Some(pool) = self.leadership.peer(heir) else { continue };
            let asked = pool.call(path::ELECT, Vec::new(), Instant::now() + ELECTION_TIMEOUT).await;
            if let Err(error) = asked {
                tracing::info!(heir, %error, "the next one is asked to lead");
                continue;
            }
            if timeout(ELECTION_TIMEOUT, self.succeeded()).await.is_ok() {
                return;
            }
        }
        tracing::warn!("nobody has taken over leadership in time; the others elect when this node is gone");
    }

    /// Returns when somebody else leads.
    async fn succeeded(&self) {
        let mut leadership = self.leadership.clone();
        while !matches!(leadership.route(), Route::To(_)) {
            if !leadership.changed().await {
                return;
            }
        }
    }

    /// The other voters, the one that has most of the log first.
    fn heirs(&self) -> Vec<NodeId> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        let Some(replication) = &metrics.replication else { return Vec::new() };
        let voters: Vec<NodeId> = metrics.membership_config.membership().voter_ids().collect();
        let mut heirs: Vec<_> = replication
            .iter()
            .filter(|(id, matched)| **id != self.id && matched.is_some() && voters.contains(*id))
            .collect();
        heirs.sort_by_key(|(id, matched)| (Reverse(**matched), **id));
        heirs.into_iter().map(|(id, _)| *id).collect()
    }
}
