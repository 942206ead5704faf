//! What a member says of itself, and asks of the others.

use std::time::Duration;

use openraft::ServerState;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Member;
use crate::health::{RosterSource, Watched};
use crate::leadership::STATUS_TIMEOUT;
use crate::network::message::StatusReport;
use crate::network::{path, wire};
use crate::state_machine::Mark;
use crate::status::{MemberStatus, NodeStatus, Role};
use crate::types::{NodeId, Peer, Raft};

/// How long a member that has not answered the health monitor may take to answer after all.
const DOWN_TIMEOUT: Duration = Duration::from_millis(50);

impl Member {
    pub(super) fn node_status(&self) -> NodeStatus {
        let progress = *self.progress.borrow();
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        let config = self.config.load();
        NodeStatus {
            id: self.id,
            cluster_id: self.cluster_id.clone(),
            role: if self.elections.is_removed() { Role::Removed } else { role(metrics.state) },
            term: metrics.current_term,
            leader: self.leadership.leader(),
            last_log: metrics.last_log_index.unwrap_or(0),
            applied: progress.applied.map_or(0, |applied| applied.index),
            snapshot: progress.snapshot.map_or(0, |snapshot| snapshot.index),
            purged: metrics.purged.map_or(0, |purged| purged.index),
            cluster_version: self.cluster_version(),
            ..NodeStatus::of_process(&config, self.adapter.health(), self.started)
        }
    }

    /// The cluster version, as far as this node has applied.
    pub(super) fn cluster_version(&self) -> u16 {
        Mark::of(&self.adapter.applied().position).map_or(0, |mark| mark.version)
    }

    pub(super) fn status_report(&self, asker: NodeId) -> StatusReport {
        let status = self.node_status();
        let applied = self.progress.borrow().applied;
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        let leads = metrics.state.is_leader()
            && applied.is_some_and(|applied| applied.leader_id.term == metrics.current_term);
        let matched = metrics.replication.as_ref().and_then(|replication| *replication.get(&asker)?);
        let removed = Mark::of(&self.adapter.applied().position).is_ok_and(|mark| mark.has_lost(asker));
        StatusReport { status, matched: matched.map(|log_id| log_id.index), leads, removed }
    }

    pub(super) async fn member_statuses(&self) -> Vec<MemberStatus> {
        self.ask_members(STATUS_TIMEOUT).await
    }

    /// Asks all members how they are; each has this long to answer.
    pub(super) async fn ask_members(&self, patience: Duration) -> Vec<MemberStatus> {
        let membership = self.raft.server_metrics().borrow().membership_config.membership().clone();
        let voters: Vec<NodeId> = membership.voter_ids().collect();
        let mut asking = JoinSet::new();
        let mut members = Vec::new();
        for (id, peer) in membership.nodes() {
            let (id, Peer { raft, resp, .. }) = (*id, peer.clone());
            let voter = voters.contains(&id);
            let mut member = MemberStatus { id, voter, raft, resp, connected_ms: 0, node: None };
            if id == self.id {
                member.node = Some(self.node_status());
                members.push(member);
                continue;
            }
            let pool = self.peers.at(id, &member.raft);
            let patience = if self.health.is_down(id) { DOWN_TIMEOUT } else { patience };
            asking.spawn(async move {
                let answer = pool.call(path::STATUS, Vec::new(), Instant::now() + patience).await;
                let report = answer.ok().and_then(|answer| wire::decode::<StatusReport>(&answer).ok());
                member.node = report.map(|report| report.status);
                member.connected_ms = pool.opened_ms();
                member
            });
        }
        members.extend(asking.join_all().await);
        members.sort_by_key(|member| member.id);
        members
    }
}

/// Whom the health monitor watches: the members at the moment when it asks.
pub(super) fn roster(raft: &Raft) -> RosterSource {
    let metrics = raft.server_metrics();
    Box::new(move || {
        let metrics = metrics.borrow();
        let membership = metrics.membership_config.membership();
        let voters: Vec<NodeId> = membership.voter_ids().collect();
        let watched = |(id, peer): (&NodeId, &crate::types::Peer)| {
            (*id, Watched { voter: voters.contains(id), raft: peer.raft.clone() })
        };
        membership.nodes().map(watched).collect()
    })
}

fn role(state: ServerState) -> Role {
    match state {
        ServerState::Leader => Role::Leader,
        ServerState::Candidate => Role::Candidate,
        ServerState::Learner => Role::Learner,
        ServerState::Follower | ServerState::Shutdown => Role::Follower,
    }
}
