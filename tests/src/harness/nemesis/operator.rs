//! What an operator asks for. Beside another fault it may be refused; then it is asked for again when that has ended.

use std::time::Duration;

use nix::sys::signal::Signal;
use raft::status::Role;

use super::Fault;
use crate::differential::resp::Frame;
use crate::harness::deployment::{Deployment, PATIENCE, ask};
use crate::harness::failure::{Failure, Result};

/// How long a node that was stopped may take to end.
const ENDS: Duration = Duration::from_secs(20);

/// Leadership goes to a node, or away from it if it has it.
pub(super) struct Transfer {
    slot: usize,
    done: Option<String>,
}

impl Transfer {
    pub(super) fn to(slot: usize) -> Self {
        Self { slot, done: None }
    }

    fn run(&mut self, deployment: &mut Deployment) -> Result<()> {
        let before = deployment.wait_for_leader()?;
        let words = if before == self.slot {
            "RAFT.TRANSFER_LEADER".to_owned()
        } else {
            format!("RAFT.TRANSFER_LEADER {}", deployment.id(self.slot))
        };
        deployment.ask(before, &words).map_err(Failure::NoFault)?;
        let after = deployment.wait_for_leader()?;
        if after == before {
            return Err(Failure::NoFault(format!("slot {} leads on", before + 1)));
        }
        self.done = Some(format!("leadership went from slot {} to {}", before + 1, after + 1));
        Ok(())
    }
}

impl Fault for Transfer {
    fn begin(&mut self, deployment: &mut Deployment) -> Result<()> {
        match self.run(deployment) {
            Err(Failure::NoFault(_)) => Ok(()),
            other => other,
        }
    }

    fn end(&mut self, deployment: &mut Deployment) -> Result<String> {
        for _ in 0..5 {
            if self.done.is_some() {
                break;
            }
            if let Err(error @ (Failure::Broken(_) | Failure::Machine(_))) = self.run(deployment) {
                return Err(error);
            }
        }
        self.done.take().ok_or_else(|| Failure::NoFault("leadership was never transferred".to_owned()))
    }

    fn ends_last(&self) -> bool {
        true
    }
}

/// A node comes in, and then this one goes.
pub(super) struct Replace {
    slot: usize,
    new: Option<usize>,
}

impl Replace {
    pub(super) fn of(slot: usize) -> Self {
        Self { slot, new: None }
    }
}

impl Fault for Replace {
    fn begin(&mut self, deployment: &mut Deployment) -> Result<()> {
        let (new, id) = (deployment.spare()?, deployment.new_id());
        deployment.settle(new, id);
        deployment.launch(new)?;
        self.new = Some(new);
        // It asks to be let in once it listens.
        join(deployment, new);
        Ok(())
    }

    fn look(&mut self, deployment: &mut Deployment) -> Result<()> {
        self.new.iter().for_each(|new| join(deployment, *new));
        Ok(())
    }

    fn end(&mut self, deployment: &mut Deployment) -> Result<String> {
        let new = self.new.ok_or_else(|| Failure::Machine("it has not begun".to_owned()))?;
        let (came, goes) = (deployment.id(new), deployment.id(self.slot));
        deployment.until("a new node to vote", |deployment| {
            join(deployment, new);
            votes(deployment, new, came)
        })?;
        let leaves = format!("RAFT.NODE REMOVE {goes}");
        let mut said = String::new();
        let removed = deployment.until("a removed node to be gone", |deployment| {
            if deployment.table(new).is_some_and(|table| table.iter().all(|member| member.id != goes)) {
                return true;
            }
            // Whether it was done shows in the membership.
            if let Err(error) = deployment.ask(new, &leaves) {
                said = error;
            }
            false
        });
        removed.map_err(|error| Failure::Broken(format!("{error}; {leaves}: {said}")))?;
        let process = deployment.sidecar(self.slot)?;
        if process.ended().is_none() {
            process.signal(Signal::SIGTERM)?;
        }
        let ended = process.wait(ENDS);
        if ended.is_none_or(|status| !status.success()) {
            return Err(Failure::Broken(format!(
                "removed node {goes} was stopped, and ended with {ended:?}"
            )));
        }
        deployment.clear(self.slot)?;
        Ok(format!("node {came} votes, node {goes} is no member"))
    }

    fn ends_last(&self) -> bool {
        true
    }
}

/// Has a node ask the others to be let in, if it can be asked.
pub(super) fn join(deployment: &mut Deployment, new: usize) {
    let others = deployment.members().into_iter().filter(|slot| *slot != new);
    let seeds: Vec<String> = others.map(|slot| deployment.slots[slot].raft_address()).collect();
    // What it answers shows in the membership.
    let _ =
        deployment.ask_within(new, &format!("RAFT.CLUSTER JOIN {}", seeds.join(" ")), Duration::from_secs(3));
}

/// Whether a node says that it is a voter, whoever else says so.
pub(super) fn votes(deployment: &Deployment, slot: usize, id: u64) -> bool {
    let table = deployment.table(slot).unwrap_or_default();
    table.iter().any(|member| member.id == id && member.voter)
}

/// A node is down while the others give up the log that it lacks, so a snapshot brings it back.
pub(super) struct Snapshot {
    slot: usize,
    had: u64,
}

impl Snapshot {
    pub(super) fn of(slot: usize) -> Self {
        Self { slot, had: 0 }
    }

    /// Has the others make snapshots; whether all have given up what the node lacks.
    fn purge(&self, deployment: &mut Deployment) -> bool {
        let others = deployment.members().into_iter().filter(|slot| *slot != self.slot);
        let others: Vec<usize> = others.collect();
        others.iter().all(|other| {
            let is_done = deployment.status(*other).is_some_and(|status| status.purged > self.had);
            if !is_done {
                // It is looked again.
                let _ = deployment.ask(*other, "RAFT.SNAPSHOT CREATE");
            }
            is_done
        })
    }
}

impl Fault for Snapshot {
    fn begin(&mut self, deployment: &mut Deployment) -> Result<()> {
        let status = deployment.status(self.slot);
        let status = status.ok_or_else(|| Failure::NoFault("the node does not say how it is".to_owned()))?;
        self.had = status.last_log;
        deployment.sidecar(self.slot)?.kill().map(|_| ())
    }

    fn end(&mut self, deployment: &mut Deployment) -> Result<String> {
        deployment.until("the log to be given up", |deployment| self.purge(deployment))?;
        deployment.launch(self.slot)?;
        let (slot, had) = (self.slot, self.had);
        deployment.until("a node to be brought back by a snapshot", |deployment| {
            let status = deployment.status(slot);
            status.is_some_and(|status| status.snapshot > had && status.role != Role::Candidate)
        })?;
        let snapshot = deployment.status(slot).map_or(0, |status| status.snapshot);
        Ok(format!("slot {} had the log up to {had}, and was brought back at {snapshot}", slot + 1))
    }

    fn ends_last(&self) -> bool {
        true
    }
}

/// Has a new node take the place of one that is dead.
pub(super) fn replace(deployment: &mut Deployment, dead: usize) -> Result<u64> {
    let (new, id, old) = (deployment.spare()?, deployment.new_id(), deployment.id(dead));
    deployment.settle(new, id);
    deployment.launch(new)?;
    let words = format!("RAFT.NODE REPLACE {old} {id} {}", deployment.slots[new].raft_address());
    let mut asking: Option<std::thread::JoinHandle<std::result::Result<Frame, String>>> = None;
    let mut said = String::new();
    let replaced = deployment.until("a new node in the place of a dead one", |deployment| {
        let Some(leader) = deployment.leader() else { return false };
        let table = deployment.table(leader).unwrap_or_default();
        let is = |id: u64, votes: bool| table.iter().any(|member| member.id == id && member.voter >= votes);
        if is(id, true) && !is(old, false) {
            return true;
        }
        if is(id, false) {
            join(deployment, new);
        }
        if asking.as_ref().is_none_or(std::thread::JoinHandle::is_finished) {
            if let Some(Ok(Err(error))) = asking.take().map(std::thread::JoinHandle::join) {
                said = error;
            }
            let (address, words) = (deployment.slots[leader].address(), words.clone());
            // It answers when the one votes and the other is gone, which needs the joining meanwhile.
            asking = Some(std::thread::spawn(move || ask(address, &words, PATIENCE)));
        }
        false
    });
    replaced.map_err(|error| Failure::Broken(format!("{error}; {words}: {said}")))?;
    deployment.clear(dead)?;
    Ok(id)
}
