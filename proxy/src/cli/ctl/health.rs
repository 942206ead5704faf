//! `raft-proxy ctl health`: whether every node is well, and the cluster can serve.

use raft::status::{MemberStatus, NodeStatus, Role};
use serde_json::json;
use tabled::Tabled;
use tabled::settings::Style;

use super::super::failure::Failure;
use super::super::status;
use super::call::{Call, print_json};

#[derive(Tabled)]
struct Row {
    id: u64,
    address: String,
    health: bool,
    error: String,
}

/// Asks a node how all are; fails if one is not well.
pub(super) fn run(call: &Call<'_>) -> Result<(), Failure> {
    let members = status::ask(call.address, call.password, call.patience)?;
    let rows: Vec<Row> = members.iter().map(row).collect();
    let cluster = cluster_error(&members);
    let healthy = cluster.is_none() && rows.iter().all(|row| row.health);
    if call.args.get_flag("json") {
        let nodes: Vec<_> = rows
            .iter()
            .map(|row| {
                json!({ "id": row.id, "address": row.address, "healthy": row.health, "error": row.error })
            })
            .collect();
        print_json(&json!({ "healthy": healthy, "error": cluster, "nodes": nodes }))?;
    } else {
        println!("{}", tabled::Table::new(&rows).with(Style::sharp()));
    }
    match cluster {
        Some(error) => Err(Failure::Unhealthy(error)),
        None if !healthy => Err(Failure::Unhealthy("not every node is well".to_owned())),
        None => Ok(()),
    }
}

fn row(member: &MemberStatus) -> Row {
    let error = node_error(member.node.as_ref());
    let address = member.node.as_ref().map_or_else(|| member.raft.clone(), |node| node.resp.clone());
    Row { id: member.id, address, health: error.is_none(), error: error.unwrap_or_default() }
}

fn node_error(node: Option<&NodeStatus>) -> Option<String> {
    match node {
        None => Some("unreachable".to_owned()),
        Some(node) if !node.storage.ok => Some(format!("storage: {}", node.storage.detail)),
        Some(node) if node.role != Role::Standalone && node.leader.is_none() => Some("no leader".to_owned()),
        Some(_) => None,
    }
}

/// Why the cluster cannot serve.
fn cluster_error(members: &[MemberStatus]) -> Option<String> {
    let nodes = || members.iter().filter_map(|member| member.node.as_ref());
    if members.is_empty() {
        return Some("the node belongs to no cluster".to_owned());
    }
    if nodes().any(|node| node.role == Role::Standalone) {
        return None;
    }
    let voters = members.iter().filter(|member| member.voter).count();
    let there = members.iter().filter(|member| member.voter && member.node.is_some()).count();
    if there * 2 <= voters {
        return Some(format!("{there} of {voters} voters are reachable: there is no majority"));
    }
    if !nodes().any(|node| node.role == Role::Leader) {
        return Some("no node leads".to_owned());
    }
    None
}
