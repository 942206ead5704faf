//! Listpacks, the packed encoding of Redis 7: `bytes u32 | count u16 | entry * count | 0xff`, little-endian.
//!
//! An entry is `encoding and data | back length`, the back length 1 to 5 bytes. A count of 65535 is "unknown".

use std::borrow::Cow;

use super::intset::sign_extended;
use super::packed::Packed;
use super::{BAD_FORMAT, Element, integer};
use crate::command::arg;
use crate::error::Outcome;

const HEADER: usize = 6;

/// Opens a listpack.
pub(super) fn open(blob: &[u8]) -> Outcome<Packed<'_>> {
    let (size, rest) = blob.split_first_chunk::<4>().ok_or(BAD_FORMAT)?;
    let (count, body) = rest.split_first_chunk::<2>().ok_or(BAD_FORMAT)?;
    Packed::open(blob, *size, *count, body, read)
}

fn read(rest: &[u8]) -> Outcome<(Element<'_>, &[u8])> {
    let (header, data) = layout(rest)?;
    let size = header + data;
    let entry = rest.get(..size).ok_or(BAD_FORMAT)?;
    let behind = rest.get(size + back_length_size(size)..).ok_or(BAD_FORMAT)?;
    Ok((value(entry, header), behind))
}

/// The sizes of an entry's encoding and of its data.
fn layout(entry: &[u8]) -> Outcome<(usize, usize)> {
    let byte = |at: usize| entry.get(at).copied().ok_or(BAD_FORMAT);
    Ok(match byte(0)? {
        0x00..=0x7f => (1, 0),
        first @ 0x80..=0xbf => (1, usize::from(first & 0x3f)),
        0xc0..=0xdf => (1, 1),
        first @ 0xe0..=0xef => (2, usize::from(first & 0x0f) << 8 | usize::from(byte(1)?)),
        0xf0 => {
            let len = entry.get(1..).and_then(|rest| rest.first_chunk::<4>()).ok_or(BAD_FORMAT)?;
            (5, u32::from_le_bytes(*len) as usize)
        }
        first @ 0xf1..=0xf3 => (1, usize::from(first - 0xf0) + 1),
        0xf4 => (1, 8),
        _ => return Err(BAD_FORMAT),
    })
}

/// The value of a whole entry, whose encoding takes `header` bytes.
fn value(entry: &[u8], header: usize) -> Element<'_> {
    let data = &entry[header..];
    match entry[0] {
        first @ 0x00..=0x7f => integer(i64::from(first)),
        first @ 0xc0..=0xdf => {
            let bits = i16::from(first & 0x1f) << 8 | i16::from(data[0]);
            integer(i64::from((bits << 3) >> 3))
        }
        0xf1..=0xf4 => integer(sign_extended(data)),
        _ => Cow::Borrowed(data),
    }
}

const fn back_length_size(entry: usize) -> usize {
    match entry {
        0..=127 => 1,
        128..=16_382 => 2,
        16_383..=2_097_150 => 3,
        2_097_151..=268_435_454 => 4,
        _ => 5,
    }
}

/// Bytes that an empty listpack takes.
pub(in super::super) const EMPTY_SIZE: usize = HEADER + 1;

/// Bytes that an element would take in a listpack.
pub(in super::super) fn entry_size(element: &[u8]) -> usize {
    let size = match arg::parse_i64(element) {
        Some(0..=127) => 1,
        Some(-4096..=4095) => 2,
        Some(-0x8000..=0x7fff) => 3,
        Some(-0x80_0000..=0x7f_ffff) => 4,
        Some(-0x8000_0000..=0x7fff_ffff) => 5,
        Some(_) => 9,
        None => match element.len() {
            len @ 0..=63 => 1 + len,
            len @ 64..=4095 => 2 + len,
            len => 5 + len,
        },
    };
    size + back_length_size(size)
}
