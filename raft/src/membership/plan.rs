//! Which changes are refused, and the next step of one that is under way. Plain functions of the membership.

use std::collections::{BTreeMap, BTreeSet};

use openraft::{ChangeMembers, Membership};

use super::change::{Change, ChangeError};
use crate::types::{NodeId, Peer, TargetRole};

/// The most members of a cluster.
pub(super) const MAX_MEMBERS: usize = 15;

type Members = Membership<NodeId, Peer>;
type Voters = BTreeSet<NodeId>;

/// A change that may be taken on.
#[derive(Debug, PartialEq)]
pub(super) struct Accepted {
    /// The node that it is about.
    pub(super) id: NodeId,
    /// What is to be committed; none if that is so already.
    pub(super) commit: Option<ChangeMembers<NodeId, Peer>>,
    /// The voters that would be left of those there are, if some go.
    pub(super) leaves: Option<Voters>,
}

impl Accepted {
    fn already(id: NodeId) -> Self {
        Self { id, commit: None, leaves: None }
    }
}

/// What the leader does next.
#[derive(Debug, PartialEq)]
pub(super) enum Action {
    /// These are to be the voters. Also ends a joint configuration.
    Voters(Voters),
    /// This learner is dropped.
    Drop(NodeId),
    /// These peers' entries are replaced.
    Set(BTreeMap<NodeId, Peer>),
    /// The leader itself is to go, so another one leads first.
    HandOver,
    /// A learner has to catch up.
    Wait,
}

/// The voters that there are, or in a joint configuration will be.
pub(super) fn voters(members: &Members) -> Voters {
    members.get_joint_config().last().cloned().unwrap_or_default()
}

/// Checks a change against the members and the ids that were ever used.
pub(super) fn accept(
    change: &Change,
    members: &Members,
    used: &BTreeSet<NodeId>,
    has_data: impl Fn(NodeId) -> bool,
) -> Result<Accepted, ChangeError> {
    let accepted = match change {
        Change::Add { id, raft, fresh, force: _ } => add(*id, raft, *fresh, members, used, has_data)?,
        Change::Remove { id, .. } => {
            let peer = members.get_node(id).ok_or(ChangeError::NoSuchNode)?;
            let accepted = go(*id, peer, TargetRole::Gone, members, "removed")?;
            // Who comes in its place is to stay.
            return busy_with_others(*id, members).map(|()| accepted);
        }
        Change::Demote { id, .. } => {
            let peer = members.get_node(id).ok_or(ChangeError::NoSuchNode)?;
            if !voters(members).contains(id) && peer.target == TargetRole::Learner {
                return refused(format!("node {id} is a learner already"));
            }
            go(*id, peer, TargetRole::Learner, members, "demoted")?
        }
        Change::Promote { id } => {
            let peer = members.get_node(id).ok_or(ChangeError::NoSuchNode)?;
            match peer.target {
                TargetRole::Voter if voters(members).contains(id) => {
                    return refused(format!("node {id} is a voter already"));
                }
                TargetRole::Voter => Accepted::already(*id),
                _ => Accepted { commit: Some(set(*id, peer, TargetRole::Voter)), ..Accepted::already(*id) },
            }
        }
        Change::Replace { old, new, raft, force: _ } => {
            let peer = members.get_node(old).ok_or(ChangeError::NoSuchNode)?;
            if let TargetRole::ReplacedBy(other) = peer.target
                && members.get_node(&other).is_some_and(|peer| peer.raft == *raft)
            {
                return Ok(Accepted::already(other));
            }
            let added = add(*new, raft, false, members, used, has_data)?;
            if added.commit.is_none() {
                return Err(ChangeError::IdUsed);
            }
            let targets = BTreeMap::from([
                (added.id, Peer { raft: raft.clone(), ..Peer::default() }),
                (*old, Peer { target: TargetRole::ReplacedBy(added.id), ..peer.clone() }),
            ]);
            Accepted { commit: Some(ChangeMembers::SetNodes(targets)), ..added }
        }
    };
    if accepted.commit.is_some() {
        busy_with_others(accepted.id, members)?;
    }
    Ok(accepted)
}

fn add(
    id: NodeId,
    raft: &str,
    fresh: bool,
    members: &Members,
    used: &BTreeSet<NodeId>,
    has_data: impl Fn(NodeId) -> bool,
) -> Result<Accepted, ChangeError> {
    if let Some((there, peer)) = members.nodes().find(|(_, peer)| peer.raft == raft) {
        // Asked for twice, as when the first answer was lost.
        let is_joining = peer.target == TargetRole::Voter && !voters(members).contains(there);
        if is_joining && (id == 0 || id == *there) && !(fresh && has_data(*there)) {
            return Ok(Accepted::already(*there));
        }
        if id != *there {
            return refused(format!("node {there} is at {raft} already"));
        }
    }
    if used.contains(&id) || members.get_node(&id).is_some() {
        return Err(ChangeError::IdUsed);
    }
    if members.nodes().count() >= MAX_MEMBERS {
        return refused(format!("the cluster has {MAX_MEMBERS} members, and may not have more"));
    }
    let highest = used.last().copied().max(members.nodes().map(|(id, _)| *id).max()).unwrap_or(0);
    let id = if id == 0 { highest + 1 } else { id };
    let peer = Peer { raft: raft.to_owned(), ..Peer::default() };
    let commit = Some(ChangeMembers::AddNodes(BTreeMap::from([(id, peer)])));
    Ok(Accepted { commit, ..Accepted::already(id) })
}

/// A voter goes, or becomes a learner; or a learner goes.
fn go(
    id: NodeId,
    peer: &Peer,
    target: TargetRole,
    members: &Members,
    how: &str,
) -> Result<Accepted, ChangeError> {
    let mut left = voters(members);
    let votes = left.remove(&id);
    if votes && left.is_empty() {
        return refused(format!("node {id} is the last voter: it cannot be {how}"));
    }
    let commit = (peer.target != target).then(|| set(id, peer, target));
    Ok(Accepted { id, commit, leaves: votes.then_some(left) })
}

fn set(id: NodeId, peer: &Peer, target: TargetRole) -> ChangeMembers<NodeId, Peer> {
    ChangeMembers::SetNodes(BTreeMap::from([(id, Peer { target, ..peer.clone() })]))
}

fn refused<T>(why: String) -> Result<T, ChangeError> {
    Err(ChangeError::Refused(why))
}

/// Fails while a change of another node is under way.
fn busy_with_others(id: NodeId, members: &Members) -> Result<(), ChangeError> {
    let Some((node, what)) = pending(members) else { return Ok(()) };
    let comes_instead = members.get_node(&node).is_some_and(|peer| peer.target == TargetRole::ReplacedBy(id));
    let is_same = node == id || comes_instead;
    if is_same && members.get_joint_config().len() == 1 { Ok(()) } else { Err(ChangeError::Busy(what)) }
}

/// The node that a change is under way for, and what it is.
pub(super) fn pending(members: &Members) -> Option<(NodeId, String)> {
    let voters = voters(members);
    let is_joint = members.get_joint_config().len() > 1;
    let of_target = members.nodes().find_map(|(id, peer)| {
        let phrase = match (peer.target, voters.contains(id)) {
            (TargetRole::Voter, true) | (TargetRole::Learner, false) => return None,
            (TargetRole::Voter, false) => match replaces(*id, members) {
                Some(old) => format!("node {id} is taking the place of node {old}"),
                None => format!("node {id} is catching up before it becomes a voter"),
            },
            (TargetRole::Learner, true) => format!("node {id} is being demoted"),
            (TargetRole::Gone, _) => format!("node {id} is being removed"),
            (TargetRole::ReplacedBy(new), _) => format!("node {new} is taking the place of node {id}"),
        };
        Some((*id, phrase))
    });
    of_target.or_else(|| is_joint.then(|| (0, "the voters are being changed".to_owned())))
}

/// Whose place a node is to take.
fn replaces(new: NodeId, members: &Members) -> Option<NodeId> {
    members.nodes().find(|(_, peer)| peer.target == TargetRole::ReplacedBy(new)).map(|(id, _)| *id)
}

/// The next step, for the leader `me`; none if all is as it is to be.
pub(super) fn next(me: NodeId, members: &Members, caught_up: impl Fn(NodeId) -> bool) -> Option<Action> {
    let voters = voters(members);
    if members.get_joint_config().len() > 1 {
        return Some(Action::Voters(voters));
    }
    let mut waits = false;
    for (id, peer) in members.nodes() {
        let step = match (peer.target, voters.contains(id)) {
            (TargetRole::Voter, true) | (TargetRole::Learner, false) => None,
            (TargetRole::Voter, false) if caught_up(*id) => Some(come(me, *id, &voters, members)),
            (TargetRole::Voter, false) => Some(Action::Wait),
            (TargetRole::ReplacedBy(new), _) if members.get_node(&new).is_none() => {
                // Who was to come was removed: nobody's place is taken.
                Some(Action::Set(BTreeMap::from([(*id, Peer { target: TargetRole::Voter, ..peer.clone() })])))
            }
            (TargetRole::ReplacedBy(new), true) if !voters.contains(&new) => Some(Action::Wait),
            (TargetRole::Learner | TargetRole::Gone | TargetRole::ReplacedBy(_), true) => {
                Some(leave(me, *id, &voters))
            }
            (TargetRole::Gone | TargetRole::ReplacedBy(_), false) => Some(Action::Drop(*id)),
        };
        match step {
            Some(Action::Wait) => waits = true,
            Some(step) => return Some(step),
            None => {}
        }
    }
    waits.then_some(Action::Wait)
}

fn come(me: NodeId, id: NodeId, voters: &Voters, members: &Members) -> Action {
    let mut after = voters.clone();
    after.insert(id);
    match replaces(id, members) {
        Some(old) if old == me => return Action::HandOver,
        Some(old) => after.remove(&old),
        None => false,
    };
    Action::Voters(after)
}

fn leave(me: NodeId, id: NodeId, voters: &Voters) -> Action {
    if id == me {
        return Action::HandOver;
    }
    Action::Voters(voters.iter().copied().filter(|voter| *voter != id).collect())
}

/// Too few of the voters that there would be answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{answer} of the {of} voters that would be left answer, and {needed} are needed to commit anything")]
pub(super) struct NoQuorum {
    of: usize,
    answer: usize,
    needed: usize,
}

/// Refuses to have these voters if no majority of them answers.
pub(super) fn quorum(after: &Voters, alive: &BTreeSet<NodeId>) -> Result<(), NoQuorum> {
    let (of, answer) = (after.len(), after.intersection(alive).count());
    let needed = of / 2 + 1;
    if answer >= needed { Ok(()) } else { Err(NoQuorum { of, answer, needed }) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn peer(id: NodeId, target: TargetRole) -> Peer {
        Peer { raft: format!("node{id}:1"), target, ..Peer::default() }
    }

    /// Voters, and nodes with what they are to be; the voters are to stay that if not said otherwise.
    fn members(configs: &[&[NodeId]], nodes: &[(NodeId, TargetRole)]) -> Members {
        let configs: Vec<Voters> = configs.iter().map(|ids| ids.iter().copied().collect()).collect();
        let mut peers: BTreeMap<NodeId, Peer> =
            configs.iter().flatten().map(|id| (*id, peer(*id, TargetRole::Voter))).collect();
        peers.extend(nodes.iter().map(|(id, target)| (*id, peer(*id, *target))));
        Membership::new(configs, peers)
    }

    fn ask(change: Change, members: &Members, used: &[NodeId]) -> Result<Accepted, ChangeError> {
        accept(&change, members, &used.iter().copied().collect(), |_| false)
    }

    fn add(id: NodeId, at: NodeId) -> Change {
        Change::Add { id, raft: format!("node{at}:1"), fresh: false, force: false }
    }

    #[test]
    fn ids_are_never_used_twice_and_zero_asks_for_one_that_was_never_used() {
        let three = members(&[&[1, 2, 3]], &[]);
        assert_eq!(ask(add(7, 7), &three, &[1, 2, 3, 7]), Err(ChangeError::IdUsed));
        assert_eq!(ask(add(2, 9), &three, &[1, 2, 3]), Err(ChangeError::IdUsed));
        assert_eq!(ask(add(0, 9), &three, &[1, 2, 3, 7]).unwrap().id, 8);
        assert_eq!(ask(add(4, 9), &three, &[1, 2, 3, 7]).unwrap().id, 4);
    }

    #[test]
    fn what_is_asked_twice_is_done_once() {
        let joining = members(&[&[1, 2, 3]], &[(4, TargetRole::Voter)]);
        for id in [0, 4] {
            assert_eq!(ask(add(id, 4), &joining, &[1, 2, 3, 4]), Ok(Accepted::already(4)));
        }
        let fresh = Change::Add { id: 4, raft: "node4:1".to_owned(), fresh: true, force: false };
        let used = BTreeSet::from([1, 2, 3, 4]);
        assert_eq!(
            accept(&fresh, &joining, &used, |_| true),
            Err(ChangeError::IdUsed),
            "it has lost its data"
        );
        let going = members(&[&[1, 2]], &[(2, TargetRole::Gone)]);
        assert_eq!(ask(Change::Remove { id: 2, force: false }, &going, &[1, 2]).unwrap().commit, None);
    }

    #[test]
    fn there_is_one_change_at_a_time_and_a_node_that_does_not_come_can_be_removed() {
        let joining = members(&[&[1, 2, 3]], &[(4, TargetRole::Voter)]);
        for change in
            [add(5, 5), Change::Remove { id: 3, force: false }, Change::Demote { id: 3, force: false }]
        {
            assert!(matches!(ask(change, &joining, &[1, 2, 3, 4]), Err(ChangeError::Busy(_))));
        }
        let removed = ask(Change::Remove { id: 4, force: false }, &joining, &[1, 2, 3, 4]).unwrap();
        assert!(removed.commit.is_some());
    }

    #[test]
    fn the_last_voter_stays() {
        let one = members(&[&[1]], &[(2, TargetRole::Learner)]);
        for change in [Change::Remove { id: 1, force: true }, Change::Demote { id: 1, force: true }] {
            let error = ask(change, &one, &[1, 2]).unwrap_err().to_string();
            assert!(error.contains("the last voter"), "{error}");
        }
    }

    #[test]
    fn a_removal_that_leaves_no_majority_that_answers_is_refused_with_the_numbers() {
        let alive = BTreeSet::from([1, 2]);
        assert!(quorum(&BTreeSet::from([1, 2]), &alive).is_ok());
        let refused = quorum(&BTreeSet::from([1, 3]), &alive).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "1 of the 2 voters that would be left answer, and 2 are needed to commit anything"
        );
    }

    #[test]
    fn whoever_leads_finishes_what_was_begun() {
        let all = |_| true;
        let joint = members(&[&[1, 2, 3], &[1, 2, 4]], &[(3, TargetRole::Gone)]);
        assert_eq!(next(1, &joint, all), Some(Action::Voters(BTreeSet::from([1, 2, 4]))));
        let gone = members(&[&[1, 2]], &[(3, TargetRole::Gone)]);
        assert_eq!(next(1, &gone, all), Some(Action::Drop(3)));
        let going = members(&[&[1, 2, 3]], &[(1, TargetRole::Gone)]);
        assert_eq!(next(1, &going, all), Some(Action::HandOver));
        assert_eq!(next(2, &going, all), Some(Action::Voters(BTreeSet::from([2, 3]))));
        let joining = members(&[&[1]], &[(2, TargetRole::Voter)]);
        assert_eq!(next(1, &joining, |_| false), Some(Action::Wait));
        assert_eq!(next(1, &joining, all), Some(Action::Voters(BTreeSet::from([1, 2]))));
        assert_eq!(next(1, &members(&[&[1, 2]], &[(3, TargetRole::Learner)]), all), None);
    }

    #[test]
    fn a_replacement_changes_one_voter_for_another_at_once() {
        let nodes = [(3, TargetRole::ReplacedBy(4)), (4, TargetRole::Voter)];
        let replacing = members(&[&[1, 2, 3]], &nodes);
        assert_eq!(next(1, &replacing, |_| false), Some(Action::Wait));
        assert_eq!(next(1, &replacing, |_| true), Some(Action::Voters(BTreeSet::from([1, 2, 4]))));
        assert_eq!(next(3, &replacing, |_| true), Some(Action::HandOver));
        assert_eq!(next(1, &members(&[&[1, 2, 4]], &nodes), |_| true), Some(Action::Drop(3)));
    }
}
