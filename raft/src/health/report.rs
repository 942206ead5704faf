//! What one node tells the others of its links, and what it keeps of what they tell.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::link::Measured;
use super::view::Fault;
use crate::log_clock::ClockReport;
use crate::types::NodeId;

/// More links in a report than a cluster can have members: the report is not taken.
const MAX_LINKS: usize = 64;

/// A node's own links.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Report {
    /// Whose links these are.
    pub(super) node: NodeId,
    /// Another one after each start; later ones are mostly higher.
    pub(super) incarnation: u64,
    /// Counts the reports of this incarnation.
    pub(super) round: u64,
    /// One link for each other member.
    pub(super) links: Vec<LinkReport>,
    /// What its clocks said when it was made.
    pub(super) clock: ClockReport,
}

/// One link of a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LinkReport {
    /// Who is asked.
    pub(super) to: NodeId,
    /// What asking has shown.
    pub(super) measured: Measured,
    /// Why it is down.
    pub(super) fault: Option<Fault>,
    /// How long an answer takes lately; none while it is down.
    pub(super) round_trip_us: Option<u64>,
    /// Whether datagrams of the other member arrive: it may be heard although it cannot be asked.
    pub(super) hears: bool,
}

/// The newest report of each member.
#[derive(Default)]
pub(super) struct Reports {
    known: BTreeMap<NodeId, Known>,
}

struct Known {
    report: Report,
    /// When it was new here.
    since: Instant,
}

impl Reports {
    /// Takes a report that came by way of somebody, or in a datagram: only a newer one counts.
    pub(super) fn take(&mut self, report: Report, now: Instant) -> bool {
        let newer = self.known.get(&report.node).is_none_or(|known| {
            (report.incarnation, report.round) > (known.report.incarnation, known.report.round)
        });
        newer && self.put(report, now)
    }

    /// Takes a report that its node has handed over itself, in an exchange that cannot be old.
    pub(super) fn put(&mut self, report: Report, now: Instant) -> bool {
        if report.links.len() > MAX_LINKS {
            return false;
        }
        self.known.insert(report.node, Known { report, since: now });
        true
    }

    /// Forgets who is no member.
    pub(super) fn keep(&mut self, members: &BTreeSet<NodeId>) {
        self.known.retain(|node, _| members.contains(node));
    }

    /// The incarnation of every node that is known to run, or to have run.
    pub(super) fn incarnations(&self) -> BTreeMap<NodeId, u64> {
        self.known.iter().map(|(node, known)| (*node, known.report.incarnation)).collect()
    }

    /// The reports that were new at most `age` ago.
    pub(super) fn fresh(&self, age: Duration, now: Instant) -> BTreeMap<NodeId, &Report> {
        let fresh = self.known.iter().filter(|(_, known)| now.duration_since(known.since) <= age);
        fresh.map(|(node, known)| (*node, &known.report)).collect()
    }

    /// The reports that were new at most `age` ago, with what their clocks say by now.
    pub(super) fn told(&self, age: Duration, now: Instant) -> Vec<Report> {
        let mut clocks = self.clocks(age, now);
        let fresh = self.fresh(age, now).into_values().cloned();
        let aged = fresh
            .map(|report| Report { clock: clocks.remove(&report.node).unwrap_or(report.clock), ..report });
        aged.collect()
    }

    /// What the clocks of members say now whose reports were new at most `age` ago.
    pub(super) fn clocks(&self, age: Duration, now: Instant) -> BTreeMap<NodeId, ClockReport> {
        let aged = self.known.iter().map(|(node, known)| (*node, known, now.duration_since(known.since)));
        let fresh = aged.filter(|(_, _, since)| *since <= age);
        fresh.map(|(node, known, since)| (node, known.report.clock.aged(since))).collect()
    }

    /// How long ago the newest report of a member was new.
    pub(super) fn age(&self, node: NodeId, now: Instant) -> Option<Duration> {
        self.known.get(&node).map(|known| now.duration_since(known.since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(incarnation: u64, round: u64) -> Report {
        Report { node: 2, incarnation, round, links: Vec::new(), clock: ClockReport::default() }
    }

    #[test]
    fn an_old_report_at_second_hand_replaces_no_newer_one() {
        let (mut reports, now) = (Reports::default(), Instant::now());
        assert!(reports.take(report(5, 9), now));
        assert!(!reports.take(report(5, 9), now));
        assert!(!reports.take(report(4, 10), now));
        assert!(reports.take(report(6, 1), now));
    }

    #[test]
    fn a_node_whose_clock_went_back_is_believed_at_first_hand() {
        let (mut reports, now) = (Reports::default(), Instant::now());
        assert!(reports.take(report(5, 9), now));
        assert!(reports.put(report(3, 1), now));
        assert_eq!(reports.fresh(Duration::ZERO, now)[&2].incarnation, 3);
    }

    #[test]
    fn a_report_that_was_not_renewed_is_not_fresh() {
        let (mut reports, now) = (Reports::default(), Instant::now());
        assert!(reports.take(report(1, 1), now));
        let age = Duration::from_secs(4);
        assert_eq!(reports.fresh(age, now + age).len(), 1);
        assert!(reports.fresh(age, now + age + Duration::from_millis(1)).is_empty());
        reports.keep(&BTreeSet::from([1]));
        assert_eq!(reports.age(2, now), None);
    }
}
