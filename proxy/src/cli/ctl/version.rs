//! `raft-proxy ctl version`: the cluster version, and which programs the members run.

use serde_json::json;
use tabled::Tabled;
use tabled::settings::Style;

use super::super::failure::Failure;
use super::super::status;
use super::call::{Call, print_json};

#[derive(Tabled)]
struct Row {
    id: u64,
    program: String,
    #[tabled(rename = "cluster version")]
    version: String,
    #[tabled(rename = "newest known")]
    newest: String,
}

/// Shows the versions, or has the cluster's raised.
pub(super) fn run(call: &Call<'_>) -> Result<(), Failure> {
    if call.args.get_flag("finalize") {
        return call.change(
            &["RAFT.CLUSTER", "VERSION", "FINALIZE"],
            "the cluster uses the newest version that all nodes know",
        );
    }
    let members = status::ask(call.address, call.password, call.patience)?;
    if call.args.get_flag("json") {
        let rows = members.iter().map(|member| {
            let node = member.node.as_ref();
            json!({
                "id": member.id,
                "program": node.map(|node| &node.program),
                "cluster_version": node.map(|node| node.cluster_version),
                "newest_version": node.map(|node| node.newest_version),
            })
        });
        return print_json(&rows.collect::<Vec<_>>().into());
    }
    let rows = members.iter().map(|member| match &member.node {
        Some(node) => Row {
            id: member.id,
            program: node.program.clone(),
            version: node.cluster_version.to_string(),
            newest: node.newest_version.to_string(),
        },
        None => Row {
            id: member.id,
            program: "unreachable".to_owned(),
            version: String::new(),
            newest: String::new(),
        },
    });
    println!("{}", tabled::Table::new(rows).with(Style::sharp()));
    Ok(())
}
