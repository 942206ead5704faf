//! Whole values of several keys.

use crate::command::{Call, text};
use crate::error::Outcome;
use crate::keyspace::{Keyspace, KeyspaceMut, Kind, gather};
use crate::reply::Reply;

/// `MGET key [key …]`: null for a key that is missing or no string.
pub(super) fn mget(keyspace: &dyn Keyspace, call: &Call<'_>) -> Outcome<Reply> {
    let read = |key: &&[u8]| match keyspace.meta(key)? {
        Some(meta) if meta.kind == Kind::String => keyspace.string(key),
        _ => Ok(None),
    };
    let values = gather(call.from(1).iter().map(read))?;
    Ok(Reply::Array(values.into_iter().map(Reply::bulk_or_null).collect()))
}

/// `MSET key value [key value …]`
pub(super) fn mset(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>) -> Outcome<Reply> {
    put_all(keyspace, pairs(call, "mset")?)?;
    Ok(Reply::OK)
}

/// `MSETNX key value [key value …]`
pub(super) fn msetnx(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>) -> Outcome<Reply> {
    let pairs = pairs(call, "msetnx")?;
    let found = gather(pairs.chunks_exact(2).map(|pair| keyspace.meta(pair[0])))?;
    if found.iter().any(Option::is_some) {
        return Ok(Reply::Integer(0));
    }
    put_all(keyspace, pairs)?;
    Ok(Reply::Integer(1))
}

fn pairs<'a>(call: &Call<'a>, command: &str) -> Outcome<&'a [&'a [u8]]> {
    let pairs = call.from(1);
    if pairs.len().is_multiple_of(2) { Ok(pairs) } else { Err(text::wrong_arity(command)) }
}

fn put_all(keyspace: &mut dyn KeyspaceMut, pairs: &[&[u8]]) -> Outcome<()> {
    pairs.chunks_exact(2).try_for_each(|pair| keyspace.string_put(pair[0], pair[1], None))
}
