//! This machine's clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Unix time by this machine's clock; zero for a clock before 1970.
pub fn unix_time() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Unix time, milliseconds.
pub fn unix_ms() -> u64 {
    u64::try_from(unix_time().as_millis()).unwrap_or(u64::MAX)
}
