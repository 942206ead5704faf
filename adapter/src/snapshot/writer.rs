//! Writing a snapshot stream.

use std::io::{Cursor, Read, Write};

use super::block::BlockWriter;
use super::reader::read_header;
use super::{
    ContentSink, Digest, DigestBuilder, END, Header, KeyHead, MAGIC, MAX_HEADER, MAX_ITEM, PIECE, Version,
};
use crate::error::StorageError;
use crate::keyspace::Kind;

/// Writes a snapshot stream: the header at once, then the keys given to it as a [`ContentSink`], then, with
/// [`SnapshotWriter::finish`], the trailer. A stream that is not finished is refused by every reader.
pub struct SnapshotWriter<W> {
    version: Version,
    blocks: BlockWriter<W>,
    digest: DigestBuilder,
    keys: u64,
    items: u64,
    open: Option<Kind>,
}

impl<W: Write> SnapshotWriter<W> {
    /// Starts a stream.
    pub fn new(mut out: W, header: &Header) -> Result<Self, StorageError> {
        out.write_all(&encode_header(header)?).map_err(StorageError::engine("write a snapshot"))?;
        let blocks = BlockWriter::new(out)?;
        let (version, digest) = (header.version, DigestBuilder::default());
        Ok(Self { version, blocks, digest, keys: 0, items: 0, open: None })
    }

    /// Writes the trailer; answers the writer, flushed, and the digest of the content.
    pub fn finish(mut self) -> Result<(W, Digest), StorageError> {
        if self.open.is_some() {
            return Err(misuse());
        }
        let digest = self.digest.digest();
        self.blocks.put(&[END])?;
        self.blocks.put(&self.keys.to_le_bytes())?;
        self.blocks.put(&self.items.to_le_bytes())?;
        self.blocks.put(&digest.0.to_le_bytes())?;
        Ok((self.blocks.finish()?, digest))
    }

    /// Writes a byte string with its length in front.
    fn bytes(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        if bytes.len() > MAX_ITEM {
            return Err(StorageError::Corrupt(format!("an item of {} bytes", bytes.len())));
        }
        self.blocks.put(&(bytes.len() as u32).to_le_bytes())?;
        self.blocks.put(bytes)
    }

    /// Starts an item of a collection of this type.
    fn item(&mut self, kind: Kind) -> Result<(), StorageError> {
        if self.open != Some(kind) {
            return Err(misuse());
        }
        self.items += 1;
        self.blocks.put(&[1])
    }
}

impl<W: Write> ContentSink for SnapshotWriter<W> {
    fn begin_key(&mut self, head: &KeyHead, key: &[u8]) -> Result<(), StorageError> {
        let KeyHead { kind, deadline, revision } = *head;
        if self.open.replace(kind).is_some() || (revision > 0 && self.version < Version::WithRevisions) {
            return Err(misuse());
        }
        self.keys += 1;
        self.blocks.put(&[kind.code(), u8::from(deadline.is_some())])?;
        self.blocks.put(&deadline.unwrap_or_default().to_le_bytes())?;
        if self.version >= Version::WithRevisions {
            self.blocks.put(&revision.to_le_bytes())?;
        }
        self.bytes(key)?;
        self.digest.begin_key(head, key)
    }

    fn string_chunk(&mut self, piece: &[u8]) -> Result<(), StorageError> {
        if self.open != Some(Kind::String) {
            return Err(misuse());
        }
        for piece in piece.chunks(PIECE) {
            self.bytes(piece)?;
        }
        self.digest.string_chunk(piece)
    }

    fn element(&mut self, element: &[u8]) -> Result<(), StorageError> {
        self.item(Kind::List)?;
        self.bytes(element)?;
        self.digest.element(element)
    }

    fn member(&mut self, member: &[u8]) -> Result<(), StorageError> {
        self.item(Kind::Set)?;
        self.bytes(member)?;
        self.digest.member(member)
    }

    fn scored(&mut self, member: &[u8], score: f64) -> Result<(), StorageError> {
        self.item(Kind::SortedSet)?;
        self.bytes(member)?;
        self.blocks.put(&score.to_bits().to_le_bytes())?;
        self.digest.scored(member, score)
    }

    fn field(&mut self, field: &[u8], value: &[u8]) -> Result<(), StorageError> {
        self.item(Kind::Hash)?;
        self.bytes(field)?;
        self.bytes(value)?;
        self.digest.field(field, value)
    }

    fn end_key(&mut self) -> Result<(), StorageError> {
        match self.open.take() {
            Some(Kind::String) => self.blocks.put(&0_u32.to_le_bytes())?,
            Some(_) => self.blocks.put(&[0])?,
            None => return Err(misuse()),
        }
        self.digest.end_key()
    }
}

/// The same stream with another header. What is behind the header is neither read here nor checked.
pub fn with_header<R: Read>(mut stream: R, header: &Header) -> Result<impl Read + use<R>, StorageError> {
    read_header(&mut stream)?;
    Ok(Cursor::new(encode_header(header)?).chain(stream))
}

fn encode_header(header: &Header) -> Result<Vec<u8>, StorageError> {
    let mark = &header.applied.position.mark;
    let mut body = Vec::new();
    body.extend_from_slice(&header.applied.position.index.to_le_bytes());
    body.extend_from_slice(&header.applied.now_ms.to_le_bytes());
    for part in [mark, &header.cluster_id] {
        body.extend_from_slice(&(part.len() as u32).to_le_bytes());
        body.extend_from_slice(part);
    }
    if body.len() > MAX_HEADER {
        return Err(StorageError::Engine {
            what: "write a snapshot",
            reason: format!("a header of {} bytes is longer than {MAX_HEADER}", body.len()),
        });
    }
    let mut out = Vec::new();
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&(header.version as u16).to_le_bytes());
    out.extend_from_slice(&(body.len() as u32).to_le_bytes());
    out.extend_from_slice(&body);
    out.extend_from_slice(&crc32c::crc32c(&out).to_le_bytes());
    Ok(out)
}

fn misuse() -> StorageError {
    StorageError::Engine { what: "write a snapshot", reason: "an item does not fit its key".to_owned() }
}
