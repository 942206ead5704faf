//! What a stream holds, in numbers, found by reading all of it.

use std::collections::BTreeMap;
use std::io::Read;

use super::{Header, Item, SnapshotReader, Trailer};
use crate::error::StorageError;
use crate::keyspace::Kind;

/// What a whole and undamaged stream holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey {
    /// What it says of itself.
    pub header: Header,
    /// The number of keys of each type that there is.
    pub keys: BTreeMap<Kind, u64>,
    /// The number of keys that have a deadline.
    pub deadlines: u64,
    /// The bytes of its records before they were packed.
    pub raw_bytes: u64,
    /// Its own counts, and the digest.
    pub trailer: Trailer,
}

/// Reads a stream to its end and checks all of it, in the memory that a [`SnapshotReader`] needs.
pub fn survey(input: impl Read) -> Result<Survey, StorageError> {
    let mut reader = SnapshotReader::new(input)?;
    let (mut keys, mut deadlines) = (BTreeMap::new(), 0);
    let trailer = loop {
        match reader.next_item()? {
            Item::Key { head, .. } => {
                *keys.entry(head.kind).or_insert(0) += 1;
                deadlines += u64::from(head.deadline.is_some());
            }
            Item::End(trailer) => break trailer,
            _ => {}
        }
    };
    Ok(Survey { header: reader.header().clone(), keys, deadlines, raw_bytes: reader.raw_bytes(), trailer })
}
