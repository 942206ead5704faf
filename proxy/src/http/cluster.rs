//! `/cluster/…`: what `RAFT.STATUS` and the health monitor say, and `RAFT.NODE ADD`, `REPLACE` and `REMOVE`, as JSON.

use hyper::StatusCode;
use raft::handle::{Change, ChangeError};
use raft::health::HealthView;
use raft::status::{MemberStatus, NodeStatus};
use serde::{Deserialize, Serialize};

use super::answer::{Answer, Failure};
use super::call::Call;
use crate::resp_error::RespError;
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

/// What `POST /cluster/members` is given.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewMember {
    /// Its id; 0 or none to be given one.
    #[serde(default)]
    id: u64,
    /// `host:port` of its Raft listener.
    raft: String,
    /// The member that goes when this one votes.
    replaces: Option<u64>,
    /// Also if no node that knows the secret is there.
    #[serde(default)]
    force: bool,
}

/// What a change of the members answers.
#[derive(Serialize)]
struct Changed {
    id: u64,
    cluster_id: String,
}

/// `/cluster/health`
#[derive(Serialize)]
struct Health {
    healthy: bool,
    #[serde(flatten)]
    view: HealthView,
}

pub(super) async fn status(shared: &Shared) -> Result<Answer, Failure> {
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

pub(super) async fn members(shared: &Shared) -> Result<Answer, Failure> {
    Answer::json(&Members { members: shared.members().await })
}

pub(super) async fn add_member(shared: &Shared, call: &Call) -> Result<Answer, Failure> {
    let NewMember { id, raft, replaces, force } = call.json()?;
    let raft = conf::value::host_port(&raft)
        .map_err(|wanted| Failure::bad(format!("raft must be {wanted}, not {raft:?}")))?;
    let change = match replaces {
        None => Change::Add { id, raft, fresh: false, force },
        Some(old) => Change::Replace { old, new: id, raft, force },
    };
    changed(shared, change).await
}

pub(super) async fn remove_member(shared: &Shared, call: &Call) -> Result<Answer, Failure> {
    let id = call.argument("id").and_then(|id| id.parse().ok());
    let id = id.ok_or_else(|| Failure::bad("id must be the number of a member"))?;
    changed(shared, Change::Remove { id, force: call.switch("force")? }).await
}

async fn changed(shared: &Shared, change: Change) -> Result<Answer, Failure> {
    let id = shared.handle.change_membership(change).await.map_err(refused)?;
    Answer::json(&Changed { id, cluster_id: shared.handle.status().cluster_id })
}

fn refused(error: ChangeError) -> Failure {
    let status = match &error {
        ChangeError::NoSuchNode => StatusCode::NOT_FOUND,
        ChangeError::NoLeader | ChangeError::NoCluster => StatusCode::SERVICE_UNAVAILABLE,
        ChangeError::Unknown | ChangeError::GoesOn(_) | ChangeError::TransferTimedOut => {
            StatusCode::GATEWAY_TIMEOUT
        }
        ChangeError::Unreachable(_) => StatusCode::BAD_GATEWAY,
        _ => StatusCode::CONFLICT,
    };
    Failure::new(status, error.text())
}

pub(super) fn health(shared: &Shared) -> Result<Answer, Failure> {
    let view = shared.handle.health_view();
    Answer::json(&Health { healthy: view.is_healthy(), view })
}
