//! How far the log has been, in a file of its own beside the log's directory.
//!
//! RocksDB cannot tell a log whose newest file was cut from one whose last record was being written when the machine
//! went down, nor a directory that was emptied from a new one. So behind each sync of the log it is written here up
//! to where it was synced, and with which vote. What is written here is a lower bound: it is written *behind* the
//! log, and lowered, durably, *before* a truncation. A log that ends before it, or that has an older vote, was cut or
//! is an older copy.
//!
//! Nothing waits for this file to be on disk, but a truncation: a write into the system's cache survives the process,
//! which is the common case, at the cost of a system call for each sync of the log. A power cut may take back what the
//! system had not written yet (mostly up to half a minute); then a smaller loss than that goes unnoticed here.
//!
//! ```text
//! file := slot, padded to 512 bytes | slot
//! slot := magic | version u32 | data id u128 | sequence u64 | end u64
//!         | has a vote u8 | term u64 | node u64 | committed u8 | CRC-32C of all before
//! ```
//! Little-endian. The slots are written in turns; the one with the higher sequence counts, unless it was torn.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use bytes::{Buf, BufMut};
use openraft::LeaderId;

use crate::data_id::DataId;
use crate::types::Vote;
use adapter::durable_file;

const MAGIC: &[u8; 4] = b"KREX";
const VERSION: u32 = 1;
const SLOT_BYTES: usize = 512;
/// A slot without its padding and its checksum.
const CONTENT_BYTES: usize = 4 + 4 + 16 + 8 + 8 + 1 + 8 + 8 + 1;

/// How far a log has been.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reach {
    /// The index behind its last entry.
    pub(super) end: u64,
    /// Its vote.
    pub(super) vote: Option<Vote>,
}

impl Reach {
    /// Whether a log that is here now has all that one had that was there.
    pub(super) fn covers(&self, other: &Self) -> bool {
        // What a node has voted only grows.
        let leader = |reach: &Self| reach.vote.map(|vote| vote.leader_id);
        let has_vote = leader(self) >= leader(other);
        self.end >= other.end && has_vote
    }
}

/// What a file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) data: DataId,
    pub(super) reach: Reach,
    sequence: u64,
}

/// Why there is nothing to be had from a file.
#[derive(Debug)]
pub(super) enum ReadError {
    Io(io::Error),
    Damaged,
    Version(u32),
}

/// The file, open.
#[derive(Debug)]
pub(super) struct Extent {
    file: File,
    data: DataId,
    sequence: u64,
    reach: Reach,
}

impl Extent {
    /// What the file says; none if there is none.
    pub(super) fn read(path: &Path) -> Result<Option<Found>, ReadError> {
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(ReadError::Io(error)),
        };
        let slots: Vec<_> = bytes.chunks(SLOT_BYTES).take(2).map(decode).collect();
        let newest = slots.iter().flatten().max_by_key(|found| found.sequence);
        match newest {
            Some(found) => Ok(Some(*found)),
            None => Err(slots.into_iter().find_map(Result::err).unwrap_or(ReadError::Damaged)),
        }
    }

    /// Makes the file anew, durably.
    pub(super) fn create(path: &Path, data: DataId, reach: Reach) -> io::Result<Self> {
        let mut bytes = encode(&Found { data, reach, sequence: 1 }).to_vec();
        // The second slot is damaged until it is written for the first time.
        bytes.resize(2 * SLOT_BYTES, 0);
        durable_file::write(path, &bytes)?;
        Self::open(path, Found { data, reach, sequence: 1 })
    }

    /// Goes on with a file that says this.
    pub(super) fn open(path: &Path, Found { data, reach, sequence }: Found) -> io::Result<Self> {
        let file = File::options().write(true).open(path)?;
        Ok(Self { file, data, sequence, reach })
    }

    /// What the file says.
    pub(super) fn reach(&self) -> Reach {
        self.reach
    }

    /// Has the file say this. It is in the system's hands when this returns.
    pub(super) fn set(&mut self, reach: Reach) -> io::Result<()> {
        if reach == self.reach {
            return Ok(());
        }
        let sequence = self.sequence + 1;
        let slot = encode(&Found { data: self.data, reach, sequence });
        let at = if sequence.is_multiple_of(2) { SLOT_BYTES as u64 } else { 0 };
        self.file.write_all_at(&slot, at)?;
        (self.sequence, self.reach) = (sequence, reach);
        Ok(())
    }

    /// Puts what it says on disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// Where the file is, in a data directory.
pub(super) fn path(data_dir: &Path) -> PathBuf {
    data_dir.join(crate::identity::EXTENT_FILE)
}

fn encode(found: &Found) -> [u8; CONTENT_BYTES + 4] {
    let mut bytes = [0; CONTENT_BYTES + 4];
    let Reach { end, vote } = found.reach;
    let (term, node, committed) =
        vote.map_or((0, 0, false), |vote| (vote.leader_id.term, vote.leader_id.node_id, vote.committed));
    let mut out = &mut bytes[..];
    out.put_slice(MAGIC);
    out.put_u32_le(VERSION);
    out.put_u128_le(found.data.0);
    out.put_u64_le(found.sequence);
    out.put_u64_le(end);
    out.put_u8(u8::from(vote.is_some()));
    out.put_u64_le(term);
    out.put_u64_le(node);
    out.put_u8(u8::from(committed));
    let crc = crc32c::crc32c(&bytes[..CONTENT_BYTES]);
    bytes[CONTENT_BYTES..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

fn decode(slot: &[u8]) -> Result<Found, ReadError> {
    let (content, rest) = slot.split_at_checked(CONTENT_BYTES).ok_or(ReadError::Damaged)?;
    let mut fields = content.strip_prefix(MAGIC.as_slice()).ok_or(ReadError::Damaged)?;
    let version = fields.get_u32_le();
    if version > VERSION {
        return Err(ReadError::Version(version));
    }
    if rest.first_chunk() != Some(&crc32c::crc32c(content).to_le_bytes()) {
        return Err(ReadError::Damaged);
    }
    let (data, sequence, end) = (DataId(fields.get_u128_le()), fields.get_u64_le(), fields.get_u64_le());
    let (has_vote, term, node, committed) =
        (fields.get_u8() == 1, fields.get_u64_le(), fields.get_u64_le(), fields.get_u8() == 1);
    let vote = has_vote.then(|| Vote { leader_id: LeaderId::new(term, node), committed });
    Ok(Found { data, reach: Reach { end, vote }, sequence })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn reach(end: u64) -> Reach {
        Reach { end, vote: Some(Vote::new_committed(7, 2)) }
    }

    #[test]
    fn what_was_set_last_is_read_and_a_torn_slot_gives_way_to_the_one_before() {
        let directory = tempfile::tempdir().unwrap();
        let path = path(directory.path());
        assert!(Extent::read(&path).unwrap().is_none());
        let mut extent = Extent::create(&path, DataId(5), Reach::default()).unwrap();
        for end in 1..=6 {
            extent.set(reach(end)).unwrap();
            let found = Extent::read(&path).unwrap().unwrap();
            assert_eq!((found.data, found.reach), (DataId(5), reach(end)));
        }
        let mut bytes = std::fs::read(&path).unwrap();
        // The seventh write is in the first slot.
        bytes[30] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(Extent::read(&path).unwrap().unwrap().reach, reach(5));
        bytes[SLOT_BYTES + 30] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        assert!(matches!(Extent::read(&path), Err(ReadError::Damaged)));
        std::fs::write(&path, b"").unwrap();
        assert!(matches!(Extent::read(&path), Err(ReadError::Damaged)));
    }

    #[test]
    fn a_file_of_version_1_is_read() {
        // Byte by byte: data id 5, sequence 3, end 9, vote 7 of node 2, committed.
        let mut slot = b"KREX\x01\0\0\0".to_vec();
        slot.extend([[5].as_slice(), &[0; 15], &[3], &[0; 7], &[9], &[0; 7], &[1, 7], &[0; 7]].concat());
        slot.extend([[2].as_slice(), &[0; 7], &[1]].concat());
        slot.extend(crc32c::crc32c(&slot).to_le_bytes());
        let found = decode(&slot).unwrap();
        assert_eq!(found, Found { data: DataId(5), reach: reach(9), sequence: 3 });
        assert_eq!(encode(&found).as_slice(), slot);
        slot[4] = 2;
        assert!(matches!(decode(&slot), Err(ReadError::Version(2))));
    }

    #[test]
    fn a_log_covers_what_it_was_if_neither_end_nor_vote_is_less() {
        let vote = |term| Some(Vote::new(term, 1));
        let was = Reach { end: 10, vote: vote(3) };
        assert!(Reach { end: 10, vote: vote(3) }.covers(&was));
        assert!(Reach { end: 12, vote: vote(4) }.covers(&was));
        assert!(!Reach { end: 9, vote: vote(4) }.covers(&was));
        assert!(!Reach { end: 10, vote: vote(2) }.covers(&was));
        assert!(!Reach { end: 10, vote: None }.covers(&was));
        assert!(Reach { end: 10, vote: None }.covers(&Reach { end: 10, vote: None }));
    }
}
