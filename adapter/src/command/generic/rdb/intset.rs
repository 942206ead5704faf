//! Intsets: `width u32 | count u32 | integer * count`, little-endian, the width 2, 4 or 8 bytes.

use super::{BAD_FORMAT, Element, integer};
use crate::error::Outcome;

/// The members of an intset.
pub(in super::super) fn entries(blob: &[u8]) -> Outcome<impl Iterator<Item = Outcome<Element<'_>>>> {
    let (width, rest) = blob.split_first_chunk::<4>().ok_or(BAD_FORMAT)?;
    let (count, contents) = rest.split_first_chunk::<4>().ok_or(BAD_FORMAT)?;
    let width = match u32::from_le_bytes(*width) {
        width @ (2 | 4 | 8) => width as usize,
        _ => return Err(BAD_FORMAT),
    };
    let bytes = u64::from(u32::from_le_bytes(*count)) * width as u64;
    if contents.len() as u64 != bytes {
        return Err(BAD_FORMAT);
    }
    Ok(contents.chunks_exact(width).map(|chunk| Ok(integer(sign_extended(chunk)))))
}

/// A little-endian integer of up to eight bytes.
pub(super) fn sign_extended(bytes: &[u8]) -> i64 {
    let value = bytes.iter().rev().fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
    let unused = 64 - 8 * bytes.len().clamp(1, 8) as u32;
    ((value << unused) as i64) >> unused
}
