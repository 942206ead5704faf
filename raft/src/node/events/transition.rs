//! What has happened between two looks at a node's standing. A look may miss what was there only for a moment: that a
//! new leader stood for election first is known all the same.

use openraft::ServerState;

use crate::types::{LogId, NodeId, ServerMetrics};

/// A node's standing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    term: u64,
    state: ServerState,
    leader: Option<NodeId>,
    membership: Members,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Members {
    log_id: Option<LogId>,
    voters: Vec<NodeId>,
    learners: Vec<NodeId>,
    joint: bool,
}

impl Seen {
    pub(super) fn of(metrics: &ServerMetrics, leader: Option<NodeId>) -> Self {
        let membership = metrics.membership_config.membership();
        Self {
            term: metrics.vote.leader_id().term,
            state: metrics.state,
            leader,
            membership: Members {
                log_id: *metrics.membership_config.log_id(),
                voters: membership.voter_ids().collect(),
                learners: membership.learner_ids().collect(),
                joint: membership.get_joint_config().len() > 1,
            },
        }
    }

    fn is(&self, state: ServerState) -> bool {
        self.state == state
    }

    /// In this term, too.
    fn stood_in(&self, term: u64) -> bool {
        self.is(ServerState::Candidate) && self.term == term
    }
}

/// An event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Transition {
    ElectionStarted { term: u64 },
    ElectionWon { term: u64 },
    ElectionLost { term: u64 },
    SteppedDown { term: u64 },
    TermChanged { term: u64 },
    LeaderChanged { term: u64, leader: NodeId, previous: Option<NodeId> },
    LeaderLost { term: u64, previous: NodeId },
    MembershipChanged { log_id: Option<LogId>, voters: Vec<NodeId>, learners: Vec<NodeId>, joint: bool },
}

/// The events that have led from one standing to another, in their order.
pub(super) fn transitions(before: &Seen, now: &Seen) -> Vec<Transition> {
    let mut events = Vec::new();
    let term = now.term;
    let (stands, leads) = (now.is(ServerState::Candidate), now.is(ServerState::Leader));
    let wins = leads && !(before.is(ServerState::Leader) && before.term == term);
    if before.is(ServerState::Leader) && (!leads || wins) {
        events.push(Transition::SteppedDown { term: before.term });
    }
    if before.is(ServerState::Candidate) && !(before.term == term && (stands || leads)) {
        events.push(Transition::ElectionLost { term: before.term });
    }
    if (stands || wins) && !before.stood_in(term) {
        events.push(Transition::ElectionStarted { term });
    }
    if wins {
        events.push(Transition::ElectionWon { term });
    }
    if term > before.term && !stands && !leads {
        events.push(Transition::TermChanged { term });
    }
    match (before.leader, now.leader) {
        (previous, Some(leader)) if previous != Some(leader) => {
            events.push(Transition::LeaderChanged { term, leader, previous });
        }
        (Some(previous), None) => events.push(Transition::LeaderLost { term, previous }),
        _ => {}
    }
    if before.membership != now.membership {
        let Members { log_id, voters, learners, joint } = now.membership.clone();
        events.push(Transition::MembershipChanged { log_id, voters, learners, joint });
    }
    events
}

#[cfg(test)]
mod tests {
    use super::Transition::*;
    use super::*;

    fn seen(term: u64, state: ServerState, leader: Option<NodeId>) -> Seen {
        let membership = Members { log_id: None, voters: vec![1, 2, 3], learners: Vec::new(), joint: false };
        Seen { term, state, leader, membership }
    }

    #[test]
    fn an_election_is_told_from_its_beginning_to_its_end() {
        let follower = seen(1, ServerState::Follower, Some(2));
        let candidate = seen(2, ServerState::Candidate, None);
        let leader = seen(2, ServerState::Leader, Some(1));
        assert_eq!(
            transitions(&follower, &candidate),
            [ElectionStarted { term: 2 }, LeaderLost { term: 2, previous: 2 }]
        );
        assert_eq!(
            transitions(&candidate, &leader),
            [ElectionWon { term: 2 }, LeaderChanged { term: 2, leader: 1, previous: None }]
        );
        // Between the two looks it was a candidate.
        assert_eq!(
            transitions(&follower, &leader),
            [
                ElectionStarted { term: 2 },
                ElectionWon { term: 2 },
                LeaderChanged { term: 2, leader: 1, previous: Some(2) }
            ]
        );
    }

    #[test]
    fn an_election_that_is_not_won_is_lost_and_the_next_is_another() {
        let candidate = seen(2, ServerState::Candidate, None);
        assert_eq!(
            transitions(&candidate, &seen(3, ServerState::Candidate, None)),
            [ElectionLost { term: 2 }, ElectionStarted { term: 3 }]
        );
        assert_eq!(
            transitions(&candidate, &seen(3, ServerState::Follower, Some(3))),
            [
                ElectionLost { term: 2 },
                TermChanged { term: 3 },
                LeaderChanged { term: 3, leader: 3, previous: None }
            ]
        );
        assert_eq!(
            transitions(&candidate, &seen(3, ServerState::Leader, Some(1))),
            [
                ElectionLost { term: 2 },
                ElectionStarted { term: 3 },
                ElectionWon { term: 3 },
                LeaderChanged { term: 3, leader: 1, previous: None }
            ]
        );
    }

    #[test]
    fn a_leader_steps_down_once_also_if_it_leads_again() {
        let leader = seen(2, ServerState::Leader, Some(1));
        assert_eq!(
            transitions(&leader, &seen(3, ServerState::Follower, None)),
            [SteppedDown { term: 2 }, TermChanged { term: 3 }, LeaderLost { term: 3, previous: 1 }]
        );
        assert_eq!(
            transitions(&leader, &seen(4, ServerState::Leader, Some(1))),
            [SteppedDown { term: 2 }, ElectionStarted { term: 4 }, ElectionWon { term: 4 }]
        );
        assert!(transitions(&leader, &leader).is_empty());
    }

    #[test]
    fn another_membership_is_told_with_who_belongs_to_it() {
        let before = seen(2, ServerState::Follower, Some(1));
        let mut now = before.clone();
        now.membership.learners = vec![4];
        assert_eq!(
            transitions(&before, &now),
            [MembershipChanged { log_id: None, voters: vec![1, 2, 3], learners: vec![4], joint: false }]
        );
    }
}
