//! Members that come back without what they had: everything, their log, a part of it, or all that was written lately.
//!
//! Under its old id such a node could help to elect a leader that lacks an acknowledged write. It has to be refused, or
//! to come back in a way that harms nothing. [`Damaged`] brings it back at the worst moment: everybody is killed, and
//! it is started with none but those who lack what was written last. (One that is as it was some time ago comes back
//! while the others run and one of them leads: what it has lost, only they can know.)

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Fault;
use super::operator::replace;
use crate::harness::deployment::{Deployment, remove_contents};
use crate::harness::failure::{Failure, Result};
use crate::harness::process::run;

/// How long a node may take to say how things are.
const LOOKS: Duration = Duration::from_secs(2);

/// Ends a node and what is beside it.
fn kill(deployment: &mut Deployment, slot: usize) -> Result<()> {
    deployment.sidecar(slot)?.kill()?;
    if let Some(mut storage) = deployment.node(slot)?.storage.take() {
        storage.kill()?;
    }
    Ok(())
}

/// How a node was refused, if it was: it has ended, or it belongs to no cluster and is let into none.
fn refusal(deployment: &mut Deployment, slot: usize) -> Result<Option<String>> {
    if let Some(status) = deployment.sidecar(slot)?.ended() {
        let said = deployment.tail(slot);
        let said = said.lines().last().unwrap_or_default();
        if status.success() {
            return Err(Failure::Broken(format!(
                "a node that was to be refused ended with {status}: {said}"
            )));
        }
        return Ok(Some(format!("{status}: {said}")));
    }
    // One that has come by JOIN knows nobody who could refuse it.
    if !deployment.ask_within(slot, "GET any", LOOKS).is_err_and(|said| said.starts_with("NOCLUSTER")) {
        return Ok(None);
    }
    let seeds = deployment.members().into_iter().filter(|other| *other != slot);
    let seeds: Vec<String> = seeds.map(|other| deployment.slots[other].raft_address()).collect();
    match deployment.ask(slot, &format!("RAFT.CLUSTER JOIN {}", seeds.join(" "))) {
        Ok(answer) => Err(Failure::Broken(format!("wiped, it was let in under its old id: {answer:?}"))),
        // It is asked again when somebody leads.
        Err(_) if deployment.leader().is_none() => Ok(None),
        Err(said) => {
            kill(deployment, slot)?;
            Ok(Some(said))
        }
    }
}

/// A member's directory is gone, and it is started under its old id while the others run.
pub(super) struct Wiped {
    slot: usize,
}

impl Wiped {
    pub(super) fn of(slot: usize) -> Self {
        Self { slot }
    }
}

impl Fault for Wiped {
    fn begin(&mut self, deployment: &mut Deployment) -> Result<()> {
        kill(deployment, self.slot)?;
        remove_contents(&deployment.slots[self.slot].disk)?;
        deployment.launch(self.slot)
    }

    fn end(&mut self, deployment: &mut Deployment) -> Result<String> {
        let (slot, id) = (self.slot, deployment.id(self.slot));
        let mut refused = Ok(None);
        deployment.until("a wiped node to be refused", |deployment| {
            refused = refusal(deployment, slot);
            !matches!(refused, Ok(None))
        })?;
        let refused = refused?.unwrap_or_default();
        let new = replace(deployment, slot)?;
        Ok(format!("wiped node {id} was refused ({refused}), and node {new} took its place"))
    }

    fn ends_last(&self) -> bool {
        true
    }
}

/// What became of a member's directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Damage {
    /// It is gone.
    Removed,
    /// It is as it was some time ago.
    Older,
    /// The Raft log is gone from it.
    LogRemoved,
    /// The newest file of the Raft log has lost its last third.
    LogCut,
}

/// A member comes back with a damaged directory, and only those run who lack what was written last.
pub(super) struct Damaged {
    slot: usize,
    damage: Damage,
    /// Those who have everything, and are started last.
    whole: Vec<usize>,
    what: String,
}

impl Damaged {
    pub(super) fn of(slot: usize, damage: Damage) -> Self {
        Self { slot, damage, whole: Vec::new(), what: String::new() }
    }

    fn copy(&self, deployment: &Deployment) -> PathBuf {
        let disk = &deployment.slots[self.slot].disk;
        disk.with_file_name(format!("copy{}", self.slot + 1))
    }

    /// Keeps a copy of the directory as it is now.
    fn keep_copy(&self, deployment: &mut Deployment) -> Result<()> {
        kill(deployment, self.slot)?;
        let copy = self.copy(deployment);
        let _ = fs::remove_dir_all(&copy);
        copy_dir(&deployment.slots[self.slot].disk, &copy)?;
        deployment.launch(self.slot)?;
        let (slot, leader) = (self.slot, deployment.wait_for_leader()?);
        let applied = deployment.status(leader).map_or(0, |status| status.applied);
        deployment.until("a node to catch up", |deployment| {
            deployment.status(slot).is_some_and(|status| status.applied >= applied)
        })
    }

    fn inflict(&mut self, deployment: &Deployment) -> Result<()> {
        let disk = &deployment.slots[self.slot].disk;
        let log = disk.join("data/log");
        self.what = match self.damage {
            Damage::Removed => {
                remove_contents(disk)?;
                "the directory was removed".to_owned()
            }
            Damage::Older => {
                remove_contents(disk)?;
                copy_dir(&self.copy(deployment), disk)?;
                "an older copy of the directory was put back".to_owned()
            }
            Damage::LogRemoved => {
                fs::remove_dir_all(&log)?;
                "the log was removed".to_owned()
            }
            Damage::LogCut => {
                let newest = newest_file(&log)?;
                let length = fs::metadata(&newest)?.len();
                fs::File::options().write(true).open(&newest)?.set_len(length * 2 / 3)?;
                format!("{} was cut from {length} to {} bytes", newest.display(), length * 2 / 3)
            }
        };
        Ok(())
    }
}

impl Fault for Damaged {
    fn begin(&mut self, deployment: &mut Deployment) -> Result<()> {
        if self.damage == Damage::Older {
            // Of those who could know that it had more, some must be there: nothing in the directory itself says so.
            self.keep_copy(deployment)?;
            deployment.until_answered(100)?;
            kill(deployment, self.slot)?;
            self.inflict(deployment)?;
            // Without a leader it could help to elect one that lacks what it has acknowledged itself.
            deployment.wait_for_leader()?;
            return deployment.launch(self.slot);
        }
        let leader = deployment.wait_for_leader()?;
        let mut others = deployment.members();
        others.retain(|slot| *slot != self.slot);
        // The leader is among those who have everything: no election disturbs what comes next.
        others.sort_by_key(|slot| *slot == leader);
        let lack = others.len().div_ceil(2);
        self.whole = others.split_off(lack);
        for slot in &others {
            kill(deployment, *slot)?;
        }
        deployment.until_answered(150)?;
        for slot in self.whole.iter().chain([&self.slot]) {
            kill(deployment, *slot)?;
        }
        self.inflict(deployment)?;
        for slot in others.iter().chain([&self.slot]) {
            deployment.launch(*slot)?;
        }
        Ok(())
    }

    fn end(&mut self, deployment: &mut Deployment) -> Result<String> {
        self.whole.iter().try_for_each(|slot| deployment.launch(*slot))?;
        let (slot, what) = (self.slot, &self.what);
        let mut refused = Ok(None);
        deployment.until("a damaged node to be refused, or to catch up", |deployment| {
            refused = refusal(deployment, slot);
            let newest = deployment.leader().and_then(|leader| deployment.status(leader));
            let own = deployment.status(slot);
            let has_caught_up =
                newest.zip(own).is_some_and(|(newest, own)| own.applied + 50 >= newest.applied);
            !matches!(refused, Ok(None)) || has_caught_up
        })?;
        let Some(refused) = refused? else { return Ok(format!("{what}; it came back and caught up")) };
        let new = replace(deployment, slot)?;
        Ok(format!("{what}; it was refused ({refused}), and node {new} took its place"))
    }

    fn ends_last(&self) -> bool {
        true
    }
}

fn copy_dir(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    let from = format!("{}/.", from.display());
    run("cp", &["-a", &from, &to.to_string_lossy()]).map(|_| ()).map_err(Failure::Machine)
}

/// The file of a log that was written last: RocksDB's numbers grow.
fn newest_file(log: &Path) -> Result<PathBuf> {
    let files = fs::read_dir(log)?.flatten().map(|entry| entry.path());
    let newest = files.filter(|path| path.extension().is_some_and(|ext| ext == "log")).max();
    newest.ok_or_else(|| Failure::Machine(format!("{} has no file to cut", log.display())))
}
