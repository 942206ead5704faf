//! The cluster's map in the forms that clients and people read: CLUSTER INFO, NODES, REPLICAS, SLOTS, SHARDS, LINKS.

use std::fmt::Write as _;

use adapter::Reply;
use adapter::clock::unix_ms;
use adapter::command::slot::SLOTS;
use bytes::Bytes;

use super::map::{ClusterNode, Map};

/// `CLUSTER INFO`
pub(super) fn info(map: &Map) -> Reply {
    let is_ok = map.is_led;
    let assigned = if map.master.is_some() { SLOTS } else { 0 };
    let failing = if is_ok { 0 } else { assigned };
    let text = format!(
        "cluster_state:{}\r\ncluster_slots_assigned:{assigned}\r\ncluster_slots_ok:{}\r\n\
         cluster_slots_pfail:{failing}\r\ncluster_slots_fail:0\r\ncluster_known_nodes:{}\r\ncluster_size:{}\r\n\
         cluster_current_epoch:{}\r\ncluster_my_epoch:{}\r\n",
        if is_ok { "ok" } else { "fail" },
        assigned - failing,
        map.nodes.len(),
        u8::from(map.master.is_some()),
        map.epoch,
        map.epoch,
    );
    Reply::Verbatim(text.into())
}

/// `CLUSTER NODES`
pub(super) fn nodes(map: &Map) -> Reply {
    let lines: Vec<String> = map.nodes.iter().map(|node| line(map, node) + "\n").collect();
    Reply::Verbatim(lines.concat().into())
}

/// `CLUSTER REPLICAS`: the lines of all nodes but the master.
pub(super) fn replicas(map: &Map) -> Reply {
    let replicas = map.nodes.iter().filter(|node| Some(node.id) != map.master);
    Reply::Array(replicas.map(|node| Reply::Bulk(line(map, node).into())).collect())
}

/// One node of `CLUSTER NODES`:
/// `<id> <host:port@bus-port[,hostname]> <flags> <master> <ping-sent> <pong-recv> <epoch> <link> [slots]`.
fn line(map: &Map, node: &ClusterNode) -> String {
    let is_master = Some(node.id) == map.master;
    let mut text = format!("{} {}:{}@{}", node.name, node.place.host, node.place.port, node.bus_port);
    if node.place.is_named() {
        // Writing to a string cannot fail.
        let _ = write!(text, ",{}", node.place.host);
    }
    let mut flags = Vec::with_capacity(3);
    if node.id == map.me {
        flags.push("myself");
    }
    flags.push(if is_master || map.master.is_none() { "master" } else { "slave" });
    if !node.is_up {
        flags.push("fail?");
    }
    if node.place.port == 0 {
        flags.push("noaddr");
    }
    let master = map.nodes.iter().find(|other| Some(other.id) == map.master && !is_master);
    let (pinged, heard) = match (node.id == map.me, node.is_up) {
        (true, _) => (0, 0),
        (false, true) => (0, unix_ms()),
        (false, false) => (unix_ms(), 0),
    };
    let _ = write!(
        text,
        " {} {} {pinged} {heard} {} {}",
        flags.join(","),
        master.map_or("-", |master| &master.name),
        map.epoch,
        if node.is_up { "connected" } else { "disconnected" },
    );
    if is_master {
        let _ = write!(text, " 0-{}", SLOTS - 1);
    }
    text
}

/// `CLUSTER SLOTS`: one range, with everybody who serves it, the master first.
pub(super) fn slots(map: &Map) -> Reply {
    let mut range = vec![Reply::Integer(0), Reply::Integer(i64::from(SLOTS - 1))];
    range.extend(map.serving().map(|node| {
        Reply::Array(vec![
            text(&node.place.host),
            Reply::Integer(i64::from(node.place.port)),
            text(&node.name),
            Reply::Array(Vec::new()),
        ])
    }));
    Reply::Array(if map.master.is_some() && range.len() > 2 { vec![Reply::Array(range)] } else { Vec::new() })
}

/// `CLUSTER SHARDS`
pub(super) fn shards(map: &Map) -> Reply {
    let slots = if map.master.is_some() { vec![0, i64::from(SLOTS - 1)] } else { Vec::new() };
    let nodes = map.nodes.iter().map(|node| shard_node(map, node)).collect();
    Reply::Array(vec![Reply::Map(vec![
        (text("slots"), Reply::Array(slots.into_iter().map(Reply::Integer).collect())),
        (text("nodes"), Reply::Array(nodes)),
    ])])
}

fn shard_node(map: &Map, node: &ClusterNode) -> Reply {
    let is_master = map.master.is_none_or(|master| master == node.id);
    let mut fields = vec![
        (text("id"), text(&node.name)),
        (text("port"), Reply::Integer(i64::from(node.place.port))),
        (text("ip"), text(&node.place.host)),
        (text("endpoint"), text(&node.place.host)),
    ];
    if node.place.is_named() {
        fields.push((text("hostname"), text(&node.place.host)));
    }
    fields.extend([
        (text("role"), text(if is_master { "master" } else { "replica" })),
        (text("replication-offset"), Reply::count(node.applied)),
        (text("health"), text(if node.is_up { "online" } else { "fail" })),
    ]);
    Reply::Map(fields)
}

/// `CLUSTER LINKS`: the links from this node to its peers. What peers open to this node is theirs to tell.
pub(super) fn links(map: &Map) -> Reply {
    let peers = map.nodes.iter().filter(|node| node.id != map.me && node.is_up);
    Reply::Array(
        peers
            .map(|node| {
                Reply::Map(vec![
                    (text("direction"), text("to")),
                    (text("node"), text(&node.name)),
                    (text("create-time"), Reply::count(node.connected_ms)),
                    (text("events"), text("rw")),
                    (text("send-buffer-allocated"), Reply::Integer(0)),
                    (text("send-buffer-used"), Reply::Integer(0)),
                ])
            })
            .collect(),
    )
}

fn text(text: &str) -> Reply {
    Reply::Bulk(Bytes::copy_from_slice(text.as_bytes()))
}
