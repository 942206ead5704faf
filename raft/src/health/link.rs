//! One link as this node measures it, with hysteresis: a single lost answer changes nothing.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::view::Fault;

/// So many failures in a row, and the link is down.
const FAILURES: u32 = 2;
/// So many answers in a row, and it is up again.
const ANSWERS: u32 = 2;
/// The weight of a new round trip in the smoothed one is one over this.
const WEIGHT: u32 = 4;

/// What asking over the link has shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Measured {
    #[default]
    Unknown,
    Up,
    Slow,
    Down,
}

impl Measured {
    pub(super) fn works(self) -> bool {
        matches!(self, Self::Up | Self::Slow)
    }
}

/// One link.
#[derive(Clone, Debug, Default)]
pub(super) struct Link {
    pub(super) measured: Measured,
    pub(super) fault: Option<Fault>,
    /// How long an answer takes lately.
    pub(super) round_trip: Option<Duration>,
    /// Equal outcomes in a row, the present one included.
    answers: u32,
    failures: u32,
}

impl Link {
    /// A question was answered after `took`. From `slow_from` on the link is slow, and up again below half of it.
    pub(super) fn answered(&mut self, took: Duration, slow_from: Duration) {
        (self.answers, self.failures) = (self.answers.saturating_add(1), 0);
        let smoothed = match self.round_trip {
            Some(before) if self.measured.works() => (before * (WEIGHT - 1) + took) / WEIGHT,
            _ => took,
        };
        self.round_trip = Some(smoothed);
        self.measured = match self.measured {
            Measured::Down if self.answers < ANSWERS => return,
            Measured::Slow if smoothed >= slow_from / 2 => Measured::Slow,
            _ if smoothed >= slow_from => Measured::Slow,
            _ => Measured::Up,
        };
        self.fault = None;
    }

    /// A question was not answered.
    pub(super) fn failed(&mut self, fault: Fault) {
        (self.answers, self.failures) = (0, self.failures.saturating_add(1));
        if self.failures >= FAILURES {
            (self.measured, self.fault, self.round_trip) = (Measured::Down, Some(fault), None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOW: Duration = Duration::from_millis(80);
    const QUICK: Duration = Duration::from_millis(1);

    fn up() -> Link {
        let mut link = Link::default();
        link.answered(QUICK, SLOW);
        link
    }

    #[test]
    fn one_lost_answer_and_one_lucky_answer_change_nothing() {
        let mut link = up();
        link.failed(Fault::NoAnswer);
        assert_eq!(link.measured, Measured::Up);
        link.answered(QUICK, SLOW);
        link.failed(Fault::NoAnswer);
        assert_eq!(link.measured, Measured::Up);
        link.failed(Fault::Silent);
        assert_eq!((link.measured, link.fault), (Measured::Down, Some(Fault::Silent)));
        link.answered(QUICK, SLOW);
        assert_eq!(link.measured, Measured::Down);
        link.failed(Fault::Silent);
        link.answered(QUICK, SLOW);
        assert_eq!(link.measured, Measured::Down);
        link.answered(QUICK, SLOW);
        assert_eq!((link.measured, link.fault), (Measured::Up, None));
    }

    #[test]
    fn a_link_is_slow_from_the_bound_on_and_quick_again_only_well_below_it() {
        let mut link = up();
        link.answered(SLOW * 2, SLOW);
        assert_eq!(link.measured, Measured::Up, "one late answer");
        for _ in 0..4 {
            link.answered(SLOW * 2, SLOW);
        }
        assert_eq!(link.measured, Measured::Slow);
        for _ in 0..20 {
            link.answered(SLOW * 3 / 4, SLOW);
        }
        assert_eq!(link.measured, Measured::Slow, "still above half of the bound");
        for _ in 0..8 {
            link.answered(QUICK, SLOW);
        }
        assert_eq!(link.measured, Measured::Up);
    }
}
