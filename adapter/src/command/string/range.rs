//! Parts of a value.

use crate::command::arg::{MAX_STRING, meta_of};
use crate::command::{Call, text};
use crate::error::{Outcome, Stop};
use crate::keyspace::{Keyspace, KeyspaceMut, Kind};
use crate::reply::Reply;

const OFFSET_OUT_OF_RANGE: Stop = Stop::text("ERR offset is out of range");

/// The bytes of a string that are read at a time where all of a big one may have to be looked at.
pub(crate) const PIECE: u64 = 64 * 1024;

/// The half-open range that `start` and `end` of GETRANGE and BITCOUNT mean; none if it is empty. Unlike those
/// of lists, an `end` before the first element means the first: `GETRANGE k 0 -100` answers one byte.
pub(crate) fn clip(start: i64, end: i64, len: u64) -> Option<(u64, u64)> {
    let len = i64::try_from(len).ok()?;
    if start < 0 && end < 0 && start > end {
        return None;
    }
    let from_end = |index: i64| if index < 0 { (index + len).max(0) } else { index };
    let (start, end) = (from_end(start), from_end(end).min(len - 1));
    (start <= end).then_some((start.unsigned_abs(), end.unsigned_abs() + 1))
}

/// `GETRANGE key start end`
pub(super) fn getrange(keyspace: &dyn Keyspace, call: &Call<'_>) -> Outcome<Reply> {
    let (start, end) = (call.int(2)?, call.int(3)?);
    let len = meta_of(keyspace, call.key(), Kind::String)?.map_or(0, |meta| meta.len);
    match clip(start, end, len) {
        Some((start, end)) => Ok(Reply::Bulk(keyspace.string_range(call.key(), start, end - start)?)),
        None => Ok(Reply::bulk(b"")),
    }
}

/// `STRLEN key`
pub(super) fn strlen(keyspace: &dyn Keyspace, call: &Call<'_>) -> Outcome<Reply> {
    Ok(Reply::count(meta_of(keyspace, call.key(), Kind::String)?.map_or(0, |meta| meta.len)))
}

/// `SETRANGE key offset value`
pub(super) fn setrange(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>) -> Outcome<Reply> {
    let value = call.arg(3);
    let offset = u64::try_from(call.int(2)?).map_err(|_| OFFSET_OUT_OF_RANGE)?;
    let len = meta_of(keyspace, call.key(), Kind::String)?.map_or(0, |meta| meta.len);
    if value.is_empty() {
        return Ok(Reply::count(len));
    }
    let end = end_of(offset, value)?;
    keyspace.string_write(call.key(), offset, value)?;
    Ok(Reply::count(len.max(end)))
}

/// `APPEND key value`
pub(super) fn append(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>) -> Outcome<Reply> {
    let value = call.arg(2);
    let Some(meta) = meta_of(keyspace, call.key(), Kind::String)? else {
        keyspace.string_put(call.key(), value, None)?;
        return Ok(Reply::count(value.len() as u64));
    };
    let end = end_of(meta.len, value)?;
    if !value.is_empty() {
        keyspace.string_write(call.key(), meta.len, value)?;
    }
    Ok(Reply::count(end))
}

/// Where a value that starts at `offset` ends, if a string may be that long.
fn end_of(offset: u64, value: &[u8]) -> Outcome<u64> {
    offset.checked_add(value.len() as u64).filter(|end| *end <= MAX_STRING).ok_or(text::STRING_TOO_LONG)
}
