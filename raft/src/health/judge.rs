//! What the reports of all nodes say together: which links are broken one way, who is dead and who is cut off.
//!
//! A link is *one-way* if one of its ends is answered and the other is not (a firewall that lets connections through in
//! one direction), or if neither is answered but the datagrams of one arrive at the other (packets are lost in one
//! direction, and so every answer is lost on one way or the other).
//!
//! A member lives if somebody who can be heard is answered by it, or hears it. One that lives, but not for everybody,
//! is *partitioned*. Of one that nobody hears, only its own machine can tell that it is *dead*, by refusing
//! connections; else it is *unreachable*, for a machine that is down and one that is cut off from all others look the
//! same.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hash;

use super::link::Measured;
use super::report::{LinkReport, Report};
use super::view::{Fault, LinkState, MemberState};
use crate::types::NodeId;

/// The reports that count at one moment.
pub(super) struct Evidence<'a> {
    pub(super) me: NodeId,
    pub(super) members: &'a BTreeSet<NodeId>,
    pub(super) reports: BTreeMap<NodeId, &'a Report>,
}

impl Evidence<'_> {
    pub(super) fn reported(&self, from: NodeId, to: NodeId) -> Option<&LinkReport> {
        self.reports.get(&from)?.links.iter().find(|link| link.to == to)
    }

    fn measured(&self, from: NodeId, to: NodeId) -> Measured {
        self.reported(from, to).map_or(Measured::Unknown, |link| link.measured)
    }

    fn hears(&self, at: NodeId, of: NodeId) -> bool {
        self.reported(at, of).is_some_and(|link| link.hears)
    }

    /// How the way from one member to another is at this moment.
    pub(super) fn link(&self, from: NodeId, to: NodeId) -> LinkState {
        let back = self.measured(to, from);
        match self.measured(from, to) {
            Measured::Unknown => LinkState::Unknown,
            Measured::Up | Measured::Slow if back == Measured::Down => LinkState::OneWay,
            Measured::Up => LinkState::Up,
            Measured::Slow => LinkState::Slow,
            Measured::Down if back != Measured::Down => LinkState::Down,
            Measured::Down if self.hears(to, from) && !self.hears(from, to) => LinkState::OneWay,
            Measured::Down => LinkState::Down,
        }
    }

    fn others(&self, than: NodeId) -> impl Iterator<Item = NodeId> {
        self.members.iter().copied().filter(move |other| *other != than)
    }

    /// Who refuses connections does not live, however lately it was heard.
    fn lives(&self, member: NodeId) -> bool {
        let works = |other| self.measured(other, member).works();
        let hears = |other| self.hears(other, member);
        let refused =
            |other| self.reported(other, member).is_some_and(|link| link.fault == Some(Fault::Refused));
        member == self.me
            || self.others(member).any(works)
            || (self.others(member).any(hears) && !self.others(member).any(refused))
    }

    /// How a member is at this moment.
    pub(super) fn member(&self, member: NodeId) -> MemberState {
        if self.lives(member) {
            let is_broken = |state| matches!(state, LinkState::Down | LinkState::OneWay);
            let cut = self
                .others(member)
                .filter(|other| self.lives(*other))
                .any(|other| is_broken(self.link(member, other)) || is_broken(self.link(other, member)));
            return if cut { MemberState::Partitioned } else { MemberState::Up };
        }
        let told: Vec<&LinkReport> =
            self.others(member).filter_map(|other| self.reported(other, member)).collect();
        let is_down = |link: &&LinkReport| link.measured == Measured::Down;
        if told.is_empty() || !told.iter().all(is_down) {
            MemberState::Unknown
        } else if told.iter().any(|link| link.fault == Some(Fault::Refused)) {
            MemberState::Dead
        } else {
            MemberState::Unreachable
        }
    }

    /// Whether this node and those that answer it are a majority of the voters.
    pub(super) fn quorum(&self, voters: &BTreeSet<NodeId>) -> bool {
        let reached =
            voters.iter().filter(|voter| **voter == self.me || self.measured(self.me, **voter).works());
        reached.count() * 2 > voters.len()
    }
}

/// What is shown of many things, changed only when something else has been seen of one several times in a row.
pub(super) struct Steady<K, S>(BTreeMap<K, Shown<S>>);

struct Shown<S> {
    state: S,
    /// What was seen last, and how often in a row.
    seen: S,
    times: u32,
}

impl<K, S> Default for Steady<K, S> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Copy + Ord + Hash, S: Copy + Default + PartialEq> Steady<K, S> {
    /// Something was seen. Answers what was shown before, if something else is shown from now on.
    pub(super) fn see(&mut self, key: K, seen: S, needed: u32) -> Option<S> {
        let shown = self.0.entry(key).or_insert(Shown { state: S::default(), seen, times: 0 });
        shown.times = if shown.seen == seen { shown.times.saturating_add(1) } else { 1 };
        shown.seen = seen;
        if shown.state == seen || shown.times < needed {
            return None;
        }
        Some(std::mem::replace(&mut shown.state, seen))
    }

    pub(super) fn shown(&self, key: K) -> S {
        self.0.get(&key).map(|shown| shown.state).unwrap_or_default()
    }

    pub(super) fn keep(&mut self, wanted: impl Fn(K) -> bool) {
        self.0.retain(|key, _| wanted(*key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [NodeId; 3] = [1, 2, 3];

    /// A cluster of three: what each way shows, and who hears whom; the rest is up and heard.
    fn judge<T>(
        silent: &[NodeId],
        down: &[(NodeId, NodeId, Fault)],
        deaf: &[(NodeId, NodeId)],
        ask: impl Fn(&Evidence<'_>) -> T,
    ) -> T {
        let link = |from, to| {
            let fault = down.iter().find(|(a, b, _)| (*a, *b) == (from, to)).map(|(_, _, fault)| *fault);
            LinkReport {
                to,
                measured: if fault.is_some() { Measured::Down } else { Measured::Up },
                fault,
                round_trip_us: None,
                hears: !deaf.contains(&(from, to)),
            }
        };
        let report = |node| Report {
            node,
            incarnation: 1,
            round: 1,
            links: ALL.iter().filter(|to| **to != node).map(|to| link(node, *to)).collect(),
            clock: crate::log_clock::ClockReport::default(),
        };
        let reports: Vec<Report> =
            ALL.iter().filter(|id| !silent.contains(id)).map(|id| report(*id)).collect();
        let members = BTreeSet::from(ALL);
        let reports = reports.iter().map(|report| (report.node, report)).collect();
        ask(&Evidence { me: 1, members: &members, reports })
    }

    #[test]
    fn where_everybody_answers_everybody_is_up() {
        judge(&[], &[], &[], |seen| {
            assert!(ALL.iter().all(|id| seen.member(*id) == MemberState::Up));
            assert!(seen.quorum(seen.members));
        });
    }

    #[test]
    fn a_process_that_is_gone_is_dead_and_not_partitioned() {
        let down = [(1, 3, Fault::Refused), (2, 3, Fault::Silent)];
        // 2 has heard it a moment ago.
        judge(&[3], &down, &[(1, 3)], |seen| {
            assert_eq!(seen.member(3), MemberState::Dead);
            assert_eq!((seen.member(1), seen.member(2)), (MemberState::Up, MemberState::Up));
            assert_eq!(seen.link(3, 1), LinkState::Unknown);
            assert!(seen.quorum(seen.members));
        });
    }

    #[test]
    fn a_node_that_nobody_hears_is_unreachable_and_not_called_dead() {
        let down = [(1, 3, Fault::Silent), (2, 3, Fault::Silent)];
        judge(&[3], &down, &[(1, 3), (2, 3)], |seen| assert_eq!(seen.member(3), MemberState::Unreachable));
    }

    #[test]
    fn two_that_do_not_reach_each_other_are_partitioned_and_the_third_is_not() {
        let down = [(1, 3, Fault::Silent), (3, 1, Fault::Silent)];
        judge(&[], &down, &[(1, 3), (3, 1)], |seen| {
            assert_eq!((seen.link(1, 3), seen.link(3, 1)), (LinkState::Down, LinkState::Down));
            assert_eq!(
                (seen.member(1), seen.member(3)),
                (MemberState::Partitioned, MemberState::Partitioned)
            );
            assert_eq!(seen.member(2), MemberState::Up);
        });
    }

    #[test]
    fn connections_that_are_let_through_one_way_only_are_one_way() {
        judge(&[], &[(3, 2, Fault::Silent)], &[], |seen| {
            assert_eq!((seen.link(2, 3), seen.link(3, 2)), (LinkState::OneWay, LinkState::Down));
            assert_eq!(
                (seen.member(2), seen.member(3)),
                (MemberState::Partitioned, MemberState::Partitioned)
            );
            assert_eq!(seen.member(1), MemberState::Up);
        });
    }

    #[test]
    fn packets_that_are_lost_one_way_are_told_by_who_is_still_heard() {
        let down = [(2, 3, Fault::Silent), (3, 2, Fault::Silent)];
        // 3 hears 2; 2 does not hear 3.
        judge(&[], &down, &[(2, 3)], |seen| {
            assert_eq!((seen.link(2, 3), seen.link(3, 2)), (LinkState::OneWay, LinkState::Down));
        });
    }

    #[test]
    fn a_node_alone_says_that_it_sees_no_quorum() {
        let down = [(1, 2, Fault::Silent), (1, 3, Fault::Silent)];
        judge(&[2, 3], &down, &[(1, 2), (1, 3)], |seen| {
            assert!(!seen.quorum(seen.members));
            assert_eq!(
                (seen.member(2), seen.member(3)),
                (MemberState::Unreachable, MemberState::Unreachable)
            );
        });
    }

    #[test]
    fn what_is_shown_changes_only_after_enough_equal_sights() {
        let mut steady = Steady::default();
        assert_eq!(steady.see(1, LinkState::Up, 1), Some(LinkState::Unknown));
        assert_eq!(steady.see(1, LinkState::OneWay, 3), None);
        assert_eq!(steady.see(1, LinkState::OneWay, 3), None);
        assert_eq!(steady.see(1, LinkState::Down, 2), None);
        assert_eq!(steady.see(1, LinkState::OneWay, 3), None);
        assert_eq!(steady.see(1, LinkState::OneWay, 3), None);
        assert_eq!(steady.see(1, LinkState::OneWay, 3), Some(LinkState::Up));
        assert_eq!(steady.shown(1), LinkState::OneWay);
        steady.keep(|_| false);
        assert_eq!(steady.shown(1), LinkState::Unknown);
    }
}
