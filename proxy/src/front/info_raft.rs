//! The `raft` section of INFO: field names are those of RedisRaft, and of this project where RedisRaft has none.

use std::fmt::Write as _;

use adapter::Adapter;
use raft::handle::{MemberStatus, Role};

use crate::shared::Shared;

/// Writes the section's lines.
pub(super) async fn write<A: Adapter>(shared: &Shared<A>, text: &mut String) {
    let status = shared.handle.status();
    let members = shared.members().await;
    let voter = members.iter().any(|member| member.id == status.id && member.voter);
    let voters = members.iter().filter(|member| member.voter).count();
    let state = match status.role {
        Role::Standalone => "standalone",
        _ if status.cluster_id.is_empty() => "uninitialized",
        _ => "up",
    };
    // Writing to a string cannot fail.
    let _ = write!(
        text,
        "raft_node_id:{}\r\nraft_state:{state}\r\nraft_role:{}\r\nraft_is_voting:{}\r\nraft_leader_id:{}\r\n\
         raft_current_term:{}\r\nraft_num_nodes:{}\r\nraft_num_voting_nodes:{voters}\r\n\
         raft_last_log_index:{}\r\nraft_applied_index:{}\r\nraft_snapshot_index:{}\r\nraft_purged_index:{}\r\n\
         raft_cluster_id:{}\r\n",
        status.id,
        role(status.role),
        yes_or_no(voter),
        status.leader.map_or_else(|| "-1".to_owned(), |leader| leader.to_string()),
        status.term,
        members.len(),
        status.last_log,
        status.applied,
        status.snapshot,
        status.purged,
        status.cluster_id,
    );
    for member in &members {
        node(member, text);
    }
}

/// `raft_node<id>`: address and port are those that the membership says, `resp` is where clients connect, as the
/// node itself says.
fn node(member: &MemberStatus, text: &mut String) {
    let (address, port) = member.raft.rsplit_once(':').unwrap_or((&member.raft, "0"));
    let (state, resp) =
        member.node.as_ref().map_or(("unreachable", ""), |node| (role(node.role), &*node.resp));
    let _ = write!(
        text,
        "raft_node{}:id={},state={state},voting={},addr={address},port={port},resp={resp}\r\n",
        member.id,
        member.id,
        yes_or_no(member.voter),
    );
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Leader => "leader",
        Role::Follower => "follower",
        Role::Candidate => "candidate",
        Role::Learner => "learner",
        Role::Standalone => "standalone",
    }
}

fn yes_or_no(yes: bool) -> &'static str {
    if yes { "yes" } else { "no" }
}
