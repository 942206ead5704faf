//! What a run leaves behind: a journal, and the histories of its last rounds.

use std::fmt::Debug;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use super::failure::Result;
use super::history::{self, Operation};
use super::workload::Histories;

/// Rounds whose histories are kept beside those of the round that failed.
const KEPT: usize = 3;

/// A directory for all that.
pub struct Record {
    dir: PathBuf,
    journal: File,
}

impl Record {
    /// Begins it in a directory, which is made.
    pub fn new(dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir)?;
        let journal = File::options().create(true).append(true).open(dir.join("journal"))?;
        Ok(Self { dir: dir.to_owned(), journal })
    }

    /// Adds a line to the journal.
    pub fn say(&mut self, line: &str) -> Result<()> {
        writeln!(self.journal, "{line}")?;
        Ok(())
    }

    /// Writes what a round's clients remember, and removes that of an older round.
    pub fn histories(&self, round: usize, histories: &Histories) -> Result<()> {
        if let Some(old) = round.checked_sub(KEPT) {
            // It is not there if the run began later.
            let _ = fs::remove_dir_all(self.of(old));
        }
        let dir = self.of(round);
        fs::create_dir_all(&dir)?;
        write(&dir, "register", &histories.register)?;
        write(&dir, "collections", &histories.collections)?;
        write(&dir, "levels", &histories.levels)?;
        write(&dir, "expiry", &histories.expiry)
    }

    fn of(&self, round: usize) -> PathBuf {
        self.dir.join(format!("round-{round:04}"))
    }
}

fn write<C: Debug, R: Debug>(dir: &Path, name: &str, history: &[Operation<C, R>]) -> Result<()> {
    let mut out = BufWriter::new(File::create(dir.join(name))?);
    history::write(history, &mut out)?;
    out.flush()?;
    Ok(())
}
