//! Ziplists, the packed encoding before Redis 7:
//! `bytes u32 | offset of the last entry u32 | count u16 | entry * count | 0xff`, little-endian.
//!
//! An entry is `length of the entry before | encoding | data`. A count of 65535 is "unknown".

use std::borrow::Cow;

use super::intset::sign_extended;
use super::{BAD_FORMAT, Entry, integer};
use crate::error::Outcome;

const TERMINATOR: u8 = 0xff;
/// The first byte of a five-byte length of the entry before.
const LONG_LENGTH: u8 = 0xfe;
const UNKNOWN_COUNT: u16 = u16::MAX;

/// Reads a ziplist from front to back; an error ends it.
#[derive(Debug)]
pub(in super::super) struct Ziplist<'a> {
    /// The entries that are not yet read, without the terminator.
    rest: &'a [u8],
    /// How many entries the header promises yet.
    left: Option<u16>,
}

impl<'a> Ziplist<'a> {
    pub(in super::super) fn open(blob: &'a [u8]) -> Outcome<Self> {
        let (size, rest) = blob.split_first_chunk::<4>().ok_or(BAD_FORMAT)?;
        let (_last, rest) = rest.split_first_chunk::<4>().ok_or(BAD_FORMAT)?;
        let (count, rest) = rest.split_first_chunk::<2>().ok_or(BAD_FORMAT)?;
        let (end, rest) = rest.split_last().ok_or(BAD_FORMAT)?;
        if u32::from_le_bytes(*size) as usize != blob.len() || *end != TERMINATOR {
            return Err(BAD_FORMAT);
        }
        let count = u16::from_le_bytes(*count);
        Ok(Self { rest, left: (count != UNKNOWN_COUNT).then_some(count) })
    }

    fn read(&mut self) -> Outcome<Entry<'a>> {
        let before = if self.rest.first() == Some(&LONG_LENGTH) { 5 } else { 1 };
        let entry = self.rest.get(before..).ok_or(BAD_FORMAT)?;
        let (header, data) = layout(entry)?;
        let whole = entry.get(..header + data).ok_or(BAD_FORMAT)?;
        self.rest = &entry[header + data..];
        if let Some(left) = &mut self.left {
            *left = left.checked_sub(1).ok_or(BAD_FORMAT)?;
        }
        Ok(value(whole, header))
    }
}

impl<'a> Iterator for Ziplist<'a> {
    type Item = Outcome<Entry<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if !self.rest.is_empty() {
            return Some(self.read());
        }
        let short = self.left.take().is_some_and(|left| left > 0);
        short.then_some(Err(BAD_FORMAT))
    }
}

/// The sizes of an entry's encoding and of its data.
fn layout(entry: &[u8]) -> Outcome<(usize, usize)> {
    let first = *entry.first().ok_or(BAD_FORMAT)?;
    Ok(match first {
        0x00..=0x3f => (1, usize::from(first)),
        0x40..=0x7f => {
            let low = *entry.get(1).ok_or(BAD_FORMAT)?;
            (2, usize::from(first & 0x3f) << 8 | usize::from(low))
        }
        0x80 => {
            let len = entry.get(1..).and_then(|rest| rest.first_chunk::<4>()).ok_or(BAD_FORMAT)?;
            (5, u32::from_be_bytes(*len) as usize)
        }
        0xc0 => (1, 2),
        0xd0 => (1, 4),
        0xe0 => (1, 8),
        0xf0 => (1, 3),
        0xfe => (1, 1),
        0xf1..=0xfd => (1, 0),
        _ => return Err(BAD_FORMAT),
    })
}

/// The value of a whole entry, whose encoding takes `header` bytes.
fn value(entry: &[u8], header: usize) -> Entry<'_> {
    let data = &entry[header..];
    match entry[0] {
        first @ 0xf1..=0xfd => integer(i64::from(first & 0x0f) - 1),
        0x00..=0x80 => Cow::Borrowed(data),
        _ => integer(sign_extended(data)),
    }
}
