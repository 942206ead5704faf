//! Failpoints: named steps at which a crash must do no harm, so that a test can stop a process there.
//!
//! With debug assertions, a process whose environment sets `STOP_AT_STEP=flush-sent` or `flush-sent:3` stops itself
//! with `SIGSTOP` when it reaches the failpoint of that name for the first or the third time. Without them, this
//! compiles to nothing.

/// Marks a failpoint.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub const fn reached(_step: &str) {}

/// Marks a failpoint.
#[cfg(debug_assertions)]
pub fn reached(step: &str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicI64, Ordering};

    static STOP_AT: OnceLock<Option<(String, AtomicI64)>> = OnceLock::new();
    let stop_at = STOP_AT.get_or_init(|| {
        let wanted = std::env::var("STOP_AT_STEP").ok()?;
        let (step, times) = wanted.split_once(':').unwrap_or((&wanted, "1"));
        Some((step.to_owned(), AtomicI64::new(times.parse().unwrap_or(1))))
    });
    let Some((_, left)) = stop_at.as_ref().filter(|(wanted, _)| wanted == step) else { return };
    if left.fetch_sub(1, Ordering::Relaxed) == 1 {
        tracing::warn!(step, "this process stops itself");
        let stopped =
            std::process::Command::new("kill").args(["-STOP", &std::process::id().to_string()]).status();
        tracing::warn!(step, ?stopped, "this process goes on");
    }
}
