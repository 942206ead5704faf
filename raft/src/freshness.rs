//! How old what this node shows may be.
//!
//! A linearizable round shows that the local storage holds every write that was answered before the round began. It
//! holds them for ever after; so until the next round the content is at most as old as that moment. Only this node's
//! own clock is asked, and no message's time of travel counts in favour of freshness.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::boot_clock::{self, Moment};

/// The last moment of which it is known that everything answered before it is here; nanoseconds since the machine was
/// started, 0 for none.
#[derive(Default)]
pub(crate) struct Freshness(AtomicU64);

impl Freshness {
    /// Everything that was answered before this moment is in the local storage now.
    pub(crate) fn shown(&self, moment: Option<Moment>) {
        if let Some(nanos) = moment.and_then(|moment| u64::try_from(moment.as_nanos()).ok()) {
            self.0.fetch_max(nanos, Ordering::AcqRel);
        }
    }

    /// How old the content may be; none if that was never shown.
    pub(crate) fn age(&self) -> Option<Duration> {
        self.age_at(boot_clock::now()?)
    }

    fn age_at(&self, now: Moment) -> Option<Duration> {
        let shown = self.0.load(Ordering::Acquire);
        (shown > 0).then(|| now.saturating_sub(Duration::from_nanos(shown)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_age_counts_from_the_latest_moment_that_was_shown() {
        let (freshness, second) = (Freshness::default(), Duration::from_secs(1));
        assert_eq!(freshness.age_at(10 * second), None);
        freshness.shown(None);
        assert_eq!(freshness.age_at(10 * second), None);
        freshness.shown(Some(7 * second));
        // A round that began earlier ends later.
        freshness.shown(Some(6 * second));
        assert_eq!(freshness.age_at(10 * second), Some(3 * second));
    }
}
