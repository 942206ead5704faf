//! LPUSH, RPUSH, LPUSHX, RPUSHX.

use crate::command::Call;
use crate::command::arg::meta_of;
use crate::error::Outcome;
use crate::keyspace::{End, KeyspaceMut, Kind};
use crate::reply::Reply;

/// `LPUSH key element [element …]`
pub(super) fn lpush(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>) -> Outcome<Reply> {
    push(keyspace, call, End::Head)
}

/// `RPUSH key element [element …]`
pub(super) fn rpush(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>) -> Outcome<Reply> {
    push(keyspace, call, End::Tail)
}

/// `LPUSHX key element [element …]`
pub(super) fn lpushx(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>) -> Outcome<Reply> {
    push_if_there(keyspace, call, End::Head)
}

/// `RPUSHX key element [element …]`
pub(super) fn rpushx(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>) -> Outcome<Reply> {
    push_if_there(keyspace, call, End::Tail)
}

fn push(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>, end: End) -> Outcome<Reply> {
    let len = meta_of(keyspace, call.key(), Kind::List)?.map_or(0, |meta| meta.len);
    let elements = call.from(2);
    for element in elements {
        keyspace.list_push(call.key(), end, element)?;
    }
    Ok(Reply::count(len + elements.len() as u64))
}

fn push_if_there(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>, end: End) -> Outcome<Reply> {
    match keyspace.meta(call.key())? {
        Some(_) => push(keyspace, call, end),
        None => Ok(Reply::Integer(0)),
    }
}
