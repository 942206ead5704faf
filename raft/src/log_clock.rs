//! The time that log entries carry, and that decides what has expired.
//!
//! A wall clock may be set wrong at any moment, and set right at another. Were the log to follow it, one hour ahead by
//! mistake would expire every lock at once, and, because the log's time never goes back, nothing more for an hour.
//! So the log's time goes on at the pace of the *monotonic* clock of whoever leads, and is only steered towards what
//! the members' wall clocks say, by half a percent of the time that passes ([`STEERING`]): more than any clock that is
//! being disciplined goes wrong, and little enough that a time to live lasts as long as it was given.
//!
//! What the wall clocks say is the *lower median* of those that have been heard lately, this node's own among them. So
//! one of three that is wrong counts for nothing, and of two the one that expires less is believed.
//!
//! A node that has just started does not know how far the log's time has come meanwhile. It learns it from the leader's
//! health report, or, if none is heard, from any other member's. Where nobody knows, because all have just started, the
//! first batch takes what the wall clocks say, but never less than what is in the log already. That is the only moment
//! at which the log's time jumps.
//!
//! Followers keep the same time by the leader's reports, for their reads and for the moment when they lead. A report
//! may have been on its way for long, and then says less than it should: so one that says more than a node reckons is
//! believed at once, and less only when nothing else has been heard for [`PERSISTENCE`].

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use adapter::clock::unix_time;
use serde::{Deserialize, Serialize};

use crate::boot_clock;
use crate::types::NodeId;

/// The log's time may gain or lose one part in so many on the monotonic clock.
const STEERING: u32 = 200;
/// For so long all reports must say less than a node reckons before it believes the best of them.
const PERSISTENCE: Duration = Duration::from_secs(3);
/// A difference of clocks from here on is warned of.
const SKEW: Millis = 1000;

/// Milliseconds, ahead if positive.
pub(crate) type Millis = i64;

/// What a node tells the others of its clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ClockReport {
    /// Its wall clock, Unix time.
    pub(crate) wall: Duration,
    /// The log's time as far as it knows it.
    pub(crate) log: Option<Duration>,
}

impl ClockReport {
    /// What it says by now, if it was made so long ago.
    pub(crate) fn aged(self, age: Duration) -> Self {
        Self { wall: self.wall + age, log: self.log.map(|log| log + age) }
    }
}

/// Both clocks of this machine at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Now {
    monotonic: Duration,
    wall: Duration,
}

impl Now {
    fn read() -> Self {
        static BEGAN: OnceLock<Instant> = OnceLock::new();
        let since_began = || BEGAN.get_or_init(Instant::now).elapsed();
        Self { monotonic: boot_clock::now().unwrap_or_else(since_began), wall: unix_time() }
    }
}

/// The log's time at a moment of the monotonic clock.
#[derive(Clone, Copy, Debug)]
struct Anchor {
    log: Duration,
    at: Duration,
}

/// Reports that say less than a node reckons.
#[derive(Clone, Copy, Debug)]
struct Behind {
    since: Duration,
    best: Anchor,
}

/// See the module.
pub(crate) struct LogClock(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// The latest time that is in the log, or was given to a batch.
    floor: Duration,
    /// None until it is known.
    anchor: Option<Anchor>,
    /// Since when the leader's reports say less than the anchor, and the most that they said; none if the last one
    /// did not.
    behind: Option<Behind>,
    /// The others' wall clocks, when they were heard of last.
    others: BTreeMap<NodeId, Anchor>,
    /// Whose clocks have been warned of; none stands for the log's time.
    warned: BTreeMap<Option<NodeId>, Millis>,
}

/// How the clocks are, for operators.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Skews {
    /// How far members' wall clocks are ahead of what all say together.
    pub(crate) members: BTreeMap<NodeId, Millis>,
    /// How far the log's time is ahead of that; none if it is not known.
    pub(crate) log: Option<Millis>,
}

impl LogClock {
    /// The clock of a log that has come to a time already.
    pub(crate) fn new(applied_ms: u64) -> Arc<Self> {
        let floor = Duration::from_millis(applied_ms);
        Arc::new(Self(Mutex::new(State { floor, ..State::default() })))
    }

    /// The time of the next batch. Only for who leads.
    pub(crate) fn next_ms(&self) -> u64 {
        self.lock().next(Now::read())
    }

    /// The time that the next batch would get now, by what this node knows.
    pub(crate) fn now_ms(&self) -> u64 {
        millis(self.lock().reading(Now::read()))
    }

    /// A batch of this time has been applied.
    pub(crate) fn applied(&self, applied_ms: u64) {
        self.lock().applied(Duration::from_millis(applied_ms), Now::read());
    }

    /// What the others' clocks say now.
    pub(crate) fn heard(&self, me: NodeId, leader: Option<NodeId>, clocks: &BTreeMap<NodeId, ClockReport>) {
        let now = Now::read();
        let mut state = self.lock();
        state.heard(me, leader, clocks, now);
        state.warn(me, now);
    }

    /// What this node's clocks say.
    pub(crate) fn report(&self) -> ClockReport {
        let (state, now) = (self.lock(), Now::read());
        ClockReport { wall: now.wall, log: state.anchor.map(|_| state.reading(now)) }
    }

    /// How the clocks differ now.
    pub(crate) fn skews(&self, me: NodeId) -> Skews {
        self.lock().skews(me, Now::read())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Anchor {
    fn aged(self, now: Now) -> Duration {
        self.log + now.monotonic.saturating_sub(self.at)
    }
}

impl State {
    /// What the wall clocks say together.
    fn wall(&self, now: Now) -> Duration {
        let mut walls: Vec<Duration> = self.others.values().map(|other| other.aged(now)).collect();
        walls.push(now.wall);
        walls.sort_unstable();
        walls[(walls.len() - 1) / 2]
    }

    fn reading(&self, now: Now) -> Duration {
        let wall = self.wall(now);
        let reading = match self.anchor {
            None => wall,
            Some(anchor) => {
                let by_pace = anchor.aged(now);
                let steering = now.monotonic.saturating_sub(anchor.at) / STEERING;
                wall.clamp(by_pace - steering, by_pace + steering)
            }
        };
        reading.max(self.floor)
    }

    fn next(&mut self, now: Now) -> u64 {
        let log = self.reading(now);
        self.floor = log;
        self.anchor = Some(Anchor { log, at: now.monotonic });
        millis(log)
    }

    fn applied(&mut self, log: Duration, now: Now) {
        // Entries carry whole milliseconds.
        if log > self.floor {
            self.floor = log;
        }
        if let Some(anchor) = &mut self.anchor
            && log > anchor.aged(now)
        {
            *anchor = Anchor { log, at: now.monotonic };
        }
    }

    fn heard(
        &mut self,
        me: NodeId,
        leader: Option<NodeId>,
        clocks: &BTreeMap<NodeId, ClockReport>,
        now: Now,
    ) {
        let others = clocks.iter().filter(|(id, _)| **id != me);
        self.others = others.map(|(id, said)| (*id, Anchor { log: said.wall, at: now.monotonic })).collect();
        if leader == Some(me) && self.anchor.is_some() {
            return;
        }
        let by_leader = leader.filter(|id| *id != me).and_then(|id| clocks.get(&id)?.log);
        let by_anybody = || clocks.iter().filter(|(id, _)| **id != me).filter_map(|(_, said)| said.log).max();
        let known = match self.anchor {
            None => by_leader.or_else(by_anybody),
            Some(_) => by_leader,
        };
        if let Some(log) = known {
            self.follow(Anchor { log: log.max(self.floor), at: now.monotonic }, now);
        }
    }

    /// Goes by what another says that the log's time is now.
    fn follow(&mut self, said: Anchor, now: Now) {
        if self.anchor.is_none_or(|anchor| said.log >= anchor.aged(now)) {
            (self.anchor, self.behind) = (Some(said), None);
            return;
        }
        let behind = self.behind.get_or_insert(Behind { since: now.monotonic, best: said });
        if said.log >= behind.best.aged(now) {
            behind.best = said;
        }
        if now.monotonic.saturating_sub(behind.since) >= PERSISTENCE {
            (self.anchor, self.behind) = (Some(behind.best), None);
        }
    }

    fn skews(&self, me: NodeId, now: Now) -> Skews {
        let wall = self.wall(now);
        let mut members: BTreeMap<NodeId, Millis> =
            self.others.iter().map(|(id, other)| (*id, ahead(other.aged(now), wall))).collect();
        members.insert(me, ahead(now.wall, wall));
        Skews { members, log: self.anchor.map(|_| ahead(self.reading(now), wall)) }
    }

    /// Says what has become wrong since it was last said, and what is right again.
    fn warn(&mut self, me: NodeId, now: Now) {
        let Skews { members, log } = self.skews(me, now);
        let mut skews: BTreeMap<Option<NodeId>, Millis> =
            members.into_iter().map(|(id, skew)| (Some(id), skew)).collect();
        skews.insert(None, log.unwrap_or_default());
        self.warned.retain(|whose, _| skews.contains_key(whose));
        for (whose, ahead_ms) in skews {
            let said = self.warned.get(&whose).copied();
            // Again when it has grown to twice as much, not each time that it moves.
            let is_news = ahead_ms.abs() >= SKEW && said.is_none_or(|said| ahead_ms.abs() > 2 * said.abs());
            let is_over = said.is_some() && ahead_ms.abs() < SKEW / 2;
            match (whose, is_news, is_over) {
                (Some(member), true, _) => {
                    tracing::warn!(member, ahead_ms, "a member's wall clock differs from the others'");
                }
                (None, true, _) => tracing::warn!(
                    ahead_ms,
                    "the log's time differs from the wall clocks: EXPIREAT and PEXPIREAT are off by as much"
                ),
                (Some(member), _, true) => {
                    tracing::info!(member, ahead_ms, "a member's wall clock agrees with the others' again");
                }
                (None, _, true) => {
                    tracing::info!(ahead_ms, "the log's time is that of the wall clocks again")
                }
                _ => {}
            }
            if is_news {
                self.warned.insert(whose, ahead_ms);
            } else if is_over {
                self.warned.remove(&whose);
            }
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn ahead(of: Duration, than: Duration) -> Millis {
    let millis = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    millis(of).saturating_sub(millis(than))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const START: Duration = Duration::from_secs(1_800_000_000);

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// So long after the start, with the wall clock ahead by so much.
    fn at(monotonic: Duration, ahead: Duration) -> Now {
        Now { monotonic, wall: START + monotonic + ahead }
    }

    fn right(monotonic: Duration) -> Now {
        at(monotonic, Duration::ZERO)
    }

    fn ms(since_start: Duration) -> u64 {
        millis(START + since_start)
    }

    /// A report of a wall clock that is ahead by so much, made now.
    fn wall(now: Duration, ahead: Duration) -> ClockReport {
        ClockReport { wall: START + now + ahead, log: None }
    }

    #[test]
    fn a_lone_wall_clock_that_jumps_an_hour_ahead_and_back_moves_the_log_by_half_a_percent() {
        let mut state = State::default();
        assert_eq!(state.next(right(secs(0))), ms(secs(0)));
        let mut last = state.next(at(secs(1), HOUR));
        assert_eq!(last, ms(secs(1)) + 5);
        for second in 2..100 {
            let next = state.next(at(secs(second), HOUR));
            assert_eq!(next - last, 1005);
            last = next;
        }
        // Back again: it goes on, a little slower, until it is right.
        for second in 100..300 {
            let next = state.next(right(secs(second)));
            assert!((995..=1000).contains(&(next - last)), "{}", next - last);
            last = next;
        }
        assert_eq!(last, ms(secs(299)));
    }

    #[test]
    fn many_batches_in_a_short_time_gain_no_more_than_one() {
        let mut state = State::default();
        state.next(right(secs(0)));
        for micros in 1..=1_000_000 {
            state.next(at(Duration::from_micros(micros), HOUR));
        }
        assert_eq!(state.next(at(secs(1), HOUR)), ms(secs(1)) + 5);
    }

    #[test]
    fn a_log_that_is_an_hour_ahead_of_all_clocks_goes_on_at_the_pace_of_the_monotonic_clock() {
        let mut state = State { floor: START + HOUR, ..State::default() };
        assert_eq!(state.next(right(secs(0))), ms(HOUR));
        assert_eq!(state.next(right(secs(10))), ms(HOUR + secs(10)) - 50);
    }

    #[test]
    fn one_of_three_clocks_counts_for_nothing_whichever_way_it_is_wrong() {
        for wrong in [HOUR, Duration::ZERO] {
            let mut state = State::default();
            let clocks = BTreeMap::from([(2, wall(secs(0), wrong)), (3, wall(secs(0), Duration::ZERO))]);
            state.heard(1, None, &clocks, right(secs(0)));
            assert_eq!(state.next(right(secs(0))), ms(secs(0)));
            let own = Now { monotonic: secs(60), wall: START - HOUR };
            let clocks =
                BTreeMap::from([(2, wall(secs(60), Duration::ZERO)), (3, wall(secs(60), Duration::ZERO))]);
            state.heard(1, Some(1), &clocks, own);
            assert_eq!(state.next(own), ms(secs(60)));
            assert_eq!(state.skews(1, own).members[&1], -3_660_000);
        }
    }

    #[test]
    fn of_two_clocks_the_one_that_expires_less_is_believed() {
        let mut state = State::default();
        state.heard(1, None, &BTreeMap::from([(2, wall(secs(0), Duration::ZERO))]), at(secs(0), HOUR));
        assert_eq!(state.next(at(secs(0), HOUR)), ms(secs(0)));
    }

    #[test]
    fn a_new_leader_goes_on_where_the_old_one_was_whatever_its_own_clock_says() {
        let mut old = State::default();
        old.next(right(secs(0)));
        for own in [START - HOUR, START + HOUR] {
            let mut new = State::default();
            let own = |monotonic| Now { monotonic, wall: own + monotonic };
            let told = ClockReport { wall: START + secs(30), log: Some(old.reading(right(secs(30)))) };
            new.heard(2, Some(1), &BTreeMap::from([(1, told)]), own(secs(30)));
            // The old leader is gone; nobody else is heard.
            new.heard(2, None, &BTreeMap::new(), own(secs(36)));
            let next = new.next(own(secs(36)));
            assert!(next.abs_diff(ms(secs(36))) <= 30, "{next} and {}", ms(secs(36)));
        }
    }

    #[test]
    fn a_report_that_was_long_on_its_way_sets_no_time_back_and_a_time_that_is_ahead_is_corrected() {
        let said =
            |now, log| BTreeMap::from([(1, ClockReport { wall: START + now, log: Some(START + log) })]);
        let mut state = State::default();
        let mut hear = |monotonic, log| {
            state.heard(2, Some(1), &said(monotonic, log), right(monotonic));
            millis(state.reading(right(monotonic)))
        };
        assert_eq!(hear(secs(1), secs(1)), ms(secs(1)));
        // Nine tenths of a second on its way, and the next one is not.
        assert_eq!(hear(secs(2), Duration::from_millis(1100)), ms(secs(2)));
        assert_eq!(hear(secs(3), secs(3)), ms(secs(3)));
        // A leader whose log is behind: what all its reports say for long is so, as the quickest of them says it.
        for late in [400, 150, 300] {
            assert_eq!(hear(secs(4), secs(4) - Duration::from_millis(late)), ms(secs(4)));
        }
        let steering = 15;
        let (then, told) = (secs(7), secs(7) - Duration::from_millis(200));
        assert_eq!(hear(then, told), ms(then) - 150 + steering);
    }

    #[test]
    fn a_restarted_node_learns_the_time_from_whoever_knows_it_and_else_takes_the_wall_clocks() {
        let knows = ClockReport { wall: START, log: Some(START - HOUR) };
        let mut state = State::default();
        state.heard(1, None, &BTreeMap::from([(2, knows)]), right(secs(0)));
        assert_eq!(state.next(right(secs(0))), ms(secs(0)) - 3_600_000);
        let mut state = State { floor: START - HOUR, ..State::default() };
        state.heard(1, None, &BTreeMap::from([(2, wall(secs(0), Duration::ZERO))]), right(secs(0)));
        assert_eq!(state.next(right(secs(0))), ms(secs(0)));
    }

    #[test]
    fn time_never_goes_back_behind_what_is_in_the_log() {
        let mut state = State::default();
        let first = state.next(right(secs(0)));
        state.applied(START + secs(5), right(secs(1)));
        assert_eq!(state.next(right(secs(1))), first + 5000);
        // A leader that was slow tells of an earlier time.
        let late = ClockReport { wall: START, log: Some(START) };
        for second in 1..20 {
            state.heard(1, Some(2), &BTreeMap::from([(2, late)]), right(secs(second)));
            assert!(state.next(right(secs(second))) >= first + 5000);
        }
    }
}
