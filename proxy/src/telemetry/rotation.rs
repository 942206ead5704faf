//! A log file that is bounded: when it is full it is put aside, and the oldest one that was put aside goes.
//!
//! `log`, `log.1`, `log.2` …: the higher the number, the older. Whoever moves the file away by other means (logrotate)
//! has it [reopened](LogFile::reopen).

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    /// The size at which a file is put aside, bytes; zero for never.
    pub(super) max_bytes: u64,
    /// How many files there are at most, the one that is written among them.
    pub(super) max_files: u32,
}

/// The file that is written.
pub(super) struct LogFile {
    path: PathBuf,
    file: File,
    bytes: u64,
}

impl LogFile {
    /// Opens a file to append to it.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let bytes = file.metadata()?.len();
        Ok(Self { path: path.to_owned(), file, bytes })
    }

    /// Goes on in the file that has the name now.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        *self = Self::open(&self.path)?;
        Ok(())
    }

    /// Appends a line, and puts the file aside before it if it does not fit. A file that cannot be put aside is written
    /// on: rather too long than lost.
    pub(super) fn append(&mut self, line: &[u8], bounds: Bounds) -> io::Result<()> {
        let made_room = self.make_room(line.len() as u64, bounds);
        self.file.write_all(line)?;
        self.bytes += line.len() as u64;
        made_room
    }

    fn make_room(&mut self, more: u64, bounds: Bounds) -> io::Result<()> {
        if bounds.max_bytes == 0 || self.bytes == 0 || self.bytes + more <= bounds.max_bytes {
            return Ok(());
        }
        // Somebody may have cut it off meanwhile (logrotate's copytruncate).
        self.bytes = self.file.metadata()?.len();
        if self.bytes == 0 || self.bytes + more <= bounds.max_bytes {
            return Ok(());
        }
        self.put_aside(bounds.max_files)
    }

    fn put_aside(&mut self, max_files: u32) -> io::Result<()> {
        let kept = max_files.saturating_sub(1);
        // Whatever the bound was before, nothing beyond it stays.
        for number in kept.max(1).. {
            if !remove(&self.numbered(number))? {
                break;
            }
        }
        for number in (1..kept).rev() {
            rename(&self.numbered(number), &self.numbered(number + 1))?;
        }
        let rights = self.file.metadata()?.permissions();
        if kept == 0 {
            remove(&self.path)?;
        } else {
            rename(&self.path, &self.numbered(1))?;
        }
        self.reopen()?;
        // Who may read the one may read the next.
        self.file.set_permissions(rights)
    }

    fn numbered(&self, number: u32) -> PathBuf {
        let mut name = self.path.as_os_str().to_owned();
        name.push(format!(".{number}"));
        PathBuf::from(name)
    }
}

/// Answers whether there was one.
fn remove(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn rename(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        // There need not be as many yet as there may be.
        _ => Ok(()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_full_file_is_put_aside_and_the_oldest_goes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let mut log = LogFile::open(&path).unwrap();
        for number in 0..9 {
            log.append(format!("line {number}\n").as_bytes(), Bounds { max_bytes: 14, max_files: 3 })
                .unwrap();
        }
        assert_eq!(names(directory.path()), ["log", "log.1", "log.2"]);
        assert_eq!(fs::read_to_string(&path).unwrap(), "line 8\n");
        assert_eq!(fs::read_to_string(directory.path().join("log.1")).unwrap(), "line 6\nline 7\n");
        assert_eq!(fs::read_to_string(directory.path().join("log.2")).unwrap(), "line 4\nline 5\n");
        // A lower bound takes what is too much at the next change of files.
        for number in 0..3 {
            log.append(format!("more {number}\n").as_bytes(), Bounds { max_bytes: 14, max_files: 2 })
                .unwrap();
        }
        assert_eq!(names(directory.path()), ["log", "log.1"]);
    }

    #[test]
    fn with_one_file_it_begins_anew_and_without_a_bound_it_grows() {
        let directory = tempfile::tempdir().unwrap();
        let mut log = LogFile::open(&directory.path().join("log")).unwrap();
        for bounds in [Bounds { max_bytes: 10, max_files: 1 }, Bounds { max_bytes: 0, max_files: 1 }] {
            log.append(b"123456\n", bounds).unwrap();
            log.append(b"abcdef\n", bounds).unwrap();
        }
        assert_eq!(names(directory.path()), ["log"]);
        assert_eq!(fs::read_to_string(&log.path).unwrap(), "abcdef\n123456\nabcdef\n");
    }

    #[test]
    fn a_file_that_was_there_counts_and_one_that_was_cut_off_does_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        fs::write(&path, "12345678\n").unwrap();
        let bounds = Bounds { max_bytes: 12, max_files: 5 };
        let mut log = LogFile::open(&path).unwrap();
        log.append(b"abcdef\n", bounds).unwrap();
        assert_eq!(fs::read_to_string(log.numbered(1)).unwrap(), "12345678\n");
        File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
        log.append(b"ghijkl\n", bounds).unwrap();
        assert_eq!(names(directory.path()), ["log", "log.1"]);
    }

    #[test]
    fn after_a_move_it_goes_on_under_the_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let bounds = Bounds { max_bytes: 0, max_files: 5 };
        let mut log = LogFile::open(&path).unwrap();
        log.append(b"before\n", bounds).unwrap();
        fs::rename(&path, directory.path().join("moved")).unwrap();
        log.append(b"between\n", bounds).unwrap();
        log.reopen().unwrap();
        log.append(b"after\n", bounds).unwrap();
        assert_eq!(fs::read_to_string(directory.path().join("moved")).unwrap(), "before\nbetween\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "after\n");
    }
}
