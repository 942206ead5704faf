//! What a node does about what it hears.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;
use crate::network::message::Asker;
use crate::types::Vote;

const MINE: DataId = DataId(1);

fn beginning() -> Beginning {
    Beginning { members: BTreeSet::from([1, 2, 3]), ..Beginning::default() }
}

/// Node 1 of three.
fn me() -> Newcomer {
    Newcomer { id: 1, data: MINE, beginning: beginning(), may_form: true }
}

fn introduction(id: NodeId, term: u64, stage: Stage, asker: Asker) -> Answer {
    Answer::Given(Introduction {
        data: DataId(u128::from(id)),
        vote: Vote::new_committed(term, id),
        stage,
        asker,
    })
}

fn empty(id: NodeId) -> Answer {
    let stage = Stage::Empty { beginning: beginning(), runs: false };
    Answer::Given(Introduction {
        data: DataId(u128::from(id)),
        vote: Vote::default(),
        stage,
        asker: Asker::default(),
    })
}

fn member(id: NodeId, term: u64, leads: bool, asker: Asker) -> Answer {
    introduction(id, term, Stage::Member { leads, voters: vec![beginning().members] }, asker)
}

/// It follows node 2.
fn follower(id: NodeId, term: u64) -> Answer {
    let stage = Stage::Member { leads: false, voters: vec![beginning().members] };
    let vote = Vote::new_committed(term, 2);
    Answer::Given(Introduction { data: DataId(u128::from(id)), vote, stage, asker: Asker::default() })
}

fn leader(id: NodeId, term: u64) -> Answer {
    member(id, term, true, Asker::default())
}

fn known_as(data: u128) -> Asker {
    Asker { data: Some(DataId(data)), ..Asker::default() }
}

fn decided(two: Answer, three: Answer) -> Option<Result<Admission, StartError>> {
    decide(&me(), &Answers::from([(2, two), (3, three)]))
}

fn wiped(decision: Option<Result<Admission, StartError>>) -> String {
    match decision.unwrap() {
        Err(StartError::Wiped { node: 1, how }) => how,
        other => format!("not wiped: {other:?}"),
    }
}

#[test]
fn a_cluster_is_formed_when_every_member_has_said_that_it_is_empty() {
    let all = Admission::Form((1..=3).map(|id| (id, DataId(u128::from(id)))).collect());
    assert_eq!(decided(empty(2), empty(3)).unwrap().unwrap(), all);
    for missing in [Answer::Nothing, Answer::Starting, Answer::Refusal("401".to_owned()), follower(3, 1)] {
        assert!(decided(empty(2), missing.clone()).is_none(), "{missing:?}");
    }
    let alone = Newcomer { beginning: Beginning { members: BTreeSet::from([1]), ..beginning() }, ..me() };
    assert!(matches!(decide(&alone, &Answers::new()), Some(Ok(Admission::Form(_)))));
}

#[test]
fn a_node_that_is_starting_is_waited_for_and_not_taken_for_empty() {
    assert!(decided(Answer::Starting, Answer::Starting).is_none());
    assert!(decided(Answer::Starting, Answer::Nothing).is_none());
}

#[test]
fn a_node_that_is_known_with_other_data_is_refused_by_whomever_it_asks() {
    for (leads, data, refused) in [(false, 9, true), (true, 9, true), (true, 1, false)] {
        let decision = decided(member(2, 4, leads, known_as(data)), follower(3, 4));
        let how = wiped(decision);
        assert_eq!(how == "node 2 knows it with another data directory", refused, "{how}");
    }
}

#[test]
fn a_node_that_lost_its_data_is_refused() {
    let known = Asker { matched: Some(7), ..Asker::default() };
    let how = wiped(decided(member(2, 4, true, known), follower(3, 4)));
    assert_eq!(how, "the cluster has seen its log up to index 7");
    let removed = Asker { removed: true, ..Asker::default() };
    let decision = decided(member(2, 4, false, removed), Answer::Nothing).unwrap();
    assert!(matches!(decision, Err(StartError::Removed { node: 1 })), "{decision:?}");
}

#[test]
fn the_latest_leader_is_believed_and_not_the_first() {
    // Node 2 was cut off and does not know that it leads no more; node 3 leads with what this node had.
    let known = Asker { matched: Some(7), ..Asker::default() };
    assert_eq!(
        wiped(decided(leader(2, 4), member(3, 5, true, known))),
        "the cluster has seen its log up to index 7"
    );
}

#[test]
fn a_leader_is_believed_only_with_a_majority_that_has_seen_no_later_vote() {
    assert!(decided(leader(2, 4), Answer::Nothing).is_none(), "its majority may have been this node");
    assert!(decided(leader(2, 4), Answer::Starting).is_none());
    assert!(decided(leader(2, 4), follower(3, 5)).is_none(), "node 3 has voted in a later term");
    assert_eq!(decided(leader(2, 4), follower(3, 4)).unwrap().unwrap(), Admission::Join);
}

#[test]
fn a_node_that_its_leader_does_not_count_as_a_voter_joins_at_once() {
    let voters = vec![BTreeSet::from([2, 3])];
    let said = introduction(2, 4, Stage::Member { leads: true, voters }, Asker::default());
    assert_eq!(decided(said, Answer::Nothing).unwrap().unwrap(), Admission::Join);
}

#[test]
fn one_of_two_voters_cannot_be_new_where_the_other_leads() {
    let pair = BTreeSet::from([1, 2]);
    let me = Newcomer { beginning: Beginning { members: pair.clone(), ..beginning() }, ..me() };
    let said = introduction(2, 4, Stage::Member { leads: true, voters: vec![pair] }, Asker::default());
    let how = wiped(decide(&me, &Answers::from([(2, said)])));
    assert_eq!(how, "nothing is committed in its cluster without it");
}

#[test]
fn members_that_begin_with_something_else_form_nothing_together() {
    let says = |beginning| {
        let stage = Stage::Empty { beginning, runs: false };
        match decided(empty(2), introduction(3, 0, stage, Asker::default())).unwrap() {
            Err(StartError::OtherBeginning { node: 3, how }) => how,
            other => format!("{other:?}"),
        }
    };
    let other_members = Beginning { members: BTreeSet::from([3, 4, 5]), ..beginning() };
    assert_eq!(says(other_members), "its cluster.members are {3, 4, 5}, and this node's are {1, 2, 3}");
    let restored = Beginning { origin: "f00d".to_owned(), base: 9, ..beginning() };
    assert_eq!(says(restored), "it was restored from a backup, and this node was not");
}

#[test]
fn a_node_that_joined_forms_nothing() {
    let joined = Newcomer { may_form: false, ..me() };
    assert!(decide(&joined, &Answers::from([(2, empty(2)), (3, empty(3))])).is_none());
}

#[test]
fn a_node_that_everybody_refuses_is_told_so() {
    let refused = decided(Answer::Refusal("401".to_owned()), Answer::Nothing).unwrap();
    assert!(matches!(refused, Err(StartError::Stranger { .. })));
}
