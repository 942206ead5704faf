//! Deadlines for another process, by that process's own clock.
//!
//! A request that asks for something by a deadline may arrive long after it: its packets were lost and sent again
//! when the link was mended, or the receiver stood still. How long the sender still waits when the request is *read*
//! nobody can tell from a duration in it, and the wall clocks of two machines may differ. So the deadline is written
//! in the terms of the receiver's clock. The sender knows that one from an earlier answer: if the answer said `r`,
//! and had arrived at the sender's time `s`, then at the sender's time `s + d` the receiver's clock shows `r + d` or
//! more. So a receiver that does nothing from `r + d` on does nothing after `s + d`, whatever the time of travel was
//! in either direction.
//!
//! Both clocks are [`boot_clock`]s, and may run at slightly different speeds; a reading is good for a minute.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::boot_clock::{self, Moment};
use crate::types::NodeId;

/// A reading older than this is not relied on: in this time clocks drift apart by some milliseconds.
const MAX_AGE: Duration = Duration::from_secs(60);
/// From this age on any other reading is better.
const GOOD_AGE: Duration = Duration::from_secs(10);

/// Another one for each process.
static PROCESS: LazyLock<u64> = LazyLock::new(rand::random);

/// A point in time by one process's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reading {
    /// Which process; 0 for none.
    pub(crate) process: u64,
    /// Milliseconds since its machine was started.
    pub(crate) ms: u64,
}

impl Reading {
    /// Now, by this process's clock.
    pub(crate) fn now() -> Self {
        Self { process: *PROCESS, ms: millis(boot_clock::now().unwrap_or_default()) }
    }

    /// How long it is until then; none if that is over, or by another process's clock.
    pub(crate) fn left(&self) -> Option<Duration> {
        let now = Self::now();
        let left = self.ms.checked_sub(now.ms).filter(|left| *left > 0 && self.process == now.process);
        left.map(Duration::from_millis)
    }

    /// The point that is so much earlier.
    pub(crate) fn earlier(&self, by: Duration) -> Self {
        Self { ms: self.ms.saturating_sub(millis(by)), ..*self }
    }
}

/// What this process knows of the others' clocks.
#[derive(Default)]
pub(crate) struct RemoteClocks(Mutex<HashMap<NodeId, Known>>);

/// What a process's clock showed at least when this process's showed `at`.
#[derive(Clone, Copy)]
struct Known {
    reading: Reading,
    at: Moment,
}

impl Known {
    /// What it shows at least at a later moment.
    fn shows_at(&self, moment: Moment) -> u64 {
        self.reading.ms.saturating_add(millis(moment.saturating_sub(self.at)))
    }
}

impl RemoteClocks {
    /// An answer of `node` that has just arrived says what its clock showed.
    pub(crate) fn heard(&self, node: NodeId, reading: Reading) {
        self.heard_at(boot_clock::now().unwrap_or_default(), node, reading);
    }

    /// Nothing is known of that clock any more.
    pub(crate) fn forget(&self, node: NodeId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&node);
    }

    /// The point by the clock of `node` that is not later than `after` from now; none if its clock is not known.
    pub(crate) fn deadline(&self, node: NodeId, after: Duration) -> Option<Reading> {
        self.deadline_at(boot_clock::now().unwrap_or_default(), node, after)
    }

    fn heard_at(&self, now: Moment, node: NodeId, reading: Reading) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_better = |old: &Known| {
            // The answer that travelled for the shortest time tells most.
            old.reading.process != reading.process
                || old.shows_at(now) <= reading.ms
                || now.saturating_sub(old.at) > GOOD_AGE
        };
        if known.get(&node).is_none_or(is_better) {
            known.insert(node, Known { reading, at: now });
        }
    }

    fn deadline_at(&self, now: Moment, node: NodeId, after: Duration) -> Option<Reading> {
        let known = *self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&node)?;
        (now.saturating_sub(known.at) <= MAX_AGE).then(|| Reading {
            process: known.reading.process,
            ms: known.shows_at(now).saturating_add(millis(after)),
        })
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: NodeId = 7;

    fn at(ms: u64) -> Moment {
        Duration::from_millis(ms)
    }

    fn reading(process: u64, ms: u64) -> Reading {
        Reading { process, ms }
    }

    #[test]
    fn a_deadline_is_never_later_than_the_sender_waits_however_long_the_answer_travelled() {
        // The other's clock shows 1000 more than this one's; its answers travel for 3 and then for 40 ms.
        let clocks = RemoteClocks::default();
        assert_eq!(clocks.deadline_at(at(100), NODE, at(500)), None);
        clocks.heard_at(at(103), NODE, reading(1, 1100));
        assert_eq!(clocks.deadline_at(at(200), NODE, at(500)), Some(reading(1, 1697)));
        clocks.heard_at(at(340), NODE, reading(1, 1300));
        assert_eq!(
            clocks.deadline_at(at(400), NODE, at(500)),
            Some(reading(1, 1897)),
            "the first tells more"
        );
        clocks.heard_at(at(501), NODE, reading(1, 1500));
        assert_eq!(clocks.deadline_at(at(600), NODE, at(500)), Some(reading(1, 2099)));
    }

    #[test]
    fn another_process_and_an_old_reading_are_not_taken_for_what_is_known() {
        let clocks = RemoteClocks::default();
        clocks.heard_at(at(0), NODE, reading(1, 5000));
        clocks.heard_at(at(10), NODE, reading(2, 70));
        assert_eq!(clocks.deadline_at(at(20), NODE, at(100)), Some(reading(2, 180)));
        clocks.heard_at(at(10) + GOOD_AGE + at(1), NODE, reading(2, 9000));
        assert_eq!(clocks.deadline_at(at(10_011), NODE, at(0)), Some(reading(2, 9000)), "clocks drift");
        assert_eq!(clocks.deadline_at(at(10_012) + MAX_AGE, NODE, at(100)), None);
    }

    #[test]
    fn what_is_over_or_by_another_clock_leaves_no_time() {
        let now = Reading::now();
        let later = Reading { ms: now.ms + 60_000, ..now };
        assert!(later.left().is_some_and(|left| left > Duration::from_secs(50)));
        assert_eq!(later.earlier(Duration::from_secs(61)).left(), None);
        assert_eq!(Reading { process: now.process.wrapping_add(1), ..later }.left(), None);
        assert_eq!(Reading::default().left(), None);
    }
}
