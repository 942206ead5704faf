//! Blocks: the stream of records cut into pieces of bounded size, each packed and checked by itself.

use std::io::{ErrorKind, Read, Write};

use zstd::bulk::{Compressor, Decompressor};

use super::malformed;
use crate::error::StorageError;

/// The most that a block holds before it is packed, bytes.
const BLOCK: usize = 1 << 20;
/// The most that a packed block takes, bytes: zstd adds less than a 256th and a few bytes to what it cannot pack.
const MAX_PACKED: usize = BLOCK + BLOCK / 128;
/// Bytes in front of a packed block.
const FRAME: usize = 12;
/// Fast, and still a third of typical data.
const LEVEL: i32 = 1;

fn crc(sequence: u64, lengths: &[u8], packed: &[u8]) -> u32 {
    let crc = crc32c::crc32c(&sequence.to_le_bytes());
    crc32c::crc32c_append(crc32c::crc32c_append(crc, lengths), packed)
}

/// Writes bytes as blocks.
pub(super) struct BlockWriter<W> {
    out: W,
    compressor: Compressor<'static>,
    raw: Vec<u8>,
    packed: Vec<u8>,
    sequence: u64,
}

impl<W: Write> BlockWriter<W> {
    pub(super) fn new(out: W) -> Result<Self, StorageError> {
        let compressor = Compressor::new(LEVEL).map_err(StorageError::engine("start the compression"))?;
        let (raw, packed) = (Vec::with_capacity(BLOCK), Vec::with_capacity(MAX_PACKED));
        Ok(Self { out, compressor, raw, packed, sequence: 0 })
    }

    pub(super) fn put(&mut self, mut bytes: &[u8]) -> Result<(), StorageError> {
        while !bytes.is_empty() {
            if self.raw.len() == BLOCK {
                self.write_block()?;
            }
            let (now, later) = bytes.split_at(bytes.len().min(BLOCK - self.raw.len()));
            self.raw.extend_from_slice(now);
            bytes = later;
        }
        Ok(())
    }

    /// Writes what is left and the end mark.
    pub(super) fn finish(mut self) -> Result<W, StorageError> {
        if !self.raw.is_empty() {
            self.write_block()?;
        }
        self.packed.clear();
        self.write_frame()?;
        self.out.flush().map_err(StorageError::engine("write a snapshot"))?;
        Ok(self.out)
    }

    fn write_block(&mut self) -> Result<(), StorageError> {
        self.packed.clear();
        self.compressor
            .compress_to_buffer(&self.raw, &mut self.packed)
            .map_err(StorageError::engine("compress a snapshot"))?;
        self.write_frame()?;
        self.raw.clear();
        Ok(())
    }

    fn write_frame(&mut self) -> Result<(), StorageError> {
        let mut frame = [0; FRAME];
        frame[..4].copy_from_slice(&(self.raw.len() as u32).to_le_bytes());
        frame[4..8].copy_from_slice(&(self.packed.len() as u32).to_le_bytes());
        let crc = crc(self.sequence, &frame[..8], &self.packed);
        frame[8..].copy_from_slice(&crc.to_le_bytes());
        self.sequence += 1;
        self.out
            .write_all(&frame)
            .and_then(|()| self.out.write_all(&self.packed))
            .map_err(StorageError::engine("write a snapshot"))
    }
}

/// Reads what a [`BlockWriter`] wrote.
pub(super) struct BlockReader<R> {
    input: R,
    decompressor: Decompressor<'static>,
    raw: Vec<u8>,
    at: usize,
    packed: Vec<u8>,
    sequence: u64,
    raw_bytes: u64,
}

impl<R: Read> BlockReader<R> {
    pub(super) fn new(input: R) -> Result<Self, StorageError> {
        let decompressor = Decompressor::new().map_err(StorageError::engine("start the decompression"))?;
        Ok(Self {
            input,
            decompressor,
            raw: Vec::with_capacity(BLOCK),
            at: 0,
            packed: Vec::with_capacity(MAX_PACKED),
            sequence: 0,
            raw_bytes: 0,
        })
    }

    /// The bytes of all blocks that were read, unpacked.
    pub(super) fn raw_bytes(&self) -> u64 {
        self.raw_bytes
    }

    /// Replaces the content of `into` by the next `length` bytes. Memory grows with what arrives, not with what
    /// a length promises.
    pub(super) fn take(&mut self, length: usize, into: &mut Vec<u8>) -> Result<(), StorageError> {
        into.clear();
        while into.len() < length {
            let piece = self.piece(length - into.len())?;
            into.extend_from_slice(piece);
        }
        Ok(())
    }

    /// The next `N` bytes.
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], StorageError> {
        let (mut array, mut filled) = ([0; N], 0);
        while filled < N {
            let piece = self.piece(N - filled)?;
            array[filled..filled + piece.len()].copy_from_slice(piece);
            filled += piece.len();
        }
        Ok(array)
    }

    /// Checks that nothing follows but the end mark and the end of the input.
    pub(super) fn finish(&mut self) -> Result<(), StorageError> {
        if self.at < self.raw.len() || self.read_block()? {
            return Err(malformed("data behind the trailer"));
        }
        let mut byte = [0];
        match read_some(&mut self.input, &mut byte)? {
            0 => Ok(()),
            _ => Err(malformed("bytes behind the end")),
        }
    }

    /// At least one byte, at most `most`.
    fn piece(&mut self, most: usize) -> Result<&[u8], StorageError> {
        if self.at == self.raw.len() && !self.read_block()? {
            return Err(malformed("ends before its trailer"));
        }
        let end = self.raw.len().min(self.at.saturating_add(most));
        let piece = &self.raw[self.at..end];
        self.at = end;
        Ok(piece)
    }

    /// Reads the next block; false if it is the end mark.
    fn read_block(&mut self) -> Result<bool, StorageError> {
        let mut frame = [0; FRAME];
        read_exact(&mut self.input, &mut frame)?;
        let number = |at: usize| u32::from_le_bytes([frame[at], frame[at + 1], frame[at + 2], frame[at + 3]]);
        let (raw, packed) = (number(0) as usize, number(4) as usize);
        if raw > BLOCK || packed > MAX_PACKED || (raw == 0) != (packed == 0) {
            return Err(malformed("a block of an impossible length"));
        }
        self.packed.resize(packed, 0);
        read_exact(&mut self.input, &mut self.packed)?;
        if crc(self.sequence, &frame[..8], &self.packed) != number(8) {
            return Err(malformed(format!("the checksum of block {} does not match", self.sequence)));
        }
        self.sequence += 1;
        self.raw.clear();
        self.at = 0;
        if raw == 0 {
            return Ok(false);
        }
        self.decompressor
            .decompress_to_buffer(&self.packed, &mut self.raw)
            .map_err(|error| malformed(format!("a block does not unpack: {error}")))?;
        self.raw_bytes += raw as u64;
        if self.raw.len() == raw { Ok(true) } else { Err(malformed("a block unpacks to another length")) }
    }
}

/// Fills `buffer`, or says that the stream is cut short.
pub(super) fn read_exact(input: &mut impl Read, buffer: &mut [u8]) -> Result<(), StorageError> {
    input.read_exact(buffer).map_err(|error| match error.kind() {
        ErrorKind::UnexpectedEof => malformed("cut short"),
        _ => StorageError::Engine { what: "read a snapshot", reason: error.to_string() },
    })
}

fn read_some(input: &mut impl Read, buffer: &mut [u8]) -> Result<usize, StorageError> {
    loop {
        match input.read(buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result.map_err(StorageError::engine("read a snapshot")),
        }
    }
}
