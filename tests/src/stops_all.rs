//! The end of a test's clients.

use std::sync::atomic::{AtomicBool, Ordering};

/// Tells clients in other threads to end when it goes: also when the thread that has it fails, since those of a scope
/// are waited for.
pub struct StopsAll<'a>(pub &'a AtomicBool);

impl Drop for StopsAll<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
