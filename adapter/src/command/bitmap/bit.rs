//! One bit.

use crate::command::Call;
use crate::command::arg::{MAX_STRING, meta_of, parse_i64};
use crate::error::{Outcome, Stop};
use crate::keyspace::{Keyspace, KeyspaceMut, Kind};
use crate::reply::Reply;

const OFFSET: Stop = Stop::text("ERR bit offset is not an integer or out of range");
const VALUE: Stop = Stop::text("ERR bit is not an integer or out of range");

/// Reads the offset of a bit. BITFIELD's `#n` means the `n`th integer of this many bits; others give none.
pub(super) fn offset(bytes: &[u8], integer_bits: Option<u32>) -> Outcome<u64> {
    let (digits, unit) = match (bytes, integer_bits) {
        ([b'#', digits @ ..], Some(bits)) => (digits, i64::from(bits)),
        _ => (bytes, 1),
    };
    parse_i64(digits)
        .and_then(|number| number.checked_mul(unit))
        .and_then(|bits| u64::try_from(bits).ok())
        .filter(|bits| bits / 8 < MAX_STRING)
        .ok_or(OFFSET)
}

/// `SETBIT key offset value`: answers the bit that was there.
pub(super) fn setbit(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>) -> Outcome<Reply> {
    let key = call.key();
    let bit = offset(call.arg(2), None)?;
    let value = match call.arg(3) {
        b"0" => 0,
        b"1" => 1,
        _ => return Err(VALUE),
    };
    let meta = meta_of(keyspace, key, Kind::String)?;
    let (byte, shift) = (bit / 8, 7 - bit % 8);
    let present = meta.is_some_and(|meta| byte < meta.len);
    let old = if present { first_byte(keyspace, key, byte)? } else { 0 };
    let new = old & !(1 << shift) | value << shift;
    if !present || new != old {
        keyspace.string_write(key, byte, &[new])?;
    }
    Ok(Reply::Integer(i64::from(old >> shift & 1)))
}

/// `GETBIT key offset`
pub(super) fn getbit(keyspace: &dyn Keyspace, call: &Call<'_>) -> Outcome<Reply> {
    let bit = offset(call.arg(2), None)?;
    let byte = match meta_of(keyspace, call.key(), Kind::String)? {
        Some(_) => first_byte(keyspace, call.key(), bit / 8)?,
        None => 0,
    };
    Ok(Reply::Integer(i64::from(byte >> (7 - bit % 8) & 1)))
}

/// The byte at an offset; 0 behind the end.
fn first_byte(keyspace: &(impl Keyspace + ?Sized), key: &[u8], at: u64) -> Outcome<u8> {
    Ok(keyspace.string_range(key, at, 1)?.first().copied().unwrap_or(0))
}
