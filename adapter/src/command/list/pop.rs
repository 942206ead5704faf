//! LPOP, RPOP, LMPOP.

use bytes::Bytes;

use crate::command::arg::{self, meta_of};
use crate::command::mpop::{self, MultiPop};
use crate::command::{Call, text};
use crate::error::Outcome;
use crate::keyspace::{Direction, End, KeyspaceMut, Kind, gather};
use crate::reply::Reply;

use super::{collect, parse_end};

/// `LPOP key [count]`
pub(super) fn lpop(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>) -> Outcome<Reply> {
    pop(keyspace, call, "lpop", End::Head)
}

/// `RPOP key [count]`
pub(super) fn rpop(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>) -> Outcome<Reply> {
    pop(keyspace, call, "rpop", End::Tail)
}

fn pop(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>, name: &str, end: End) -> Outcome<Reply> {
    let count = match call.from(2) {
        [] => None,
        [count] => Some(arg::int_at_least(count, 0, "ERR value is out of range, must be positive")? as u64),
        _ => return Err(text::wrong_arity(name)),
    };
    let Some(meta) = meta_of(keyspace, call.key(), Kind::List)? else {
        return Ok(if count.is_some() { Reply::NullArray } else { Reply::Null });
    };
    match count {
        None => Ok(Reply::bulk_or_null(keyspace.list_pop(call.key(), end)?)),
        Some(count) => Ok(Reply::bulks(take(keyspace, call.key(), end, meta.len, count)?)),
    }
}

/// `LMPOP numkeys key [key …] LEFT|RIGHT [COUNT count]`
pub(super) fn lmpop(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>) -> Outcome<Reply> {
    let MultiPop { keys, end, count } = mpop::parse(call.from(1), parse_end)?;
    let metas = gather(keys.iter().map(|key| keyspace.meta(key)))?;
    let Some((key, meta)) = mpop::first_present(keys, &metas, Kind::List)? else {
        return Ok(Reply::NullArray);
    };
    let elements = take(keyspace, key, end, meta.len, count)?;
    Ok(Reply::Array(vec![Reply::bulk(key), Reply::bulks(elements)]))
}

/// Takes up to `count` of a list's `len` elements from an end, in the order in which single pops give them.
fn take(keyspace: &mut dyn KeyspaceMut, key: &[u8], end: End, len: u64, count: u64) -> Outcome<Vec<Bytes>> {
    let count = count.min(len);
    if count <= 1 {
        let element = if count == 1 { keyspace.list_pop(key, end)? } else { None };
        return Ok(element.into_iter().collect());
    }
    let elements = match end {
        End::Head => collect(keyspace, key, 0, Direction::Forward, count)?,
        End::Tail => collect(keyspace, key, len - 1, Direction::Backward, count)?,
    };
    match end {
        _ if count == len => keyspace.remove(key).map(drop)?,
        End::Head => keyspace.list_trim(key, count, len)?,
        End::Tail => keyspace.list_trim(key, 0, len - count)?,
    }
    Ok(elements)
}
