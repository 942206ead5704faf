//! `raft-proxy ctl digest`: the digest of a node's data, or of all nodes' at one log index.

use raft::status::{MemberStatus, NodeStatus};
use serde_json::{Value, json};
use tabled::Tabled;
use tabled::settings::Style;

use super::super::client::Client;
use super::super::failure::Failure;
use super::super::status;
use super::call::{Call, plain, print_json};

/// How far ahead of the newest log entry the index lies that nodes are compared at: nothing where nobody writes, and
/// more with each try, until the writes that come meanwhile do not overtake it before all are asked.
const AHEAD: [u64; 6] = [0, 10, 100, 1_000, 10_000, 100_000];

#[derive(Tabled)]
struct Row {
    id: u64,
    address: String,
    index: u64,
    digest: String,
}

/// Asks one node or all.
pub(super) fn run(call: &Call<'_>) -> Result<(), Failure> {
    if call.args.get_flag("all") {
        return compare(call);
    }
    let at = call.args.get_one::<u64>("at").map(u64::to_string);
    let command = match &at {
        Some(index) => vec!["RAFT.DIGEST", "AT", index],
        None => vec!["RAFT.DIGEST"],
    };
    let reply = plain(&call.ask(&command)?);
    let (index, digest) = (&reply[0], reply[1].as_str().unwrap_or_default());
    call.show(&format!("{digest} at index {index}"), json!({ "index": index, "digest": digest }))
}

/// A node to be asked.
struct Node {
    id: u64,
    address: String,
    last_log: u64,
}

fn compare(call: &Call<'_>) -> Result<(), Failure> {
    let mut failure = Failure::Failed("there is no node to ask".to_owned());
    for ahead in AHEAD {
        let nodes = nodes(call)?;
        let index = nodes.iter().map(|node| node.last_log).max().unwrap_or(0) + ahead;
        match ask_all(call, &nodes, index) {
            Ok(rows) => return show(call, &rows),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

fn nodes(call: &Call<'_>) -> Result<Vec<Node>, Failure> {
    let members = status::ask(call.address, call.password, call.patience)?;
    let node = |member: MemberStatus| match member.node {
        Some(NodeStatus { id, resp, last_log, .. }) => Ok(Node { id, address: resp, last_log }),
        None => Err(Failure::Failed(format!("node {} is unreachable", member.id))),
    };
    members.into_iter().map(node).collect()
}

/// Asks all at once, because each waits until it is there.
fn ask_all(call: &Call<'_>, nodes: &[Node], index: u64) -> Result<Vec<Row>, Failure> {
    std::thread::scope(|scope| {
        let asked: Vec<_> =
            nodes.iter().map(|node| scope.spawn(move || ask_one(call, node, index))).collect();
        let ended = || Failure::Failed("a thread has ended early".to_owned());
        asked.into_iter().map(|answer| answer.join().unwrap_or_else(|_| Err(ended()))).collect()
    })
}

fn ask_one(call: &Call<'_>, node: &Node, index: u64) -> Result<Row, Failure> {
    let mut client = Client::connect(&node.address, call.password, call.patience)?;
    let reply = plain(&client.call(&["RAFT.DIGEST", "AT", &index.to_string()])?);
    let digest = reply[1].as_str().unwrap_or_default().to_owned();
    Ok(Row { id: node.id, address: node.address.clone(), index, digest })
}

fn show(call: &Call<'_>, rows: &[Row]) -> Result<(), Failure> {
    let equal = rows.windows(2).all(|pair| pair[0].digest == pair[1].digest);
    if call.args.get_flag("json") {
        let node = |row: &Row| json!({ "id": row.id, "address": row.address, "digest": row.digest });
        let nodes: Vec<Value> = rows.iter().map(node).collect();
        print_json(&json!({ "equal": equal, "index": rows.first().map(|row| row.index), "nodes": nodes }))?;
    } else {
        println!("{}", tabled::Table::new(rows).with(Style::sharp()));
    }
    if equal { Ok(()) } else { Err(Failure::Unhealthy("the nodes' data differ".to_owned())) }
}
