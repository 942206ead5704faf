//! Ziplists, the packed encoding before Redis 7:
//! `bytes u32 | offset of the last entry u32 | count u16 | entry * count | 0xff`, little-endian.
//!
//! An entry is `length of the entry before | encoding | data`. A count of 65535 is "unknown".

use std::borrow::Cow;

use super::intset::sign_extended;
use super::packed::Packed;
use super::{BAD_FORMAT, Element, integer};
use crate::error::Outcome;

/// The first byte of a five-byte length of the entry before.
const LONG_LENGTH: u8 = 0xfe;

/// Opens a ziplist.
pub(super) fn open(blob: &[u8]) -> Outcome<Packed<'_>> {
    let (size, rest) = blob.split_first_chunk::<4>().ok_or(BAD_FORMAT)?;
    let (_last, rest) = rest.split_first_chunk::<4>().ok_or(BAD_FORMAT)?;
    let (count, body) = rest.split_first_chunk::<2>().ok_or(BAD_FORMAT)?;
    Packed::open(blob, *size, *count, body, read)
}

fn read(rest: &[u8]) -> Outcome<(Element<'_>, &[u8])> {
    let before = if rest.first() == Some(&LONG_LENGTH) { 5 } else { 1 };
    let entry = rest.get(before..).ok_or(BAD_FORMAT)?;
    let (header, data) = layout(entry)?;
    let whole = entry.get(..header + data).ok_or(BAD_FORMAT)?;
    Ok((value(whole, header), &entry[header + data..]))
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
fn value(entry: &[u8], header: usize) -> Element<'_> {
    let data = &entry[header..];
    match entry[0] {
        first @ 0xf1..=0xfd => integer(i64::from(first & 0x0f) - 1),
        0x00..=0x80 => Cow::Borrowed(data),
        _ => integer(sign_extended(data)),
    }
}
