//! The end of a node that cannot go on: its storage or its log has failed, and what it would answer from here on may be
//! wrong. The process ends then, with the exit code for what went wrong, and its supervisor starts it again.
//!
//! There is one node in a process, so there is one failure.

use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use tokio::sync::Notify;

/// How long an orderly end may take: a disk that hangs may hold up whoever waits for it.
const PATIENCE: Duration = Duration::from_secs(10);

static REASON: OnceLock<String> = OnceLock::new();
static BELL: Notify = Notify::const_new();

/// Says that the node cannot go on. Whoever waits in [`failed`] ends the process; if that has not happened after ten
/// seconds, it is aborted. Only the first reason counts.
pub fn fail(reason: impl Into<String>) {
    if REASON.set(reason.into()).is_err() {
        return;
    }
    BELL.notify_waiters();
    thread::spawn(|| {
        thread::sleep(PATIENCE);
        std::process::abort();
    });
}

/// Whether the node has failed: it gives no answers any more.
pub fn has_failed() -> bool {
    REASON.get().is_some()
}

/// Ends when the node has failed; the reason.
pub async fn failed() -> &'static str {
    loop {
        let rung = BELL.notified();
        if let Some(reason) = REASON.get() {
            return reason;
        }
        rung.await;
    }
}
