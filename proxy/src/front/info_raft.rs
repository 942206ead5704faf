//! The `raft` section of INFO: field names are those of RedisRaft, and of this project where RedisRaft has none.

use std::fmt::Write as _;

use raft::health::{MemberHealth, MemberState};
use raft::status::{MemberStatus, Role};

use crate::shared::Shared;

/// Writes the section's lines.
pub(super) async fn write(shared: &Shared, text: &mut String) {
    let status = shared.handle.status();
    let members = shared.members().await;
    let voter = members.iter().any(|member| member.id == status.id && member.voter);
    let voters = members.iter().filter(|member| member.voter).count();
    let state = match status.role {
        Role::Standalone => "standalone",
        Role::Starting => "loading",
        Role::Removed => "removed",
        _ if status.cluster_id.is_empty() => "uninitialized",
        _ => "up",
    };
    // Writing to a string cannot fail.
    let _ = write!(
        text,
        "raft_node_id:{}\r\nraft_state:{state}\r\nraft_role:{}\r\nraft_is_voting:{}\r\nraft_leader_id:{}\r\n\
         raft_current_term:{}\r\nraft_num_nodes:{}\r\nraft_num_voting_nodes:{voters}\r\n\
         raft_last_log_index:{}\r\nraft_applied_index:{}\r\nraft_snapshot_index:{}\r\nraft_purged_index:{}\r\n\
         raft_cluster_id:{}\r\nraft_cluster_version:{}\r\nraft_newest_version:{}\r\n",
        status.id,
        status.role.name(),
        yes_or_no(voter),
        status.leader.map_or_else(|| "-1".to_owned(), |leader| leader.to_string()),
        status.term,
        members.len(),
        status.last_log,
        status.applied,
        status.snapshot,
        status.purged,
        status.cluster_id,
        status.cluster_version,
        status.newest_version,
    );
    let view = shared.handle.health_view();
    let skew = |skew: Option<i64>| skew.map_or_else(|| "unknown".to_owned(), |skew| skew.to_string());
    let own = view.member(status.id).and_then(|member| member.clock_skew_ms);
    let _ = write!(
        text,
        "raft_log_time_ms:{}\r\nraft_log_time_skew_ms:{}\r\nraft_clock_skew_ms:{}\r\n",
        shared.handle.now_ms(),
        skew(view.log_time_skew_ms),
        skew(own),
    );
    for member in &members {
        node(member, view.member(member.id), text);
    }
}

/// `raft_node<id>`: address and port are those that the membership says, `resp` is where clients connect, as the
/// node itself says.
///
/// `last_conn_secs`, `conn_errors` and `conn_oks` are of connections from this node to that one, as RedisRaft counts
/// them; this node has none to itself.
fn node(member: &MemberStatus, health: Option<&MemberHealth>, text: &mut String) {
    let (address, port) = member.raft.rsplit_once(':').unwrap_or((&member.raft, "0"));
    let (state, resp) =
        member.node.as_ref().map_or(("unreachable", ""), |node| (node.role.name(), &*node.resp));
    let connections = health.and_then(|health| health.connections).unwrap_or_default();
    let last = connections.last_seconds.map_or(-1, |seconds| i64::try_from(seconds).unwrap_or(i64::MAX));
    let health = health.map_or(MemberState::Unknown, |health| health.state);
    let _ = write!(
        text,
        "raft_node{}:id={},state={state},voting={},addr={address},port={port},last_conn_secs={last},\
         conn_errors={},conn_oks={},resp={resp},health={health}\r\n",
        member.id,
        member.id,
        yes_or_no(member.voter),
        connections.errors,
        connections.oks,
    );
}

fn yes_or_no(yes: bool) -> &'static str {
    if yes { "yes" } else { "no" }
}
