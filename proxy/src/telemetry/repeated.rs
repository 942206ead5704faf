//! Lines that are not ours and come again and again: openraft tells of every try to reach a member that is down,
//! several times a second, for as long as that is down. The first ones are enough; that the member is down, and when
//! it is back, is told by our own lines.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::callsite::Identifier;
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

/// Whose lines are counted: the beginning of the target.
const WHOSE: &str = "openraft";
/// Lines from one place of the code that are written at first; there may be several members.
const AT_FIRST: u32 = 3;
/// For how long the others are left out; twice as long each time, if they go on.
const SHORTEST: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(3600);

/// See the module.
#[derive(Default)]
pub(super) struct Repeated(Mutex<HashMap<Identifier, Seen>>);

/// Lines from one place of the code.
struct Seen {
    since: Instant,
    window: Duration,
    written: u32,
    left_out: u64,
}

impl Seen {
    fn new(now: Instant) -> Self {
        Self { since: now, window: SHORTEST, written: 0, left_out: 0 }
    }

    /// Whether the next line is written, and how many before it were not.
    fn next(&mut self, now: Instant) -> Option<u64> {
        let age = now.saturating_duration_since(self.since);
        let mut left_out = 0;
        if age >= self.window {
            left_out = self.left_out;
            let went_on = left_out > 0 && age < self.window * 2;
            let window = if went_on { (self.window * 2).min(LONGEST) } else { SHORTEST };
            let written = if went_on { AT_FIRST - 1 } else { 0 };
            *self = Self { since: now, window, written, left_out: 0 };
        }
        if self.written < AT_FIRST {
            self.written += 1;
            return Some(left_out);
        }
        self.left_out += 1;
        None
    }
}

impl<S: Subscriber> Layer<S> for Repeated {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let metadata = event.metadata();
        if !metadata.target().starts_with(WHOSE) {
            return true;
        }
        let next = {
            let (now, mut seen) = (Instant::now(), self.0.lock().unwrap_or_else(PoisonError::into_inner));
            seen.entry(metadata.callsite()).or_insert_with(|| Seen::new(now)).next(now)
        };
        if let Some(left_out @ 1..) = next {
            tracing::info!(left_out, of = metadata.target(), "lines like the next one were left out");
        }
        next.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_lines_are_written_and_then_one_after_longer_and_longer_waits() {
        let began = Instant::now();
        let mut seen = Seen::new(began);
        let mut written = Vec::new();
        for second in 0..600 {
            if let Some(left_out) = seen.next(began + Duration::from_secs(second)) {
                written.push((second, left_out));
            }
        }
        assert_eq!(written, [(0, 0), (1, 0), (2, 0), (60, 57), (180, 119), (420, 239)]);
        // It has ended, and begins anew hours later.
        let later = began + Duration::from_secs(20_000);
        assert_eq!(seen.next(later), Some(179));
        assert_eq!(seen.next(later), Some(0));
    }
}
