//! The file that the data comes back from. It is written without fsync, as a Kiwi writes: it survives the process,
//! and of a power cut only what is before the last mark.
//!
//! ```text
//! file := (length u32 little-endian | batch) *        a length of 0 is a mark
//! ```

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use adapter::Batch;
use bytes::{Buf, Bytes};
use rand::seq::IndexedRandom;

const NAME: &str = "journal";

/// An open file.
pub(crate) struct Journal {
    file: File,
    /// Its length.
    end: u64,
    /// Its length up to the last mark, which is included.
    marked: u64,
    /// Where the parts end of the command right behind that mark, if it has several.
    parts: Vec<u64>,
}

impl Journal {
    /// Opens the journal in a directory, both made if missing, and hands out what it holds. What a killed process
    /// did not write whole is cut off.
    pub(crate) fn open(dir: &Path, mut each: impl FnMut(Batch) -> io::Result<()>) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let path = dir.join(NAME);
        let mut file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut content = Vec::new();
        file.read_to_end(&mut content)?;
        let mut rest = Bytes::from(content);
        let (mut end, mut marked) = (0, 0);
        while let Ok(length) = rest.try_get_u32_le() {
            let length = length as usize;
            if rest.len() < length {
                break;
            }
            end += 4 + length as u64;
            if length == 0 {
                marked = end;
                continue;
            }
            let batch = Batch::decode(rest.split_to(length));
            each(batch.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?)?;
        }
        let mut journal = Self { file, end, marked, parts: Vec::new() };
        journal.cut(end)?;
        Ok(journal)
    }

    /// Adds the parts of a command.
    pub(crate) fn append(&mut self, parts: impl Iterator<Item = Batch>) -> io::Result<()> {
        let is_first = self.end == self.marked;
        for part in parts {
            self.append_part(&part)?;
            if is_first {
                self.parts.push(self.end);
            }
        }
        Ok(())
    }

    fn append_part(&mut self, batch: &Batch) -> io::Result<()> {
        let raw = batch.raw();
        let length = u32::try_from(raw.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
        // One write, so that a killed process leaves all of it or nothing.
        let mut record = Vec::with_capacity(4 + raw.len());
        record.extend_from_slice(&length.to_le_bytes());
        record.extend_from_slice(raw);
        self.write(&record)
    }

    /// Adds a mark, unless nothing came since the last one.
    pub(crate) fn mark(&mut self) -> io::Result<()> {
        if self.end > self.marked {
            self.write(&0_u32.to_le_bytes())?;
            self.marked = self.end;
            self.parts.clear();
        }
        Ok(())
    }

    /// Cuts off everything after the last mark, and leaves some of a command right behind it that has several parts.
    pub(crate) fn cut_power(&mut self) -> io::Result<()> {
        // What is whole was answered, and is lost like everything that was.
        self.parts.pop();
        self.cut(self.parts.choose(&mut rand::rng()).copied().unwrap_or(self.marked))
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.end += bytes.len() as u64;
        Ok(())
    }

    fn cut(&mut self, at: u64) -> io::Result<()> {
        self.file.set_len(at)?;
        self.end = self.file.seek(SeekFrom::Start(at))?;
        Ok(())
    }
}
