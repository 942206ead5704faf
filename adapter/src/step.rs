//! The steps at which a crash must do no harm, so that a test can have one happen there.
//!
//! With debug assertions, a process whose environment says `STOP_AT_STEP=wave-sent` or `wave-sent:3` stops itself,
//! as by `SIGSTOP`, when it comes to the step of that name for the first or the third time. Without them, there is
//! nothing here.

/// This step has been reached.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub const fn reached(_step: &str) {}

/// This step has been reached.
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
