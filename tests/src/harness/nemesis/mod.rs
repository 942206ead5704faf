//! The faults. Each begins, is looked at while it lasts, ends, and says what shows that it happened.
//!
//! | module | kinds |
//! |---|---|
//! | [`process`] | killed, stopped |
//! | [`network`] | links that lose packets, or are slow |
//! | [`clock`] | wall clocks that jump |
//! | [`disk`] | full disks |
//! | [`operator`] | leadership, members and snapshots, as an operator asks for |
//! | [`storage`] | the Kiwi beside a node |
//! | [`data`] | directories and logs that are lost, cut or old |

mod clock;
mod data;
mod disk;
mod network;
mod operator;
mod process;
mod storage;

use super::deployment::Deployment;
use super::failure::{Failure, Result};
use super::plan::{Kind, Planned, Target};

/// A fault that strikes somebody.
pub trait Fault {
    /// Has it begin.
    fn begin(&mut self, deployment: &mut Deployment) -> Result<()>;

    /// Looks whether it is there, before any ends.
    fn look(&mut self, _deployment: &mut Deployment) -> Result<()> {
        Ok(())
    }

    /// Has it end; what shows that it happened. If nothing does, that is an error.
    fn end(&mut self, deployment: &mut Deployment) -> Result<String>;

    /// Whether its end needs a cluster without faults.
    fn ends_last(&self) -> bool {
        false
    }

    /// The slot of a node whose process may end by itself because of it, and is started again then.
    fn may_end(&self) -> Option<usize> {
        None
    }
}

/// The fault that a plan means, now that it shows who leads. Whoever is struck already is spared.
pub fn of(planned: &Planned, deployment: &mut Deployment, struck: &mut Vec<usize>) -> Result<Box<dyn Fault>> {
    let leader = deployment.wait_for_leader()?;
    let slot = choose(planned.target, leader, &deployment.members(), struck)?;
    struck.push(slot);
    let others: Vec<usize> = deployment.members().into_iter().filter(|other| *other != slot).collect();
    let lot = planned.lot;
    Ok(match planned.kind {
        Kind::Kill => Box::new(process::Kill::of(vec![slot])),
        Kind::KillAll => Box::new(process::Kill::of(deployment.members())),
        Kind::Pause => Box::new(process::Pause::of(slot)),
        Kind::Isolate => Box::new(network::Cut::isolating(slot, &others)),
        Kind::OneWay => Box::new(network::Cut::one_way(slot, &others, lot)),
        Kind::CutLink => Box::new(network::Cut::between(slot, others[lot as usize % others.len()])),
        Kind::Slow => Box::new(network::Slow::of(slot, others, lot)),
        Kind::Clock => Box::new(clock::Jump::of(slot, lot)),
        Kind::FullDisk => Box::new(disk::Full::of(slot)),
        Kind::Transfer => Box::new(operator::Transfer::to(slot)),
        Kind::Membership => Box::new(operator::Replace::of(slot)),
        Kind::Snapshot => Box::new(operator::Snapshot::of(slot)),
        Kind::KillStorage => Box::new(storage::Kill::of(slot)),
        Kind::Wipe => Box::new(data::Wiped::of(slot)),
        Kind::WipeAmidRestart => Box::new(data::Damaged::of(slot, data::Damage::Removed)),
        Kind::RollBack => Box::new(data::Damaged::of(slot, data::Damage::Older)),
        Kind::LoseLog => Box::new(data::Damaged::of(slot, data::Damage::LogRemoved)),
        Kind::CutLog => Box::new(data::Damaged::of(slot, data::Damage::LogCut)),
    })
}

fn choose(target: Target, leader: usize, members: &[usize], struck: &[usize]) -> Result<usize> {
    let followers: Vec<usize> = members.iter().copied().filter(|slot| *slot != leader).collect();
    let first = match target {
        Target::Leader => Some(leader),
        Target::Follower(which) => followers.get(which % followers.len().max(1)).copied(),
    };
    let is_free = |slot: &usize| !struck.contains(slot);
    let found = first.filter(is_free).or_else(|| members.iter().copied().find(is_free));
    found.ok_or_else(|| Failure::Machine("nobody is left to be struck".to_owned()))
}
