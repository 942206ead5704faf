//! Commands that come in pieces, put together again; their long arguments are told of while they arrive.

use bytes::{BufMut, BytesMut};

use super::{Batch, COMMANDS, Form, HEADER, put_header};

/// Arguments of at least so many bytes are told of while they arrive.
const LONG: usize = 1 << 20;

/// The pieces of an upload that are there.
#[derive(Debug)]
pub struct Assembly {
    upload: u64,
    total: u64,
    /// Begins with room for the header.
    raw: BytesMut,
    scan: Scan,
    long: Vec<Long>,
}

impl Assembly {
    /// Begins an upload of which nothing is there.
    pub fn new(upload: u64, total: u64) -> Self {
        let room = usize::try_from(total).unwrap_or(0).saturating_add(HEADER);
        let mut raw = BytesMut::with_capacity(room);
        raw.put_bytes(0, HEADER);
        let scan = Scan { at: HEADER, arguments: 0 };
        Self { upload, total, raw, scan, long: Vec::new() }
    }

    /// What it is known by.
    pub fn upload(&self) -> u64 {
        self.upload
    }

    /// Adds a piece; false if it does not follow what is there.
    pub fn add(&mut self, offset: u64, bytes: &[u8]) -> bool {
        let there = (self.raw.len() - HEADER) as u64;
        let follows = there == offset && there + bytes.len() as u64 <= self.total;
        if follows {
            self.raw.put_slice(bytes);
            while let Some(long) = self.scan.step(&self.raw) {
                self.long.extend(long);
            }
        }
        follows
    }

    /// What has come of long arguments since this was called last.
    pub fn take_arrived(&mut self) -> Vec<LongArgument<'_>> {
        let (upload, raw) = (self.upload, &self.raw);
        let arrived = self.long.iter_mut().filter_map(|long| {
            let there = raw.len().min(long.place + long.length) - long.place;
            let from = std::mem::replace(&mut long.told, there);
            let bytes = &raw[long.place + from..long.place + there];
            (!bytes.is_empty()).then_some(LongArgument {
                upload,
                place: long.place,
                length: long.length,
                from,
                bytes,
            })
        });
        arrived.collect()
    }

    /// The commands, as one batch with the time, the seed and the count of what ends the upload. None if a piece is
    /// missing.
    pub fn finish(mut self, last: &Batch) -> Option<Batch> {
        let is_whole = matches!(last.form(), Form::Last { upload, total }
            if upload == self.upload && total == self.total && self.raw.len() as u64 == HEADER as u64 + total);
        if !is_whole {
            return None;
        }
        let mut header = BytesMut::with_capacity(HEADER);
        put_header(&mut header, COMMANDS, last.now_ms(), last.seed(), last.count());
        self.raw[..HEADER].copy_from_slice(&header);
        Some(Batch { raw: self.raw.freeze(), upload: Some(self.upload), revision: last.revision })
    }
}

/// Bytes of an argument, as they arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LongArgument<'a> {
    /// The upload that it belongs to.
    pub upload: u64,
    /// Where the argument stands in the batch that the upload becomes, and how long it is.
    pub place: usize,
    /// Its length, bytes.
    pub length: usize,
    /// Where in the argument these bytes belong: behind those that came before.
    pub from: usize,
    /// The bytes.
    pub bytes: &'a [u8],
}

/// A long argument that has begun.
#[derive(Debug)]
struct Long {
    place: usize,
    length: usize,
    /// Bytes that [`Assembly::take_arrived`] has told of.
    told: usize,
}

/// Finds the arguments of commands that are still arriving.
#[derive(Debug)]
struct Scan {
    /// Where the next number stands: a count of arguments, or the length of one.
    at: usize,
    /// Arguments to come of the present command.
    arguments: u32,
}

impl Scan {
    /// Reads the next number, if it has come; a long argument if it is the length of one.
    fn step(&mut self, raw: &[u8]) -> Option<Option<Long>> {
        let number = u32::from_le_bytes(*raw.get(self.at..)?.first_chunk()?);
        self.at += size_of::<u32>();
        if self.arguments == 0 {
            self.arguments = number;
            return Some(None);
        }
        let (place, length) = (self.at, number as usize);
        self.arguments -= 1;
        self.at += length;
        Some((length >= LONG).then_some(Long { place, length, told: 0 }))
    }
}
