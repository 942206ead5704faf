//! The time since the machine was started, by its own clock.
//!
//! Unlike the clock behind [`std::time::Instant`] it goes on while the machine is suspended: a leader that wakes must
//! not take its lease for one that lasts still.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// A moment, as the time since the machine was started.
pub(crate) type Moment = Duration;

#[cfg(any(target_os = "linux", target_os = "android"))]
const CLOCK: ClockId = ClockId::CLOCK_BOOTTIME;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const CLOCK: ClockId = ClockId::CLOCK_MONOTONIC;

/// Now; none where the system has no such clock, and then nothing that rests on it can be promised.
pub(crate) fn now() -> Option<Moment> {
    clock_gettime(CLOCK).ok().map(Duration::from)
}
