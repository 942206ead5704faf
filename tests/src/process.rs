//! The end of processes that a test has started.

use std::process::{Child, ExitStatus};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Waits until a process has ended. One that does not is killed, and the test fails with what `said` knows of it.
pub fn wait_for_end(child: &mut Child, patience: Duration, said: impl FnOnce() -> String) -> ExitStatus {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if Instant::now() >= deadline {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("it did not end within {patience:?}: {}", said());
        }
        sleep(Duration::from_millis(10));
    }
}

/// A process that ends what it has started when it is asked to end. It is asked when this is dropped.
#[derive(Debug)]
pub struct Parent(pub Child);

impl Drop for Parent {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            let _ = kill(Pid::from_raw(self.0.id() as i32), Signal::SIGTERM);
            let _ = self.0.wait();
        }
    }
}
