//! Commands that name fields.

use std::collections::HashSet;

use bytes::Bytes;

use crate::command::arg::meta_of;
use crate::command::{Call, text};
use crate::error::Outcome;
use crate::keyspace::{Keyspace, KeyspaceMut, Kind, gather};
use crate::reply::Reply;

/// `HSET key field value [field value …]`: answers how many fields are new.
pub(super) fn hset(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>) -> Outcome<Reply> {
    let new = put_all(keyspace, call, "hset")?;
    Ok(Reply::count(new))
}

/// `HMSET key field value [field value …]`
pub(super) fn hmset(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>) -> Outcome<Reply> {
    put_all(keyspace, call, "hmset")?;
    Ok(Reply::OK)
}

fn put_all(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>, command: &str) -> Outcome<u64> {
    let (key, pairs) = (call.key(), call.from(2));
    if !pairs.len().is_multiple_of(2) {
        return Err(text::wrong_arity(command));
    }
    let meta = meta_of(&*keyspace, key, Kind::Hash)?;
    if meta.is_some() && pairs.len() > 2 {
        // Whether a field is new is a read: all of them come before the first write.
        gather(pairs.chunks_exact(2).map(|pair| keyspace.hash_get(key, pair[0])))?;
    }
    let mut new = 0;
    for pair in pairs.chunks_exact(2) {
        new += u64::from(keyspace.hash_put(key, pair[0], pair[1])?);
    }
    Ok(new)
}

/// `HSETNX key field value`
pub(super) fn hsetnx(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>) -> Outcome<Reply> {
    if value_of(&*keyspace, call)?.is_some() {
        return Ok(Reply::Integer(0));
    }
    keyspace.hash_put(call.key(), call.arg(2), call.arg(3))?;
    Ok(Reply::Integer(1))
}

/// The value of the field that the second argument names.
pub(super) fn value_of(keyspace: &(impl Keyspace + ?Sized), call: &Call<'_>) -> Outcome<Option<Bytes>> {
    match meta_of(keyspace, call.key(), Kind::Hash)? {
        Some(_) => keyspace.hash_get(call.key(), call.arg(2)),
        None => Ok(None),
    }
}

/// `HGET key field`
pub(super) fn hget(keyspace: &dyn Keyspace, call: &Call<'_>) -> Outcome<Reply> {
    value_of(keyspace, call).map(Reply::bulk_or_null)
}

/// `HEXISTS key field`
pub(super) fn hexists(keyspace: &dyn Keyspace, call: &Call<'_>) -> Outcome<Reply> {
    Ok(Reply::Integer(i64::from(value_of(keyspace, call)?.is_some())))
}

/// `HSTRLEN key field`
pub(super) fn hstrlen(keyspace: &dyn Keyspace, call: &Call<'_>) -> Outcome<Reply> {
    Ok(Reply::count(value_of(keyspace, call)?.map_or(0, |value| value.len() as u64)))
}

/// `HMGET key field [field …]`
pub(super) fn hmget(keyspace: &dyn Keyspace, call: &Call<'_>) -> Outcome<Reply> {
    let fields = call.from(2);
    if meta_of(keyspace, call.key(), Kind::Hash)?.is_none() {
        return Ok(Reply::Array(vec![Reply::Null; fields.len()]));
    }
    let values = gather(fields.iter().map(|field| keyspace.hash_get(call.key(), field)))?;
    Ok(Reply::Array(values.into_iter().map(Reply::bulk_or_null).collect()))
}

/// `HDEL key field [field …]`: answers how many fields were there.
pub(super) fn hdel(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>) -> Outcome<Reply> {
    let (key, fields) = (call.key(), call.from(2));
    if meta_of(&*keyspace, key, Kind::Hash)?.is_none() {
        return Ok(Reply::Integer(0));
    }
    let values = gather(fields.iter().map(|field| keyspace.hash_get(key, field)))?;
    let there: HashSet<&[u8]> =
        fields.iter().zip(values).filter(|(_, value)| value.is_some()).map(|(field, _)| *field).collect();
    for field in fields.iter().filter(|field| there.contains(**field)) {
        keyspace.hash_remove(key, field)?;
    }
    Ok(Reply::count(there.len() as u64))
}
