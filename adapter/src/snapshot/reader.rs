//! Reading a snapshot stream.

use std::io::Read;

use bytes::{Buf, Bytes};

use super::block::{BlockReader, read_exact};
use super::{
    ContentSink, Digest, DigestBuilder, END, Header, KeyHead, MAGIC, MAX_HEADER, MAX_ITEM, PIECE, PREFIX,
    Trailer, Version, malformed,
};
use crate::error::StorageError;
use crate::keyspace::Kind;
use crate::position::{Applied, Position};

/// What a stream holds, one after the other. The same calls as those of [`ContentSink`], as values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Item<'a> {
    /// A key starts.
    Key {
        /// What is said of it.
        head: KeyHead,
        /// The key.
        key: &'a [u8],
    },
    /// The next piece of a string.
    Chunk(&'a [u8]),
    /// The next element of a list.
    Element(&'a [u8]),
    /// A member of a set.
    Member(&'a [u8]),
    /// A member of a sorted set, with its score, which is a number.
    Scored(&'a [u8], f64),
    /// A field of a hash, with its value.
    Field(&'a [u8], &'a [u8]),
    /// The key ends.
    EndKey,
    /// The stream ends. Only now is it known to be whole and undamaged.
    End(Trailer),
}

/// The key that is being read.
#[derive(Clone, Copy)]
struct Open {
    kind: Kind,
    items: u64,
}

/// Reads a snapshot stream and checks it. Whatever is wrong with the stream is a
/// [`StorageError::Malformed`]; a failure of the input below it is a [`StorageError::Engine`].
pub struct SnapshotReader<R> {
    blocks: BlockReader<R>,
    header: Header,
    digest: DigestBuilder,
    keys: u64,
    items: u64,
    open: Option<Open>,
    first: Vec<u8>,
    second: Vec<u8>,
}

impl<R: Read> SnapshotReader<R> {
    /// Reads the header.
    pub fn new(mut input: R) -> Result<Self, StorageError> {
        let header = read_header(&mut input)?;
        Ok(Self {
            blocks: BlockReader::new(input)?,
            header,
            digest: DigestBuilder::default(),
            keys: 0,
            items: 0,
            open: None,
            first: Vec::new(),
            second: Vec::new(),
        })
    }

    /// What the stream says of itself.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// How many bytes of records were unpacked so far.
    pub fn raw_bytes(&self) -> u64 {
        self.blocks.raw_bytes()
    }

    /// The next item. Not to be called again after [`Item::End`] or an error.
    pub fn next_item(&mut self) -> Result<Item<'_>, StorageError> {
        match self.open {
            None => self.read_key_or_end(),
            Some(Open { kind: Kind::String, .. }) => self.read_chunk(),
            Some(open) => self.read_item(open),
        }
    }

    fn read_key_or_end(&mut self) -> Result<Item<'_>, StorageError> {
        let [tag] = self.blocks.array()?;
        if tag == END {
            return Ok(Item::End(self.read_trailer()?));
        }
        let kind = Kind::from_code(tag).ok_or_else(|| malformed(format!("unknown type {tag}")))?;
        let deadline = match (self.blocks.array()?, u64::from_le_bytes(self.blocks.array()?)) {
            ([0], 0) => None,
            ([1], deadline) => Some(deadline),
            _ => return Err(malformed("a deadline of an unknown form")),
        };
        let revision = match self.header.version {
            Version::First => 0,
            Version::WithRevisions => u64::from_le_bytes(self.blocks.array()?),
        };
        let head = KeyHead { kind, deadline, revision };
        take_bytes(&mut self.blocks, MAX_ITEM, &mut self.first)?;
        self.keys += 1;
        self.open = Some(Open { kind, items: 0 });
        self.digest.begin_key(&head, &self.first)?;
        Ok(Item::Key { head, key: &self.first })
    }

    fn read_chunk(&mut self) -> Result<Item<'_>, StorageError> {
        take_bytes(&mut self.blocks, PIECE, &mut self.first)?;
        if self.first.is_empty() {
            return self.end_key();
        }
        self.digest.string_chunk(&self.first)?;
        Ok(Item::Chunk(&self.first))
    }

    fn read_item(&mut self, open: Open) -> Result<Item<'_>, StorageError> {
        match self.blocks.array()? {
            [1] => {}
            [0] if open.items > 0 => return self.end_key(),
            [0] => return Err(malformed("an empty collection")),
            [mark] => return Err(malformed(format!("unknown item {mark}"))),
        }
        self.items += 1;
        self.open = Some(Open { items: open.items + 1, ..open });
        take_bytes(&mut self.blocks, MAX_ITEM, &mut self.first)?;
        match open.kind {
            Kind::List => {
                self.digest.element(&self.first)?;
                Ok(Item::Element(&self.first))
            }
            Kind::Set => {
                self.digest.member(&self.first)?;
                Ok(Item::Member(&self.first))
            }
            Kind::SortedSet => {
                let score = f64::from_bits(u64::from_le_bytes(self.blocks.array()?));
                if score.is_nan() {
                    return Err(malformed("a score that is not a number"));
                }
                self.digest.scored(&self.first, score)?;
                Ok(Item::Scored(&self.first, score))
            }
            Kind::Hash => {
                take_bytes(&mut self.blocks, MAX_ITEM, &mut self.second)?;
                self.digest.field(&self.first, &self.second)?;
                Ok(Item::Field(&self.first, &self.second))
            }
            Kind::String => Err(malformed("an item of a string")),
        }
    }

    fn end_key(&mut self) -> Result<Item<'_>, StorageError> {
        self.open = None;
        self.digest.end_key()?;
        Ok(Item::EndKey)
    }

    fn read_trailer(&mut self) -> Result<Trailer, StorageError> {
        let said = Trailer {
            keys: u64::from_le_bytes(self.blocks.array()?),
            items: u64::from_le_bytes(self.blocks.array()?),
            digest: Digest(u128::from_le_bytes(self.blocks.array()?)),
        };
        let found = Trailer { keys: self.keys, items: self.items, digest: self.digest.digest() };
        if said != found {
            return Err(malformed(format!("the trailer says {said:?}, the data is {found:?}")));
        }
        self.blocks.finish()?;
        Ok(found)
    }
}

/// Reads a byte string with its length in front.
fn take_bytes(
    blocks: &mut BlockReader<impl Read>,
    most: usize,
    into: &mut Vec<u8>,
) -> Result<(), StorageError> {
    let length = u32::from_le_bytes(blocks.array()?) as usize;
    if length > most {
        return Err(malformed(format!("an item of {length} bytes, where {most} are the most")));
    }
    blocks.take(length, into)
}

/// Reads what a stream says of itself, and leaves the rest unread.
pub fn read_header(input: &mut impl Read) -> Result<Header, StorageError> {
    let mut whole = vec![0; PREFIX];
    read_exact(input, &mut whole)?;
    let mut rest = whole.strip_prefix(MAGIC).ok_or_else(|| malformed("not a snapshot: no magic number"))?;
    let number = rest.get_u16_le();
    let newest = Version::NEWEST as u16;
    let version = Version::of(number).ok_or_else(|| {
        malformed(format!("version {number} is unknown; this program reads versions up to {newest}"))
    })?;
    let length = rest.get_u32_le() as usize;
    if length > MAX_HEADER {
        return Err(malformed(format!("a header of {length} bytes")));
    }
    whole.resize(PREFIX + length, 0);
    read_exact(input, &mut whole[PREFIX..])?;
    let mut crc = [0; 4];
    read_exact(input, &mut crc)?;
    if crc32c::crc32c(&whole) != u32::from_le_bytes(crc) {
        return Err(malformed("the checksum of the header does not match"));
    }
    parse_header(version, Bytes::from(whole).slice(PREFIX..))
        .ok_or_else(|| malformed("a header of an unknown form"))
}

fn parse_header(version: Version, mut rest: Bytes) -> Option<Header> {
    let index = rest.try_get_u64_le().ok()?;
    let now_ms = rest.try_get_u64_le().ok()?;
    let mut part = || {
        let length = rest.try_get_u32_le().ok()? as usize;
        (length <= rest.len()).then(|| rest.split_to(length))
    };
    let (mark, cluster_id) = (part()?, part()?);
    let applied = Applied { position: Position { index, mark }, now_ms };
    rest.is_empty().then_some(Header { version, cluster_id, applied })
}
