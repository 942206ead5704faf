//! `raft-proxy ctl members`: who belongs to the cluster.

use serde_json::json;
use tabled::Tabled;
use tabled::settings::Style;

use super::super::failure::Failure;
use super::super::status;
use super::call::{Call, print_json};

#[derive(Tabled)]
struct Row {
    id: u64,
    membership: &'static str,
    role: &'static str,
    #[tabled(rename = "raft address")]
    raft: String,
    #[tabled(rename = "client address")]
    resp: String,
}

/// Asks a node and prints the table.
pub(super) fn run(call: &Call<'_>) -> Result<(), Failure> {
    let members = status::ask(call.address, call.password, call.patience)?;
    let rows = members.iter().map(|member| Row {
        id: member.id,
        membership: if member.voter { "voter" } else { "learner" },
        role: member.node.as_ref().map_or("unreachable", |node| node.role.name()),
        raft: member.raft.clone(),
        resp: member.node.as_ref().map(|node| node.resp.clone()).unwrap_or_default(),
    });
    if call.args.get_flag("json") {
        let rows = rows.map(|row| {
            json!({
                "id": row.id, "membership": row.membership, "role": row.role,
                "raft_address": row.raft, "client_address": row.resp,
            })
        });
        return print_json(&rows.collect::<Vec<_>>().into());
    }
    println!("{}", tabled::Table::new(rows).with(Style::sharp()));
    Ok(())
}
