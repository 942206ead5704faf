//! How a node comes into its cluster.
//!
//! A node whose log is empty may be new, or its data may be lost. A node that has lost its data has lost votes and
//! entries that it has acknowledged: back under its old id it could help to elect a leader that lacks a committed
//! write. So it asks before it takes part:
//! - a leader that has applied an entry of its term, and so has everything committed on a quorum that was made
//!   without this node, knows whether this node's log had got anywhere: if so it is refused, else it joins;
//!   A node that was removed is told so, and never comes back under its id;
//! - if a majority (itself included) is as empty as it is, they form the cluster;
//! - else it waits for a leader.
//!
//! The same holds for a node that was restored from a backup and has not been in a cluster since: its log begins at the
//! backup's index instead of 0, and who restores a lost node once more is told so.

use std::collections::BTreeMap;
use std::time::Duration;

use hyper::StatusCode;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::StartError;
use crate::network::path;
use crate::network::peers::Peers;
use crate::network::pool::CallError;
use crate::network::server::StatusReport;
use crate::network::wire;
use crate::types::{NodeId, Peer, Raft};

/// How long a peer has to say how it is.
pub(super) const STATUS_TIMEOUT: Duration = Duration::from_secs(1);
const ASK_PAUSE: Duration = Duration::from_millis(100);
/// How long the others leave forming the cluster to the member with the lowest id.
const FIRST_FORMER_ALONE: Duration = Duration::from_millis(700);
const NOTICE_EVERY: u32 = 50;

/// The members that form the cluster.
pub(crate) type Members = BTreeMap<NodeId, Peer>;

/// How an empty node goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// There is no cluster yet.
    Form,
    /// A leader will bring this node up to date.
    Join,
}

#[derive(Debug, PartialEq)]
enum Heard {
    Nothing,
    Empty,
    /// It has entries and does not lead.
    Follower,
    Leader {
        matched: Option<u64>,
    },
    /// A member has applied that this node was removed.
    Removed,
    Refusal(String),
}

/// Asks the members until it is clear how this node, whose log is empty behind `base`, goes on. One that may not form a
/// cluster waits for a leader.
pub(super) async fn admit(
    peers: &Peers,
    me: NodeId,
    members: &Members,
    base: u64,
    may_form: bool,
) -> Result<Admission, StartError> {
    let mut attempt: u32 = 0;
    loop {
        let heard = ask_all(peers, me, members, base).await;
        if let Some(decision) = decide(me, members.len(), &heard)
            && (may_form || !matches!(decision, Ok(Admission::Form)))
        {
            return decision;
        }
        if attempt.is_multiple_of(NOTICE_EVERY) {
            tracing::info!(
                members = members.len(),
                "this node is empty and waits for a majority or for a leader"
            );
        }
        attempt = attempt.wrapping_add(1);
        sleep(ASK_PAUSE).await;
    }
}

fn decide(me: NodeId, members: usize, heard: &[Heard]) -> Option<Result<Admission, StartError>> {
    if heard.contains(&Heard::Removed) {
        return Some(Err(StartError::Removed { node: me }));
    }
    if let Some(Heard::Leader { matched }) = heard.iter().find(|heard| matches!(heard, Heard::Leader { .. }))
    {
        return Some(match matched {
            Some(index) => Err(StartError::Wiped { node: me, index: *index }),
            None => Ok(Admission::Join),
        });
    }
    let welcome = heard.iter().any(|heard| matches!(heard, Heard::Empty | Heard::Follower));
    if let (false, Some(reason)) = (welcome, heard.iter().find_map(refusal)) {
        return Some(Err(StartError::Stranger { reason }));
    }
    let empty = 1 + heard.iter().filter(|heard| **heard == Heard::Empty).count();
    let others = heard.contains(&Heard::Follower);
    (!others && empty * 2 > members).then_some(Ok(Admission::Form))
}

fn refusal(heard: &Heard) -> Option<String> {
    match heard {
        Heard::Refusal(reason) => Some(reason.clone()),
        _ => None,
    }
}

async fn ask_all(peers: &Peers, me: NodeId, members: &Members, base: u64) -> Vec<Heard> {
    let mut asking = JoinSet::new();
    for (id, peer) in members.iter().filter(|(id, _)| **id != me) {
        let pool = peers.at(*id, &peer.raft);
        asking.spawn(async move {
            let answer = pool.call(path::STATUS, Vec::new(), Instant::now() + STATUS_TIMEOUT).await;
            hear(answer.map(|answer| wire::decode::<StatusReport>(&answer)), base)
        });
    }
    asking.join_all().await
}

fn hear(answer: Result<Result<StatusReport, wire::Malformed>, CallError>, base: u64) -> Heard {
    match answer {
        Ok(Ok(report)) if report.removed => Heard::Removed,
        Ok(Ok(report)) if report.leads => Heard::Leader { matched: report.matched },
        // Index 0 is the membership that every founder writes, or the backup's is that which every member begins with.
        Ok(Ok(report)) if report.status.last_log <= base => Heard::Empty,
        Ok(Ok(_)) => Heard::Follower,
        Err(CallError::Refused { status: StatusCode::SERVICE_UNAVAILABLE, .. }) => Heard::Empty,
        Err(error @ CallError::Refused { .. }) => Heard::Refusal(error.to_string()),
        Ok(Err(_)) | Err(_) => Heard::Nothing,
    }
}

/// Writes the first membership, unless another founder's arrives first. Every founder writes the same.
pub(super) async fn form(raft: &Raft, me: NodeId, members: &Members) -> Result<(), StartError> {
    let failed = |error: String| StartError::Raft(error);
    if members.keys().next() != Some(&me) {
        let deadline = Instant::now() + FIRST_FORMER_ALONE;
        while Instant::now() < deadline {
            if raft.is_initialized().await.map_err(|error| failed(error.to_string()))? {
                return Ok(());
            }
            sleep(ASK_PAUSE).await;
        }
    }
    match raft.initialize(members.clone()).await {
        Ok(()) => Ok(()),
        // Another founder was first.
        Err(error) if error.api_error().is_some() => Ok(()),
        Err(error) => Err(failed(error.to_string())),
    }
}

/// The id of a cluster that was not given one: 32 hex digits made from its members.
pub(super) fn cluster_id(members: &Members) -> String {
    let listed: Vec<String> = members.iter().map(|(id, peer)| format!("{id}={}", peer.raft)).collect();
    format!("{:032x}", xxhash_rust::xxh3::xxh3_128(listed.join(",").as_bytes()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_majority_of_empty_nodes_forms_the_cluster() {
        assert!(decide(1, 3, &[Heard::Nothing, Heard::Nothing]).is_none());
        assert_eq!(decide(1, 3, &[Heard::Nothing, Heard::Empty]).unwrap().unwrap(), Admission::Form);
        assert_eq!(decide(1, 1, &[]).unwrap().unwrap(), Admission::Form);
    }

    #[test]
    fn an_empty_node_waits_for_a_leader_where_others_have_data() {
        assert!(decide(1, 3, &[Heard::Empty, Heard::Follower]).is_none());
        let leader = Heard::Leader { matched: None };
        assert_eq!(decide(1, 3, &[leader, Heard::Follower]).unwrap().unwrap(), Admission::Join);
    }

    #[test]
    fn a_node_that_lost_its_data_is_refused() {
        let leader = Heard::Leader { matched: Some(7) };
        let refused = decide(3, 3, &[leader, Heard::Follower]).unwrap();
        assert!(matches!(refused, Err(StartError::Wiped { node: 3, index: 7 })));
    }

    #[test]
    fn a_node_that_everybody_refuses_is_told_so() {
        let refused = decide(1, 3, &[Heard::Refusal("401".to_owned()), Heard::Nothing]).unwrap();
        assert!(matches!(refused, Err(StartError::Stranger { .. })));
    }
}
