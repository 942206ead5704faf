//! The Kiwi beside a node is killed, and started again.

use super::Fault;
use crate::harness::deployment::Deployment;
use crate::harness::failure::{Failure, Result};

/// `kill -9` of a Kiwi.
pub(super) struct Kill {
    slot: usize,
    seen: String,
}

impl Kill {
    pub(super) fn of(slot: usize) -> Self {
        Self { slot, seen: String::new() }
    }
}

impl Fault for Kill {
    fn begin(&mut self, deployment: &mut Deployment) -> Result<()> {
        let storage = deployment.node(self.slot)?.storage.take();
        let mut storage = storage.ok_or_else(|| Failure::Machine("there is no Kiwi".to_owned()))?;
        self.seen = storage.kill()?;
        Ok(())
    }

    fn end(&mut self, deployment: &mut Deployment) -> Result<String> {
        deployment.launch_storage(self.slot)?;
        Ok(format!("the Kiwi of slot {}: {}", self.slot + 1, self.seen))
    }
}
