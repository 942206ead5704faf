//! Members that come back without what they had: everything, their log, a part of it, or all that was written lately.
//!
//! Under its old id such a node could help to elect a leader that lacks an acknowledged write. It has to be refused, or
//! to come back in a way that harms nothing. [`Damaged`] brings it back at the worst moment: everybody is killed, and
//! it is started with none but those who lack what was written last.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Fault;
use super::operator::replace;
use crate::harness::deployment::{Deployment, remove_contents};
use crate::harness::failure::{Failure, Result};
use crate::harness::process::run;

/// How long a node may take to find out that it must not take part.
const FINDS_OUT: Duration = Duration::from_secs(20);

/// Ends a node and what is beside it.
fn kill(deployment: &mut Deployment, slot: usize) -> Result<()> {
    deployment.sidecar(slot)?.kill()?;
    if let Some(mut storage) = deployment.node(slot)?.storage.take() {
        storage.kill()?;
    }
    Ok(())
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
        let ended = deployment.sidecar(self.slot)?.wait(FINDS_OUT);
        let id = deployment.id(self.slot);
        let Some(status) = ended.filter(|status| !status.success()) else {
            let tail = deployment.tail(self.slot);
            return Err(Failure::Broken(format!("wiped node {id} was not refused ({ended:?})\n{tail}")));
        };
        let new = replace(deployment, self.slot)?;
        Ok(format!("wiped node {id} was refused ({status}), and node {new} took its place"))
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
            self.keep_copy(deployment)?;
            deployment.until_answered(100)?;
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
        let mut refused = None;
        deployment.until("a damaged node to be refused, or to catch up", |deployment| {
            refused = deployment.sidecar(slot).ok().and_then(|process| process.ended());
            let newest = deployment.leader().and_then(|leader| deployment.status(leader));
            let own = deployment.status(slot);
            let has_caught_up =
                newest.zip(own).is_some_and(|(newest, own)| own.applied + 50 >= newest.applied);
            refused.is_some() || has_caught_up
        })?;
        match refused {
            Some(status) if status.success() => {
                Err(Failure::Broken(format!("{what}, and it ended with {status}")))
            }
            Some(status) => {
                let said = deployment.tail(slot);
                let said = said.lines().last().unwrap_or_default().to_owned();
                let new = replace(deployment, slot)?;
                Ok(format!("{what}; it was refused ({status}: {said}), and node {new} took its place"))
            }
            None => Ok(format!("{what}; it came back and caught up")),
        }
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
