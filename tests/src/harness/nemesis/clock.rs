//! Wall clocks that jump, ahead and back.

use std::time::{SystemTime, UNIX_EPOCH};

use super::Fault;
use crate::harness::deployment::Deployment;
use crate::harness::failure::{Failure, Result};

/// By how many milliseconds.
const JUMPS: [i64; 6] = [3_600_000, -3_600_000, 30_000, -30_000, 2_500, -2_500];
/// A difference within this is what asking takes.
const TOLERANCE: i64 = 1_000;

/// One node's wall clock is wrong for a while.
pub(super) struct Jump {
    slot: usize,
    by: i64,
    seen: Option<i64>,
}

impl Jump {
    pub(super) fn of(slot: usize, lot: u64) -> Self {
        Self { slot, by: JUMPS[lot as usize % JUMPS.len()], seen: None }
    }

    fn set(&self, deployment: &Deployment, by: i64) -> Result<()> {
        let clock = deployment.slots[self.slot].clock.as_ref();
        clock.ok_or_else(|| Failure::Machine("clocks cannot be moved".to_owned()))?.set_ahead(by);
        Ok(())
    }

    /// By how much the node's clock is ahead, as it says itself.
    fn ahead(&self, deployment: &Deployment) -> Option<i64> {
        let frame = deployment.ask(self.slot, "TIME").ok()?;
        let parts: Vec<i64> = frame
            .items()
            .iter()
            .filter_map(|part| std::str::from_utf8(part.bytes()?).ok()?.parse().ok())
            .collect();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_millis();
        Some(parts.first()? * 1000 + parts.get(1)? / 1000 - i64::try_from(now).ok()?)
    }
}

impl Fault for Jump {
    fn begin(&mut self, deployment: &mut Deployment) -> Result<()> {
        self.set(deployment, self.by)
    }

    fn look(&mut self, deployment: &mut Deployment) -> Result<()> {
        self.seen = self.ahead(deployment);
        match self.seen {
            Some(seen) if (seen - self.by).abs() <= TOLERANCE => Ok(()),
            seen => Err(Failure::NoFault(format!("the clock is ahead by {seen:?} ms, not by {}", self.by))),
        }
    }

    fn end(&mut self, deployment: &mut Deployment) -> Result<String> {
        self.set(deployment, 0)?;
        Ok(format!("TIME of slot {} was ahead by {} ms", self.slot + 1, self.seen.unwrap_or_default()))
    }
}
