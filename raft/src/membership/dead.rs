//! Voters that have been silent for long, where they are to be removed by themselves. Off by default: a node that is
//! away for maintenance comes back, and one that was removed does not.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use conf::Live;

use super::plan;
use crate::types::NodeId;

/// How often voters are asked whether they live.
const LOOK: Duration = Duration::from_secs(1);

/// Who has been silent, and for how long.
pub(crate) struct Dead {
    config: Live,
    silent: Mutex<Silent>,
}

#[derive(Default)]
struct Silent {
    looked: Option<Instant>,
    since: BTreeMap<NodeId, Instant>,
}

impl Dead {
    /// A voter is dead after `raft.remove_dead_after` without an answer; none where there are no more than
    /// `raft.remove_dead_min_voters`.
    pub(crate) fn new(config: Live) -> Self {
        Self { config, silent: Mutex::default() }
    }

    /// Whether it is time to ask the voters whether they live.
    pub(super) fn is_due(&self) -> bool {
        if self.config.load().raft.remove_dead_after.is_zero() {
            return false;
        }
        let mut silent = self.silent.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if silent.looked.is_some_and(|looked| now - looked < LOOK) {
            return false;
        }
        // Who has not led for a while knows nothing of the time between.
        if silent.looked.is_some_and(|looked| now - looked > LOOK * 10) {
            silent.since.clear();
        }
        silent.looked = Some(now);
        true
    }

    /// Takes down who answers now; a voter that is to be removed, if there is one, and that leaves enough voters and a
    /// majority that answers.
    pub(super) fn look(&self, voters: &BTreeSet<NodeId>, alive: &BTreeSet<NodeId>) -> Option<NodeId> {
        self.look_at(Instant::now(), voters, alive)
    }

    fn look_at(&self, now: Instant, voters: &BTreeSet<NodeId>, alive: &BTreeSet<NodeId>) -> Option<NodeId> {
        let (after, min_voters) = {
            let config = self.config.load();
            (config.raft.remove_dead_after, config.raft.remove_dead_min_voters)
        };
        let mut silent = self.silent.lock().unwrap_or_else(PoisonError::into_inner);
        silent.since.retain(|id, _| voters.contains(id) && !alive.contains(id));
        for id in voters.difference(alive) {
            silent.since.entry(*id).or_insert(now);
        }
        if voters.len() <= min_voters || plan::quorum(voters, alive).is_err() {
            return None;
        }
        let dead = silent.since.iter().find(|(_, since)| now - **since >= after).map(|(id, _)| *id)?;
        let left: BTreeSet<NodeId> = voters.iter().copied().filter(|id| *id != dead).collect();
        plan::quorum(&left, alive).is_ok().then_some(dead)
    }
}

#[cfg(test)]
mod tests {
    use conf::ClusterConfig;

    use super::*;

    fn after_ten_seconds(min_voters: usize) -> Live {
        let mut config = ClusterConfig::default();
        (config.raft.remove_dead_after, config.raft.remove_dead_min_voters) =
            (Duration::from_secs(10), min_voters);
        Live::new(config)
    }

    fn ids(ids: &[NodeId]) -> BTreeSet<NodeId> {
        ids.iter().copied().collect()
    }

    #[test]
    fn a_voter_is_dead_after_the_time_and_not_below_the_minimum_or_without_a_majority() {
        let start = Instant::now();
        let later = start + Duration::from_secs(10);
        let after_ten = |min, voters: &[NodeId], alive: &[NodeId]| {
            let dead = Dead::new(after_ten_seconds(min));
            assert_eq!(dead.look_at(start, &ids(voters), &ids(alive)), None);
            dead.look_at(later, &ids(voters), &ids(alive))
        };
        assert_eq!(after_ten(3, &[1, 2, 3, 4], &[1, 2, 3]), Some(4));
        assert_eq!(after_ten(4, &[1, 2, 3, 4], &[1, 2, 3]), None);
        assert_eq!(after_ten(3, &[1, 2, 3, 4], &[1, 2]), None);
        assert_eq!(after_ten(3, &[1, 2, 3, 4, 5], &[1, 2, 3]), Some(4));
        assert!(!Dead::new(Live::new(ClusterConfig::default())).is_due());
    }

    #[test]
    fn one_answer_begins_the_time_anew() {
        let dead = Dead::new(after_ten_seconds(3));
        let (start, voters) = (Instant::now(), ids(&[1, 2, 3, 4]));
        let at = |seconds, alive: &[NodeId]| {
            dead.look_at(start + Duration::from_secs(seconds), &voters, &ids(alive))
        };
        assert_eq!(at(0, &[1, 2, 3]), None);
        assert_eq!(at(9, &[1, 2, 3, 4]), None);
        assert_eq!(at(11, &[1, 2, 3]), None);
        assert_eq!(at(21, &[1, 2, 3]), Some(4));
    }
}
