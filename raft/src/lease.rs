//! The leader's lease: for how long nobody else can have been elected.
//!
//! A follower that takes an AppendEntries promises to vote for nobody, itself included, for
//! `raft.election_timeout_max` from then on; its answer says for how long. openraft keeps that promise towards
//! candidates, also after a restart, and [`crate::elections`] keeps it for the node's own standing. So with the
//! promises of a quorum no other leader can be elected before the earliest of them has run out: every election
//! needs one of those voters, or this leader itself, who gives its vote away only by writing down another vote,
//! which whoever asks for the lease looks at last.
//!
//! **Clocks.** A promise begins when the request arrives, which the leader does not know; it counts from the moment
//! before it *sent* the request. Of the promised time it counts on only `1 − raft.max_clock_drift`, because the
//! follower's clock may be the faster one. Its own is [`crate::boot_clock`], which counts a suspended machine's time.
//!
//! **Transfer.** A leader that has somebody else elected voids the promises. So its lease ends for good
//! ([`Lease::revoke`]) before anybody is asked to stand, also if nobody is elected then.
//!
//! openraft's `millis_since_quorum_ack` is no lease: it counts from when answers arrive.
//!
//! The same answers tell a leader that it may be cut off ([`Lease::hears_quorum`]). It cannot know whether another
//! leads by now; but what it takes on then nobody confirms, and it may take effect when the links are mended, long
//! after its client has been told that it is unknown.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::boot_clock::Moment;
use crate::types::{NodeId, Vote};

/// See the module.
pub(crate) struct Lease {
    own: NodeId,
    /// The part of a promise that is counted on, in percent; 0 if lease reads are off.
    counted_percent: u32,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The leader's vote that the promises were given to.
    vote: Vote,
    /// When that was seen first.
    since: Moment,
    /// When each follower's promise runs out, by this node's clock.
    until: BTreeMap<NodeId, Moment>,
    /// When the last append was sent that each follower has answered.
    answered: BTreeMap<NodeId, Moment>,
    /// There is no lease under this vote or an earlier one any more.
    revoked: Option<Vote>,
}

impl Lease {
    pub(crate) fn new(own: NodeId, raft: &conf::Raft) -> Self {
        let counted_percent = if raft.lease_reads { 100_u32.saturating_sub(raft.max_clock_drift) } else { 0 };
        Self { own, counted_percent, state: Mutex::default() }
    }

    /// A follower has taken an AppendEntries of the leader with this vote, which had not left before `sent`, and
    /// promises for this long.
    pub(crate) fn promised(&self, vote: Vote, follower: NodeId, sent: Moment, promise: Duration) {
        if !vote.committed {
            return;
        }
        let until = sent + promise * self.counted_percent / 100;
        let mut state = self.state();
        state.see(vote, sent);
        if vote == state.vote {
            let known = state.until.entry(follower).or_default();
            *known = until.max(*known);
            let known = state.answered.entry(follower).or_default();
            *known = sent.max(*known);
        }
    }

    /// Whether a quorum has answered this leader lately: within this time, or since it was elected, if that is not as
    /// long ago.
    pub(crate) fn hears_quorum(
        &self,
        vote: Vote,
        configs: &[BTreeSet<NodeId>],
        now: Moment,
        within: Duration,
    ) -> bool {
        let mut state = self.state();
        state.see(vote, now);
        if vote != state.vote {
            return false;
        }
        let is_late = |moment: Moment| now.saturating_sub(moment) > within;
        let hears = |voter: &&NodeId| {
            **voter == self.own || state.answered.get(*voter).is_some_and(|sent| !is_late(*sent))
        };
        !is_late(state.since)
            || configs.iter().all(|config| config.iter().filter(hears).count() * 2 > config.len())
    }

    /// Whether nobody else can have been elected by now. `configs` are the voters, as one set or, in a joint
    /// configuration, as two. Only if the node's vote still is this one afterwards is the answer worth anything.
    pub(crate) fn holds(&self, vote: Vote, configs: &[BTreeSet<NodeId>], now: Moment) -> bool {
        let state = self.state();
        // Without a single promise the votes differ; a lone voter needs none.
        let is_lone = || configs.iter().all(|config| config.iter().all(|voter| *voter == self.own));
        if self.counted_percent == 0
            || configs.is_empty()
            || state.revoked.is_some_and(|revoked| vote <= revoked)
            || (vote != state.vote && !is_lone())
        {
            return false;
        }
        let keeps = |voter: &&NodeId| {
            **voter == self.own || state.until.get(*voter).is_some_and(|until| now < *until)
        };
        configs.iter().all(|config| config.iter().filter(keeps).count() * 2 > config.len())
    }

    /// Ends the lease under this vote for good. Must be called before anybody is asked to take over.
    pub(crate) fn revoke(&self, vote: Vote) {
        let mut state = self.state();
        if state.revoked.is_none_or(|revoked| vote > revoked) {
            state.revoked = Some(vote);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// A leader's vote is seen; what belongs to an earlier one is forgotten.
    fn see(&mut self, vote: Vote, now: Moment) {
        if vote > self.vote {
            (self.vote, self.since) = (vote, now);
            self.until.clear();
            self.answered.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROMISE: Duration = Duration::from_millis(1000);

    fn ms(ms: u64) -> Moment {
        Duration::from_millis(ms)
    }

    fn lease(drift: u32) -> Lease {
        Lease::new(1, &conf::Raft { lease_reads: true, max_clock_drift: drift, ..conf::Raft::default() })
    }

    fn voters(sets: &[&[NodeId]]) -> Vec<BTreeSet<NodeId>> {
        sets.iter().map(|set| set.iter().copied().collect()).collect()
    }

    fn vote(term: u64) -> Vote {
        Vote::new_committed(term, 1)
    }

    #[test]
    fn a_promise_counts_from_when_the_request_was_sent_and_for_less_than_it_lasts() {
        let (lease, three) = (lease(10), voters(&[&[1, 2, 3]]));
        assert!(!lease.holds(vote(1), &three, ms(5000)), "a lease without any promise");
        lease.promised(vote(1), 2, ms(5000), PROMISE);
        assert!(lease.holds(vote(1), &three, ms(5899)));
        assert!(!lease.holds(vote(1), &three, ms(5900)));
    }

    #[test]
    fn the_lease_of_five_lasts_as_long_as_the_second_best_promise() {
        let (lease, five) = (lease(50), voters(&[&[1, 2, 3, 4, 5]]));
        for (follower, sent) in [(2, 100), (3, 300), (4, 200)] {
            lease.promised(vote(1), follower, ms(sent), PROMISE);
        }
        assert!(lease.holds(vote(1), &five, ms(699)));
        assert!(!lease.holds(vote(1), &five, ms(700)));
    }

    #[test]
    fn an_answer_that_comes_late_does_not_shorten_what_is_known() {
        let (lease, three) = (lease(10), voters(&[&[1, 2, 3]]));
        lease.promised(vote(1), 2, ms(500), PROMISE);
        lease.promised(vote(1), 2, ms(100), PROMISE);
        assert!(lease.holds(vote(1), &three, ms(1399)));
    }

    #[test]
    fn a_joint_configuration_needs_the_promises_of_both_halves() {
        let (lease, joint) = (lease(10), voters(&[&[1, 2, 3], &[1, 4, 5]]));
        lease.promised(vote(1), 2, ms(0), PROMISE);
        assert!(!lease.holds(vote(1), &joint, ms(1)));
        lease.promised(vote(1), 4, ms(0), PROMISE);
        assert!(lease.holds(vote(1), &joint, ms(1)));
    }

    #[test]
    fn a_leader_that_is_no_voter_any_more_does_not_count_itself() {
        let (lease, others) = (lease(10), voters(&[&[2, 3]]));
        lease.promised(vote(1), 2, ms(0), PROMISE);
        assert!(!lease.holds(vote(1), &others, ms(1)));
        lease.promised(vote(1), 3, ms(0), PROMISE);
        assert!(lease.holds(vote(1), &others, ms(1)));
    }

    #[test]
    fn promises_to_one_vote_are_none_to_another() {
        let (lease, three) = (lease(10), voters(&[&[1, 2, 3]]));
        lease.promised(vote(1), 2, ms(0), PROMISE);
        assert!(!lease.holds(vote(2), &three, ms(1)));
        lease.promised(vote(2), 3, ms(10), PROMISE);
        // An answer from the earlier term arrives late.
        lease.promised(vote(1), 2, ms(900), PROMISE);
        assert!(lease.holds(vote(2), &three, ms(11)));
        assert!(!lease.holds(vote(2), &three, ms(911)));
        assert!(!lease.holds(vote(1), &three, ms(11)));
        // A candidate's vote drops promises instead of getting one.
        lease.promised(Vote::new(3, 1), 2, ms(900), PROMISE);
        assert!(!lease.holds(Vote::new(3, 1), &three, ms(901)));
    }

    #[test]
    fn a_lease_that_was_revoked_comes_back_only_with_another_term() {
        let (lease, three) = (lease(10), voters(&[&[1, 2, 3]]));
        lease.promised(vote(1), 2, ms(0), PROMISE);
        lease.revoke(vote(1));
        assert!(!lease.holds(vote(1), &three, ms(1)));
        lease.promised(vote(1), 2, ms(5), PROMISE);
        assert!(!lease.holds(vote(1), &three, ms(6)));
        lease.promised(vote(2), 2, ms(10), PROMISE);
        assert!(lease.holds(vote(2), &three, ms(11)));
        // Before the first promise of a term as well.
        lease.revoke(vote(3));
        lease.promised(vote(3), 2, ms(20), PROMISE);
        assert!(!lease.holds(vote(3), &three, ms(21)));
    }

    #[test]
    fn a_leader_that_nobody_answers_notices_it_also_where_lease_reads_are_off() {
        let within = Duration::from_millis(1200);
        for lease in [lease(10), Lease::new(1, &conf::Raft::default())] {
            let three = voters(&[&[1, 2, 3]]);
            let hears = |vote, now| lease.hears_quorum(vote, &three, ms(now), within);
            assert!(hears(vote(1), 5000), "it has just been elected");
            assert!(hears(vote(1), 6200));
            assert!(!hears(vote(1), 6201));
            lease.promised(vote(1), 3, ms(6000), PROMISE);
            assert!(hears(vote(1), 7200));
            assert!(!hears(vote(1), 7201), "it counts from when the answered append was sent");
            // Elected anew, it has the time of one that was just elected.
            assert!(hears(vote(2), 8000));
            assert!(!hears(vote(1), 8000), "another term has begun");
            lease.promised(vote(1), 3, ms(9000), PROMISE);
            assert!(!hears(vote(2), 9300), "an answer from the earlier term");
            let joint = voters(&[&[1, 2, 3], &[1, 4, 5]]);
            lease.promised(vote(2), 2, ms(9300), PROMISE);
            assert!(hears(vote(2), 9400));
            assert!(!lease.hears_quorum(vote(2), &joint, ms(9400), within), "one half of the two");
            assert!(lease.hears_quorum(vote(2), &voters(&[&[1]]), ms(99_000), within), "a lone voter");
        }
    }

    #[test]
    fn a_lone_voter_has_a_lease_and_nobody_has_one_while_lease_reads_are_off() {
        assert!(lease(10).holds(vote(1), &voters(&[&[1]]), ms(1)));
        assert!(!lease(10).holds(vote(1), &[], ms(1)));
        let off = Lease::new(1, &conf::Raft::default());
        off.promised(vote(1), 2, ms(0), PROMISE);
        assert!(!off.holds(vote(1), &voters(&[&[1, 2, 3]]), ms(1)));
        assert!(!off.holds(vote(1), &voters(&[&[1]]), ms(1)));
    }
}
