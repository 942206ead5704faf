//! What a member does about the members: changes and transfers that are asked for here, and nodes that want to join.

use std::time::Duration;

use tokio::time::Instant;

use super::Member;
use crate::membership::change::{Change, ChangeError, Join, Joined, View};
use crate::membership::request;
use crate::network::path;
use crate::types::NodeId;

/// How long a node that is to come in has to prove itself.
const PROBE_TIMEOUT: Duration = Duration::from_millis(2500);

impl Member {
    /// Has the leader take a change on.
    async fn ask_for(&self, change: &Change) -> Result<NodeId, ChangeError> {
        let timeout = self.config.load().raft.request_timeout;
        let question = (path::CHANGE, change);
        request::at_leader(&self.leadership, timeout, question, || self.take_on(change)).await
    }

    /// Takes a change on, as the leader. A node that is named by its address must be there first, and know the
    /// secret: a typing error is told, and changes nothing. Whoever is there learns a nonce.
    pub(super) async fn take_on(&self, change: &Change) -> Result<NodeId, ChangeError> {
        if let Some((id, raft)) = self.manager.newcomer(change).await? {
            let probed = self.peers.probe(id, &raft, Instant::now() + PROBE_TIMEOUT).await;
            probed.map_err(|error| ChangeError::Unreachable(format!("{error}; nothing was changed")))?;
        }
        self.manager.accept(change).await
    }

    /// Has a change made, and waits for its end; for an addition, until the node is a learner.
    pub(super) async fn change(&self, change: Change) -> Result<NodeId, ChangeError> {
        if self.elections.is_removed() {
            return Err(ChangeError::NoCluster);
        }
        let id = self.ask_for(&change).await?;
        request::ended(&self.leadership, &change, id, || self.manager.view()).await?;
        self.cluster_map.forget().await;
        Ok(id)
    }

    /// Has the leader raise the cluster version.
    pub(super) async fn finalize(&self) -> Result<u16, ChangeError> {
        if self.elections.is_removed() {
            return Err(ChangeError::NoCluster);
        }
        let timeout = self.config.load().raft.request_timeout;
        let question = (path::FINALIZE, &());
        request::at_leader(&self.leadership, timeout, question, || self.manager.finalize()).await
    }

    /// Has `target`, or another voter, lead.
    pub(super) async fn transfer_to(&self, target: Option<NodeId>) -> Result<NodeId, ChangeError> {
        let timeout = self.config.load().raft.request_timeout;
        let here = || async { self.transfer_here(target).await };
        let leader = request::at_leader(&self.leadership, timeout, (path::TRANSFER, &target), here).await;
        self.cluster_map.forget().await;
        leader
    }

    pub(super) async fn transfer_here(&self, target: Option<NodeId>) -> Result<NodeId, ChangeError> {
        Ok(self.transfer.run(target, self.config.load().raft.request_timeout).await?)
    }

    /// Lets a node in that has no data and no cluster.
    pub(super) async fn let_in(&self, join: Join) -> Result<Joined, ChangeError> {
        let version = self.cluster_version();
        if join.newest_version < version {
            return Err(ChangeError::Refused(format!(
                "this cluster's version is {version}, and the program of the node that would join knows versions up to {}: \
                 it needs a newer one",
                join.newest_version
            )));
        }
        let id =
            self.ask_for(&Change::Add { id: join.id, raft: join.raft, fresh: true, force: false }).await?;
        tracing::info!(node = self.id, joins = id, "a node joins");
        let metrics = self.raft.server_metrics();
        let membership = metrics.borrow().membership_config.membership().clone();
        let members = membership.nodes().map(|(id, peer)| (*id, peer.clone())).collect();
        Ok(Joined { id, cluster_id: self.cluster_id.clone(), members })
    }

    pub(super) fn membership_view(&self) -> Option<View> {
        self.manager.view()
    }
}
