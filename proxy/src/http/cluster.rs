//! `/cluster/…`: what `RAFT.STATUS` and the health monitor say, as JSON.

use adapter::Adapter;
use raft::handle::{MemberStatus, NodeStatus};
use raft::health::HealthView;
use serde::Serialize;

use super::answer::{Answer, Failure};
use crate::shared::Shared;

/// `/cluster/status`
#[derive(Serialize)]
struct Status {
    cluster_id: String,
    leader: Option<u64>,
    term: u64,
    voters: usize,
    members: usize,
    node: NodeStatus,
}

/// `/cluster/members`
#[derive(Serialize)]
struct Members {
    members: Vec<MemberStatus>,
}

/// `/cluster/health`
#[derive(Serialize)]
struct Health {
    healthy: bool,
    #[serde(flatten)]
    view: HealthView,
}

pub(super) async fn status<A: Adapter>(shared: &Shared<A>) -> Result<Answer, Failure> {
    let (node, view) = (shared.handle.status(), shared.handle.health_view());
    Answer::json(&Status {
        cluster_id: node.cluster_id.clone(),
        leader: node.leader,
        term: node.term,
        voters: view.members.iter().filter(|member| member.voter).count(),
        members: view.members.len(),
        node,
    })
}

pub(super) async fn members<A: Adapter>(shared: &Shared<A>) -> Result<Answer, Failure> {
    Answer::json(&Members { members: shared.members().await })
}

pub(super) fn health<A: Adapter>(shared: &Shared<A>) -> Result<Answer, Failure> {
    let view = shared.handle.health_view();
    Answer::json(&Health { healthy: view.is_healthy(), view })
}
