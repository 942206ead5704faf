//! Values that are numbers.

use crate::command::arg::{meta_of, parse_i64};
use crate::command::number::{Extended, format_i64};
use crate::command::{Call, text};
use crate::error::{Outcome, Stop};
use crate::keyspace::{KeyspaceMut, Kind, Meta};
use crate::reply::Reply;

/// No number that can be read is longer, bytes; a longer value is not worth reading.
const LONGEST_NUMBER: u64 = 5 * 1024;

pub(super) fn incr(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>) -> Outcome<Reply> {
    add(keyspace, call.key(), 1)
}

pub(super) fn decr(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>) -> Outcome<Reply> {
    add(keyspace, call.key(), -1)
}

/// `INCRBY key increment`
pub(super) fn incrby(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>) -> Outcome<Reply> {
    add(keyspace, call.key(), call.int(2)?)
}

/// `DECRBY key decrement`
pub(super) fn decrby(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>) -> Outcome<Reply> {
    let negated = call.int(2)?.checked_neg().ok_or(Stop::text("ERR decrement would overflow"))?;
    add(keyspace, call.key(), negated)
}

/// Adds to an integer, which keeps its deadline.
fn add(keyspace: &mut dyn KeyspaceMut, key: &[u8], increment: i64) -> Outcome<Reply> {
    let meta = meta_of(keyspace, key, Kind::String)?;
    let old = number(keyspace, key, meta, text::NOT_INTEGER, parse_i64)?.unwrap_or(0);
    let sum = old.checked_add(increment).ok_or(text::OVERFLOW)?;
    keyspace.string_put(key, &format_i64(sum), meta.and_then(|meta| meta.deadline))?;
    Ok(Reply::Integer(sum))
}

/// `INCRBYFLOAT key increment`
pub(super) fn incrbyfloat(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>) -> Outcome<Reply> {
    let key = call.key();
    let meta = meta_of(keyspace, key, Kind::String)?;
    let increment = Extended::parse(call.arg(2)).ok_or(text::NOT_FLOAT)?;
    let old = number(keyspace, key, meta, text::NOT_FLOAT, Extended::parse)?.unwrap_or(Extended::ZERO);
    let sum = old.sum(increment).ok_or(text::NAN_OR_INFINITY)?.format();
    keyspace.string_put(key, sum.as_bytes(), meta.and_then(|meta| meta.deadline))?;
    Ok(Reply::Bulk(sum.into()))
}

/// The number that a string holds; none if the key is missing.
fn number<T>(
    keyspace: &dyn KeyspaceMut,
    key: &[u8],
    meta: Option<Meta>,
    not_a_number: Stop,
    parse: fn(&[u8]) -> Option<T>,
) -> Outcome<Option<T>> {
    let Some(meta) = meta else { return Ok(None) };
    if meta.len > LONGEST_NUMBER {
        return Err(not_a_number);
    }
    let value = keyspace.string(key)?.unwrap_or_default();
    parse(&value).map(Some).ok_or(not_a_number)
}
