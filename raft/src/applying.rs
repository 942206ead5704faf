//! Whether the storage is busy with a run that takes long: then whoever waits for it, or behind it, waits on.
//!
//! How long a command takes is not seen from its size: `COPY` and `BITOP` of a large string are a few bytes. A deadline
//! that ends while the storage makes progress would answer that the outcome is unknown, though it is only late.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A run that takes longer is one to wait for, and for so long behind it those that it held up are waited for.
const LONG: Duration = Duration::from_millis(500);
/// A run that takes longer is waited for no more: nobody knows whether it ends.
pub(crate) const HOPELESS: Duration = Duration::from_secs(600);
/// How long is waited each time before it is asked again.
pub(crate) const PAUSE: Duration = Duration::from_millis(250);

/// The storage's run, if one is under way.
#[derive(Debug, Default)]
pub(crate) struct Applying(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    began: Option<Instant>,
    /// When a run ended last that took long.
    ended: Option<Instant>,
}

/// A run is under way until this is dropped.
pub(crate) struct Running(Arc<Applying>);

impl Applying {
    /// A run begins. There is one at a time.
    pub(crate) fn begin(self: &Arc<Self>) -> Running {
        self.lock().began = Some(Instant::now());
        Running(Arc::clone(self))
    }

    /// Whether a run takes long, or has until a moment ago.
    pub(crate) fn is_long(&self) -> bool {
        let State { began, ended } = *self.lock();
        let is_long = |began: Instant| (LONG..HOPELESS).contains(&began.elapsed());
        began.is_some_and(is_long) || ended.is_some_and(|ended| ended.elapsed() < LONG)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        if state.began.take().is_some_and(|began| began.elapsed() >= LONG) {
            state.ended = Some(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_run_that_takes_long_is_waited_for() {
        let applying = Arc::<Applying>::default();
        assert!(!applying.is_long());
        let running = applying.begin();
        assert!(!applying.is_long());
        applying.lock().began = Instant::now().checked_sub(LONG);
        assert!(applying.is_long());
        applying.lock().began = Instant::now().checked_sub(HOPELESS);
        assert!(!applying.is_long());
        applying.lock().began = Instant::now().checked_sub(LONG);
        drop(running);
        assert!(applying.is_long(), "those behind it are waited for");
        applying.lock().ended = Instant::now().checked_sub(LONG);
        assert!(!applying.is_long());
    }
}
