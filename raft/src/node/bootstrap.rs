//! How a node whose log is empty comes into its cluster.
//!
//! A node whose log is empty may be new, or its data may be lost. A node that has lost its data has lost votes and
//! entries that it has acknowledged: back under its old id it could help to elect a leader that lacks a committed
//! write. So it asks all members before it takes part, and goes by what they say ([`Introduction`]):
//! - a member that was removed is told so, and never comes back under its id;
//! - who is known with another data directory has lost its own, and is refused. The membership says for every member
//!   which data directory it has;
//! - a leader that has applied an entry of its term has everything that was committed, if its quorum was made without
//!   this node. That it was is certain when a majority of the voters, this node not counted, has spoken and none has
//!   seen a later vote. If it has seen anything of this node's log, that is lost; else the node joins;
//! - a new cluster is formed only when *every* member says that it has nothing and never had, and begins with the same.
//!   Who is still opening its data has not said so: it is waited for;
//! - else the node waits.
//!
//! The member with the lowest id writes the first membership, with the data directories that it was told. The others
//! take part when they have heard the same, and wait for it.
//!
//! The same holds for a node that was restored from a backup and has not been in a cluster since: its log begins at the
//! backup's index instead of 0, and who restores a lost node once more is told so.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hyper::StatusCode;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::error::StartError;
use crate::data_id::DataId;
use crate::leadership::STATUS_TIMEOUT;
use crate::network::message::{Beginning, Introduction, Stage};
use crate::network::path;
use crate::network::peers::Peers;
use crate::network::pool::CallError;
use crate::network::wire;
use crate::types::{Members, NodeId, Peer, Raft};

const ASK_PAUSE: Duration = Duration::from_millis(100);
/// How long who forms the cluster waits for the others to take part, so that the first election finds them.
const FOUNDERS_RUN: Duration = Duration::from_secs(1);
const NOTICE_EVERY: u32 = 50;
/// Every how many rounds somebody who waits for the first membership looks whether it is still to.
const LOOK_EVERY: u32 = 5;

/// A node whose log is empty.
pub(super) struct Newcomer {
    pub(super) id: NodeId,
    pub(super) data: DataId,
    pub(super) beginning: Beginning,
    /// Whether it may form a cluster, or waits for one that it knows to be there.
    pub(super) may_form: bool,
}

/// The same, and whom it asks.
pub(super) struct Candidacy<'a> {
    pub(super) me: Newcomer,
    pub(super) peers: &'a Peers,
    pub(super) members: &'a Members,
}

/// How an empty node goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// There is no cluster yet; these form it.
    Form(BTreeMap<NodeId, DataId>),
    /// A leader will bring this node up to date.
    Join,
}

/// What came back from a member.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Answer {
    Nothing,
    /// It is opening its data.
    Starting,
    Given(Introduction),
    Refusal(String),
}

impl Answer {
    pub(super) fn given(&self) -> Option<&Introduction> {
        match self {
            Self::Given(said) => Some(said),
            _ => None,
        }
    }
}

/// What came back from all.
pub(super) type Answers = BTreeMap<NodeId, Answer>;

impl Candidacy<'_> {
    /// Asks the members until it is clear how this node goes on.
    pub(super) async fn admit(&self) -> Result<Admission, StartError> {
        let mut attempt: u32 = 0;
        loop {
            let heard = self.ask().await;
            if let Some(decision) = decide(&self.me, &heard) {
                return decision;
            }
            if attempt.is_multiple_of(NOTICE_EVERY) {
                let silent = |(id, heard): (&NodeId, &Answer)| heard.given().is_none().then_some(*id);
                let waits_for: Vec<NodeId> = heard.iter().filter_map(silent).collect();
                tracing::info!(
                    members = self.members.len(),
                    ?waits_for,
                    "this node is empty: it waits for every member to say that it is empty too, or for a leader"
                );
            }
            attempt = attempt.wrapping_add(1);
            sleep(ASK_PAUSE).await;
        }
    }

    /// Writes the first membership, if that is this node's to do, or waits for it.
    pub(super) async fn form(
        &self,
        raft: &Raft,
        founders: &BTreeMap<NodeId, DataId>,
    ) -> Result<(), StartError> {
        if self.members.keys().next() == Some(&self.me.id) {
            self.wait_until_all_run().await?;
            let member = |(id, peer): (&NodeId, &Peer)| {
                (*id, Peer { data: founders.get(id).copied(), ..peer.clone() })
            };
            let members: Members = self.members.iter().map(member).collect();
            return match raft.initialize(members).await {
                Ok(()) => Ok(()),
                // It has a membership, or a vote, already.
                Err(error) if error.api_error().is_some() => Ok(()),
                Err(error) => Err(StartError::Raft(error.to_string())),
            };
        }
        for round in 1u32.. {
            let has_begun = raft.is_initialized().await;
            if has_begun.map_err(|error| StartError::Raft(error.to_string()))? {
                break;
            }
            if round.is_multiple_of(LOOK_EVERY) {
                let heard = self.ask().await;
                contradiction(&self.me, &heard).map_or(Ok(()), Err)?;
            }
            sleep(ASK_PAUSE).await;
        }
        Ok(())
    }

    async fn ask(&self) -> Answers {
        ask_all(self.peers, self.me.id, self.members, STATUS_TIMEOUT).await
    }

    async fn wait_until_all_run(&self) -> Result<(), StartError> {
        let deadline = Instant::now() + FOUNDERS_RUN;
        loop {
            let heard = self.ask().await;
            contradiction(&self.me, &heard).map_or(Ok(()), Err)?;
            let runs = |heard: &Answer| {
                heard.given().is_some_and(|said| !matches!(said.stage, Stage::Empty { runs: false, .. }))
            };
            if heard.values().all(runs) || Instant::now() >= deadline {
                return Ok(());
            }
            sleep(ASK_PAUSE / 4).await;
        }
    }
}

/// What forbids this node to take part, whatever else is said.
fn contradiction(me: &Newcomer, heard: &Answers) -> Option<StartError> {
    let given = || heard.iter().filter_map(|(id, heard)| Some((id, heard.given()?)));
    if given().any(|(_, said)| said.asker.removed) {
        return Some(StartError::Removed { node: me.id });
    }
    if let Some((from, _)) = given().find(|(_, said)| said.asker.data.is_some_and(|data| data != me.data)) {
        let how = format!("node {from} knows it with another data directory");
        return Some(StartError::Wiped { node: me.id, how });
    }
    let begins = |said: &Introduction| match &said.stage {
        Stage::Empty { beginning, .. } => Some(beginning.clone()),
        Stage::Member { .. } => None,
    };
    let other =
        given().find_map(|(id, said)| begins(said).filter(|it| *it != me.beginning).map(|it| (*id, it)));
    let (from, its) = other.filter(|_| me.may_form)?;
    Some(StartError::OtherBeginning { node: from, how: difference(&its, &me.beginning) })
}

fn difference(its: &Beginning, mine: &Beginning) -> String {
    if its.members != mine.members {
        format!("its cluster.members are {:?}, and this node's are {:?}", its.members, mine.members)
    } else if mine.origin.is_empty() {
        "it was restored from a backup, and this node was not".to_owned()
    } else if its.origin.is_empty() {
        "this node was restored from a backup, and it was not".to_owned()
    } else {
        "it was restored from another backup, or with other cluster.members".to_owned()
    }
}

fn decide(me: &Newcomer, heard: &Answers) -> Option<Result<Admission, StartError>> {
    if let Some(error) = contradiction(me, heard) {
        return Some(Err(error));
    }
    let given = || heard.iter().filter_map(|(id, heard)| Some((*id, heard.given()?)));
    let leaders = given().filter_map(|(id, said)| match &said.stage {
        Stage::Member { leads: true, voters } => Some((id, said, voters)),
        _ => None,
    });
    // Of several the latest: the others have not heard of it yet.
    if let Some((_, leader, voters)) = leaders.max_by_key(|(_, said, _)| said.vote.leader_id) {
        if let Some(index) = leader.asker.matched {
            let how = format!("the cluster has seen its log up to index {index}");
            return Some(Err(StartError::Wiped { node: me.id, how }));
        }
        return by_quorum(me, leader, voters, heard);
    }
    let is_welcome = heard.values().any(|heard| matches!(heard, Answer::Starting | Answer::Given(_)));
    let refusal = heard.values().find_map(|heard| match heard {
        Answer::Refusal(reason) => Some(reason.clone()),
        _ => None,
    });
    if let (false, Some(reason)) = (is_welcome, refusal) {
        return Some(Err(StartError::Stranger { reason }));
    }
    let mut founders: BTreeMap<NodeId, DataId> = given()
        .filter(|(_, said)| matches!(said.stage, Stage::Empty { .. }))
        .map(|(id, said)| (id, said.data))
        .collect();
    founders.insert(me.id, me.data);
    let all_empty = me.beginning.members.iter().all(|id| founders.contains_key(id));
    (me.may_form && all_empty).then_some(Ok(Admission::Form(founders)))
}

/// Whether a leader's quorum was certainly made without this node.
fn by_quorum(
    me: &Newcomer,
    leader: &Introduction,
    voters: &[BTreeSet<NodeId>],
    heard: &Answers,
) -> Option<Result<Admission, StartError>> {
    let knows_no_later = |id: &NodeId| {
        let said = heard.get(id).and_then(Answer::given);
        said.is_some_and(|said| said.vote.leader_id <= leader.vote.leader_id)
    };
    for config in voters.iter().filter(|config| config.contains(&me.id)) {
        let majority = config.len() / 2 + 1;
        if config.len() - 1 < majority {
            let how = "nothing is committed in its cluster without it".to_owned();
            return Some(Err(StartError::Wiped { node: me.id, how }));
        }
        if config.iter().filter(|id| **id != me.id && knows_no_later(id)).count() < majority {
            return None;
        }
    }
    Some(Ok(Admission::Join))
}

/// Asks all members at once; each has this long to answer.
pub(super) async fn ask_all(peers: &Peers, me: NodeId, members: &Members, patience: Duration) -> Answers {
    let mut asking = JoinSet::new();
    for (id, peer) in members.iter().filter(|(id, _)| **id != me) {
        let (id, pool) = (*id, peers.at(*id, &peer.raft));
        asking.spawn(async move {
            let answer = pool.call(path::INTRODUCTION, Vec::new(), Instant::now() + patience).await;
            (id, hear(answer.map(|answer| wire::decode::<Introduction>(&answer))))
        });
    }
    asking.join_all().await.into_iter().collect()
}

fn hear(answer: Result<Result<Introduction, wire::Malformed>, CallError>) -> Answer {
    match answer {
        Ok(Ok(said)) => Answer::Given(said),
        Err(CallError::Refused { status: StatusCode::SERVICE_UNAVAILABLE, .. }) => Answer::Starting,
        Err(error @ CallError::Refused { .. }) => Answer::Refusal(error.to_string()),
        Ok(Err(_)) | Err(_) => Answer::Nothing,
    }
}

/// The id of a cluster that was not given one: 32 hex digits made from its members.
pub(super) fn cluster_id(members: &Members) -> String {
    let listed: Vec<String> = members.iter().map(|(id, peer)| format!("{id}={}", peer.raft)).collect();
    format!("{:032x}", xxhash_rust::xxh3::xxh3_128(listed.join(",").as_bytes()))
}

#[cfg(test)]
mod tests;
