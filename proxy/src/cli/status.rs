//! `raft-proxy status`: a table of nodes.

use std::time::Duration;

use clap::ArgMatches;
use raft::status::{MemberStatus, NodeStatus, Role};
use tabled::Tabled;
use tabled::settings::Style;

use super::client::Client;
use super::failure::Failure;

#[derive(Tabled)]
struct Row {
    id: u64,
    role: String,
    address: String,
    term: String,
    #[tabled(rename = "last log")]
    last_log: String,
    applied: String,
    lag: String,
    storage: String,
    uptime: String,
}

/// How long a node may take to say how all are; it gives the others a second.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// Asks a node how all are and prints it.
pub(super) fn run(args: &ArgMatches, patience: Duration) -> Result<(), Failure> {
    let address = args.get_one::<String>("addr").map_or("127.0.0.1:6400", String::as_str);
    let password = args.get_one::<String>("password").map(String::as_str);
    let members = ask(address, password, patience)?;
    if args.get_flag("json") {
        let text = serde_json::to_string_pretty(&members).map_err(Failure::because("cannot write JSON"))?;
        println!("{text}");
    } else {
        let last = members.iter().filter_map(|member| member.node.as_ref()).map(|node| node.last_log).max();
        let rows = members.iter().map(|member| row(member, last.unwrap_or(0)));
        println!("{}", tabled::Table::new(rows).with(Style::sharp()));
    }
    why_leaderless(&members).map_or(Ok(()), |why| Err(Failure::Unhealthy(why)))
}

/// Why nobody can be served, if no node leads.
fn why_leaderless(members: &[MemberStatus]) -> Option<String> {
    let nodes = || members.iter().filter_map(|member| member.node.as_ref());
    if nodes().any(|node| matches!(node.role, Role::Leader | Role::Standalone)) {
        return None;
    }
    if nodes().all(|node| node.cluster_id.is_empty()) {
        return Some("the node belongs to no cluster".to_owned());
    }
    let starting = nodes().find(|node| node.role == Role::Starting);
    Some(starting.map_or_else(
        || "no node leads".to_owned(),
        |node| format!("no node leads: node {} is starting and waits for the other members", node.id),
    ))
}

/// The status of all members, as seen from one of them.
pub(super) fn ask(
    address: &str,
    password: Option<&str>,
    patience: Duration,
) -> Result<Vec<MemberStatus>, Failure> {
    let mut client = Client::connect(address, password, patience)?;
    let text = client.text(&["RAFT.STATUS"])?;
    serde_json::from_str(&text).map_err(Failure::because(format!("{address} gave a status of another form")))
}

fn row(member: &MemberStatus, last: u64) -> Row {
    let Some(node) = &member.node else {
        return Row {
            id: member.id,
            role: "unreachable".to_owned(),
            address: member.raft.clone(),
            term: String::new(),
            last_log: String::new(),
            applied: String::new(),
            lag: String::new(),
            storage: String::new(),
            uptime: String::new(),
        };
    };
    Row {
        id: member.id,
        role: node.role.name().to_owned(),
        address: node.resp.clone(),
        term: node.term.to_string(),
        last_log: node.last_log.to_string(),
        applied: node.applied.to_string(),
        lag: last.saturating_sub(node.applied).to_string(),
        storage: storage(node),
        uptime: conf::value::write_duration(Duration::from_secs(node.uptime_seconds)),
    }
}

fn storage(node: &NodeStatus) -> String {
    let size = format!("{:.1} MiB", node.storage.bytes as f64 / f64::from(1 << 20));
    let health = if node.storage.ok { "ok" } else { &node.storage.detail };
    format!("{}, {size}, {health}", node.storage_kind)
}
