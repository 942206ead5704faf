//! One log line where there could be thousands: what strangers can cause as often as they like is told of now and then,
//! with how often it happened in between.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lets one line through in each interval.
#[derive(Debug)]
pub struct Quiet {
    interval: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    last: Option<Instant>,
    untold: u64,
}

impl Quiet {
    /// Lets one line through in `interval`.
    pub fn new(interval: Duration) -> Self {
        Self { interval, state: Mutex::default() }
    }

    /// Whether a line may be written now: how many were not since the last one.
    pub fn line(&self) -> Option<u64> {
        self.line_at(Instant::now())
    }

    fn line_at(&self, now: Instant) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.last.is_some_and(|last| now.saturating_duration_since(last) < self.interval) {
            state.untold += 1;
            return None;
        }
        state.last = Some(now);
        Some(std::mem::take(&mut state.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_many_were_held_back_before_it() {
        let (quiet, now) = (Quiet::new(Duration::from_secs(1)), Instant::now());
        assert_eq!(quiet.line_at(now), Some(0));
        for ms in [0, 1, 999] {
            assert_eq!(quiet.line_at(now + Duration::from_millis(ms)), None);
        }
        assert_eq!(quiet.line_at(now + Duration::from_secs(1)), Some(3));
        assert_eq!(quiet.line_at(now + Duration::from_secs(2)), Some(0));
    }
}
