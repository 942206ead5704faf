//! Processes that are killed or stopped.

use nix::sys::signal::Signal;

use super::Fault;
use crate::harness::deployment::Deployment;
use crate::harness::failure::{Failure, Result};

/// `kill -9`; the end is a new start.
pub(super) struct Kill {
    slots: Vec<usize>,
    seen: Vec<String>,
}

impl Kill {
    pub(super) fn of(slots: Vec<usize>) -> Self {
        Self { slots, seen: Vec::new() }
    }
}

impl Fault for Kill {
    fn begin(&mut self, deployment: &mut Deployment) -> Result<()> {
        for slot in &self.slots {
            self.seen.push(deployment.sidecar(*slot)?.kill()?);
        }
        Ok(())
    }

    fn end(&mut self, deployment: &mut Deployment) -> Result<String> {
        self.slots.iter().try_for_each(|slot| deployment.launch(*slot))?;
        Ok(self.seen.join("; "))
    }
}

/// SIGSTOP; the end is SIGCONT.
pub(super) struct Pause {
    slot: usize,
    process: u32,
}

impl Pause {
    pub(super) fn of(slot: usize) -> Self {
        Self { slot, process: 0 }
    }

    fn check(&self, deployment: &mut Deployment) -> Result<()> {
        let process = deployment.sidecar(self.slot)?;
        if process.id() == self.process && process.is_stopped() {
            return Ok(());
        }
        Err(Failure::NoFault(format!("process {} does not stand still", self.process)))
    }
}

impl Fault for Pause {
    fn begin(&mut self, deployment: &mut Deployment) -> Result<()> {
        self.process = deployment.sidecar(self.slot)?.id();
        deployment.signal(self.slot, Signal::SIGSTOP)?;
        let slot = self.slot;
        // A thread that is in the kernel stops when it comes back.
        deployment.until("a process to stand still", |deployment| {
            deployment.sidecar(slot).is_ok_and(|process| process.is_stopped())
        })
    }

    fn look(&mut self, deployment: &mut Deployment) -> Result<()> {
        self.check(deployment)
    }

    fn end(&mut self, deployment: &mut Deployment) -> Result<String> {
        self.check(deployment)?;
        deployment.signal(self.slot, Signal::SIGCONT)?;
        Ok(format!("process {} stood still", self.process))
    }
}
