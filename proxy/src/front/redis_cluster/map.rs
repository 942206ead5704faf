//! The cluster as clients of Redis Cluster see it: one shard with all slots, the leader as its master, everybody else
//! as replicas.

use std::net::SocketAddr;

use raft::status::{MemberStatus, Role};
use raft::types::NodeId;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use crate::front::context::Context;

/// Where a node is reached, as Redis writes it: IPv6 addresses have no brackets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct HostPort {
    /// A name or an address; empty if it is not known.
    pub(super) host: String,
    /// 0 if it is not known.
    pub(super) port: u16,
}

impl HostPort {
    /// Reads `host:port`.
    pub(super) fn read(address: &str) -> Self {
        let Some((host, port)) = address.rsplit_once(':') else { return Self::default() };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        Self { host: host.to_owned(), port: port.parse().unwrap_or(0) }
    }

    /// Whether the host is a name, which Redis shows apart.
    pub(super) fn is_named(&self) -> bool {
        !self.host.is_empty() && self.host.parse::<std::net::IpAddr>().is_err()
    }
}

/// A node.
#[derive(Clone, Debug)]
pub(super) struct ClusterNode {
    /// Its id in the Raft cluster.
    pub(super) id: NodeId,
    /// Its name among clients: 40 hexadecimal digits.
    pub(super) name: String,
    /// Where clients reach it.
    pub(super) place: HostPort,
    /// The port for nodes.
    pub(super) bus_port: u16,
    /// Whether it answers now.
    pub(super) is_up: bool,
    /// How far it has applied the log.
    pub(super) applied: u64,
    /// When a connection to it was last opened from here.
    pub(super) connected_ms: u64,
}

/// What is known of the cluster.
#[derive(Debug)]
pub(super) struct Map {
    /// This node.
    pub(super) me: NodeId,
    /// Who has the slots: who leads or, while that is nobody or somebody who does not answer, this node, which takes
    /// commands on for whoever will lead. None before there is a cluster.
    pub(super) master: Option<NodeId>,
    /// Whether somebody leads.
    pub(super) is_led: bool,
    /// The term.
    pub(super) epoch: u64,
    /// All nodes, by id.
    pub(super) nodes: Vec<ClusterNode>,
}

impl Map {
    /// Looks around. A node that does not answer costs a quarter of a second.
    pub(super) async fn look(context: &Context<'_>) -> Self {
        let handle = &context.shared.handle;
        let (status, members) = (handle.status(), handle.glance().await);
        let leader = members
            .iter()
            .filter_map(|member| member.node.as_ref())
            .filter(|node| node.role == Role::Leader)
            .max_by_key(|node| node.term);
        // One that is not in its cluster yet, or no more, takes nothing on.
        let is_member =
            !status.cluster_id.is_empty() && !matches!(status.role, Role::Starting | Role::Removed);
        let master = leader.map_or(status.id, |leader| leader.id);
        let epoch = leader.map_or(status.term, |leader| leader.term);
        let entry = |member| entry(&status.cluster_id, member, status.id, context.client.local);
        let mut nodes: Vec<ClusterNode> = members.iter().map(entry).collect();
        if nodes.is_empty() {
            let (raft, resp) = (status.raft.clone(), status.resp.clone());
            let me = MemberStatus {
                id: status.id,
                voter: false,
                raft,
                resp,
                connected_ms: 0,
                node: Some(status.clone()),
            };
            nodes.push(entry(&me));
        }
        Self { me: status.id, master: is_member.then_some(master), is_led: leader.is_some(), epoch, nodes }
    }

    /// Finds a node by its name among clients.
    pub(super) fn find(&self, name: &[u8]) -> Option<&ClusterNode> {
        self.nodes.iter().find(|node| node.name.as_bytes() == name)
    }

    /// The nodes that clients can be sent to, the master first. One that does not answer, or of which it is not known
    /// where clients reach it, is left out.
    pub(super) fn serving(&self) -> impl Iterator<Item = &ClusterNode> {
        let known = |node: &&ClusterNode| node.is_up && node.place.port != 0;
        let (master, nodes) = (self.master, self.nodes.iter());
        let masters = nodes.clone().filter(move |node| Some(node.id) == master);
        masters.chain(nodes.filter(move |node| Some(node.id) != master)).filter(known)
    }
}

/// What clients are told of a member.
fn entry(cluster: &str, member: &MemberStatus, me: NodeId, local: SocketAddr) -> ClusterNode {
    // Who answers says it best; the membership may not have heard yet.
    let told = member.node.as_ref().map_or("", |node| &node.resp);
    let mut place = HostPort::read(if told.is_empty() { &member.resp } else { told });
    if is_everywhere(&place) {
        place = HostPort::read(&member.resp);
    }
    if member.id == me && (place.port == 0 || is_everywhere(&place)) {
        place = HostPort { host: local.ip().to_canonical().to_string(), port: local.port() };
    }
    ClusterNode {
        id: member.id,
        name: name(cluster, &member.id.to_string()),
        place,
        bus_port: HostPort::read(&member.raft).port,
        is_up: member.node.is_some(),
        applied: member.node.as_ref().map_or(0, |node| node.applied),
        connected_ms: member.connected_ms,
    }
}

/// `0.0.0.0`: where a node listens, and nobody reaches it.
fn is_everywhere(place: &HostPort) -> bool {
    place.host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_unspecified())
}

/// The name of a thing in a cluster, always the same: 40 hexadecimal digits.
pub(super) fn name(cluster: &str, thing: &str) -> String {
    let text = format!("{cluster}/{thing}");
    format!("{:032x}{:08x}", xxh3_128(text.as_bytes()), xxh3_64(text.as_bytes()) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_redis_writes_them() {
        let place = |host: &str, port| HostPort { host: host.to_owned(), port };
        assert_eq!(HostPort::read("node1.example:6400"), place("node1.example", 6400));
        assert_eq!(HostPort::read("[::1]:6400"), place("::1", 6400));
        assert_eq!(HostPort::read(""), HostPort::default());
        assert!(
            place("node1", 1).is_named() && !place("::1", 1).is_named() && !HostPort::default().is_named()
        );
    }

    #[test]
    fn names_have_40_digits_and_stay() {
        assert_eq!(name("c", "1"), name("c", "1"));
        assert_ne!(name("c", "1"), name("c", "2"));
        assert_ne!(name("c", "1"), name("d", "1"));
        assert!(name("", "").len() == 40 && name("c", "1").bytes().all(|digit| digit.is_ascii_hexdigit()));
    }

    #[test]
    fn a_node_that_listens_everywhere_is_where_its_client_found_it() {
        let member = MemberStatus {
            id: 1,
            voter: true,
            raft: "0.0.0.0:16400".to_owned(),
            resp: "0.0.0.0:6400".to_owned(),
            connected_ms: 0,
            node: None,
        };
        let local = SocketAddr::from(([10, 0, 0, 9], 6400));
        assert_eq!(entry("c", &member, 1, local).place, HostPort { host: "10.0.0.9".to_owned(), port: 6400 });
    }
}
