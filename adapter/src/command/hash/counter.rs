//! Fields that are numbers.

use super::field::value_of;
use crate::command::arg::parse_i64;
use crate::command::number::{Extended, format_i64};
use crate::command::{Call, text};
use crate::error::{Outcome, Stop};
use crate::keyspace::KeyspaceMut;
use crate::reply::Reply;

const NOT_INTEGER: Stop = Stop::text("ERR hash value is not an integer");
const NOT_FLOAT: Stop = Stop::text("ERR hash value is not a float");
const INCREMENT_NOT_FINITE: Stop = Stop::text("ERR value is NaN or Infinity");

/// `HINCRBY key field increment`
pub(super) fn hincrby(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>) -> Outcome<Reply> {
    let increment = call.int(3)?;
    let old = match value_of(&*keyspace, call)? {
        Some(value) => parse_i64(&value).ok_or(NOT_INTEGER)?,
        None => 0,
    };
    let sum = old.checked_add(increment).ok_or(text::OVERFLOW)?;
    keyspace.hash_put(call.key(), call.arg(2), &format_i64(sum))?;
    Ok(Reply::Integer(sum))
}

/// `HINCRBYFLOAT key field increment`
pub(super) fn hincrbyfloat(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>) -> Outcome<Reply> {
    let increment = Extended::parse(call.arg(3)).ok_or(text::NOT_FLOAT)?;
    if !increment.is_finite() {
        return Err(INCREMENT_NOT_FINITE);
    }
    let old = match value_of(&*keyspace, call)? {
        Some(value) => Extended::parse(&value).ok_or(NOT_FLOAT)?,
        None => Extended::ZERO,
    };
    let sum = old.sum(increment).ok_or(text::NAN_OR_INFINITY)?.format();
    keyspace.hash_put(call.key(), call.arg(2), sum.as_bytes())?;
    Ok(Reply::Bulk(sum.into()))
}
