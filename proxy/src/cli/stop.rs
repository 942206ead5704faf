//! Being asked to stop: by SIGTERM or SIGINT (Ctrl-C).

use std::process::exit;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{SignalKind, signal};

use super::Failure;

/// The exit code of a command that was interrupted, as shells give it (128 + SIGINT).
const INTERRUPTED: i32 = 130;

/// Ends when the process is asked to stop.
pub(super) async fn signalled() {
    match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        (Ok(mut terminate), Ok(mut interrupt)) => {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        }
        (Err(error), _) | (_, Err(error)) => {
            tracing::error!(%error, "cannot watch for signals; end this process with SIGKILL");
            std::future::pending::<()>().await;
        }
    }
}

/// A flag that is set when the process is asked to stop.
pub(super) fn flag() -> Result<Arc<AtomicBool>, Failure> {
    let flag = Arc::new(AtomicBool::new(false));
    let set = Arc::clone(&flag);
    watch(move || set.store(true, Ordering::Relaxed))?;
    Ok(flag)
}

/// From now on, being asked to stop ends the process after `clean_up`, wherever it is.
pub(super) fn exit_after(clean_up: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    watch(move || {
        clean_up();
        exit(INTERRUPTED);
    })
}

fn watch(then: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(Failure::because("cannot watch for signals"))?;
    std::thread::spawn(move || {
        runtime.block_on(signalled());
        then();
    });
    Ok(())
}
