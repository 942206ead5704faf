//! Being asked to stop: by SIGTERM or SIGINT (Ctrl-C).

use std::io;
use std::process::exit;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::failure::Failure;

/// The exit code of a command that was interrupted, as shells give it (128 + SIGINT).
const INTERRUPTED: i32 = 130;

/// The signals that ask the process to stop; from the making of this on, they do nothing else.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Must be called on a runtime.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Ends when the process is asked to stop, or was since this was made.
    pub(super) async fn any(&mut self) {
        tokio::select! { _ = self.terminate.recv() => {}, _ = self.interrupt.recv() => {} }
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
    let cannot = "cannot watch for signals";
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(Failure::because(cannot))?;
    let mut signals = {
        let _inside = runtime.enter();
        Signals::new().map_err(Failure::because(cannot))?
    };
    std::thread::spawn(move || {
        runtime.block_on(signals.any());
        then();
    });
    Ok(())
}
