//! The engine-neutral snapshot stream, which is also the backup file, and the content digest.
//!
//! ```text
//! stream  := magic "KIWISNAP" | version u16 | length u32 | header | crc u32      (crc: of all before it)
//! header  := index u64 | now_ms u64 | length u32 | mark | length u32 | cluster id
//! blocks  := (raw length u32 | packed length u32 | crc u32 | packed)*, then one with both lengths 0, then the end
//! records := key* | 0xff | keys u64 | items u64 | digest u128                        (cut anywhere into blocks)
//! key     := type u8 | 0 or 1 u8 | deadline u64 | revision u64 | length u32 | key | items   (1: without the revision)
//! items   := string: (length u32 | bytes)*, then the length 0
//!            others: (1 u8 | item)*, then 0 u8
//! item    := list: element   set: member   sorted set: member, score u64 (IEEE 754 bits)   hash: field, value
//!            (each byte string with its length u32 in front)
//! ```
//! All numbers are little-endian; CRCs are CRC-32C (Castagnoli). A block holds at most 1 MiB, packed with zstd; its CRC
//! covers its number in the sequence, both lengths and the packed bytes, so blocks cannot be lost or change places
//! unseen. Keys come in any order, each once.
//!
//! [`SnapshotWriter`] and [`SnapshotReader`] hold one block, and the reader one item besides: a string passes in
//! pieces, a collection item by item. [`walk`], [`load_into`] and [`digest_keyspace`] connect them with any
//! [`Keyspace`](crate::Keyspace).

mod block;
mod digest;
mod reader;
mod survey;
mod transfer;
mod writer;

#[cfg(test)]
mod tests;

use bytes::Bytes;

pub use digest::DigestBuilder;
pub use reader::{Item, SnapshotReader, read_header};
pub use survey::{Survey, survey};
pub use transfer::{digest_keyspace, load_into, walk};
pub use writer::{SnapshotWriter, with_header};

pub use crate::position::Digest;

use crate::error::StorageError;
use crate::keyspace::Kind;
use crate::position::Applied;

/// What a stream says of itself before its data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// The version of the stream's form.
    pub version: Version,
    /// The id of the cluster that the data comes from; opaque here, empty if it comes from none.
    pub cluster_id: Bytes,
    /// The position and the time of the data.
    pub applied: Applied,
}

/// A version of the form above.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// Keys have no revision.
    #[default]
    First = 1,
    /// Every key has its revision.
    WithRevisions = 2,
}

impl Version {
    /// The newest, which can hold whatever there is.
    pub const NEWEST: Self = Self::WithRevisions;

    fn of(number: u16) -> Option<Self> {
        [Self::First, Self::WithRevisions].into_iter().find(|version| *version as u16 == number)
    }
}

/// What whoever has a stream written knows of it, beside its data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The version of the stream's form: the first where no key has a revision.
    pub version: Version,
    /// The id of the cluster that the data comes from; opaque here, empty if it comes from none.
    pub cluster_id: Bytes,
}

impl Origin {
    /// Of no cluster, in the newest form.
    pub fn anywhere() -> Self {
        Self { version: Version::NEWEST, cluster_id: Bytes::new() }
    }

    /// The header of a stream of what is applied.
    pub fn header(self, applied: Applied) -> Header {
        Header { version: self.version, cluster_id: self.cluster_id, applied }
    }
}

/// What a stream says of its data at its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trailer {
    /// The number of keys.
    pub keys: u64,
    /// The number of elements, members and fields of all keys; a string counts none.
    pub items: u64,
    /// The digest of the content.
    pub digest: Digest,
}

/// What is said of a key before its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyHead {
    /// The type of its value.
    pub kind: Kind,
    /// When it expires, Unix milliseconds.
    pub deadline: Option<u64>,
    /// The entry of the log that changed it last; 0 if that was before revisions were kept.
    pub revision: u64,
}

/// What takes the content of a keyspace, key by key: a stream, a digest.
///
/// Per key: `begin_key`, then the calls that fit its type, then `end_key`. Elements of a list and pieces of a
/// string come in order; fields and members in any order, each once.
pub trait ContentSink {
    /// Starts a key.
    fn begin_key(&mut self, head: &KeyHead, key: &[u8]) -> Result<(), StorageError>;
    /// The next piece of a string.
    fn string_chunk(&mut self, piece: &[u8]) -> Result<(), StorageError>;
    /// The next element of a list.
    fn element(&mut self, element: &[u8]) -> Result<(), StorageError>;
    /// A member of a set.
    fn member(&mut self, member: &[u8]) -> Result<(), StorageError>;
    /// A member of a sorted set.
    fn scored(&mut self, member: &[u8], score: f64) -> Result<(), StorageError>;
    /// A field of a hash.
    fn field(&mut self, field: &[u8], value: &[u8]) -> Result<(), StorageError>;
    /// Ends a key.
    fn end_key(&mut self) -> Result<(), StorageError>;
}

const MAGIC: &[u8; 8] = b"KIWISNAP";
/// Bytes in front of the header: magic, version, length.
const PREFIX: usize = MAGIC.len() + 2 + 4;
/// The longest header that is believed, bytes.
const MAX_HEADER: usize = 1 << 20;
/// The longest piece of a string in one item, bytes.
const PIECE: usize = 256 << 10;
/// The longest key, field, member or element, bytes.
const MAX_ITEM: usize = crate::command::arg::MAX_STRING as usize;
/// Stands where a key's type would: the trailer follows.
const END: u8 = 0xff;

fn malformed(reason: impl Into<String>) -> StorageError {
    StorageError::Malformed { what: "snapshot", reason: reason.into() }
}
