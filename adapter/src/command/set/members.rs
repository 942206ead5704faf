//! SADD, SREM, SISMEMBER, SMISMEMBER, SMEMBERS, SCARD, SMOVE.

use crate::command::arg::meta_of;
use crate::command::{Call, text};
use crate::error::Outcome;
use crate::keyspace::{Flow, Keyspace, KeyspaceMut, Kind, Point, gather};
use crate::reply::Reply;

/// `SADD key member [member …]`
pub(super) fn sadd(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>) -> Outcome<Reply> {
    let (key, members) = (call.key(), call.from(2));
    if meta_of(keyspace, key, Kind::Set)?.is_some() {
        learn(keyspace, key, members)?;
    }
    let mut added = 0;
    for member in members {
        added += u64::from(keyspace.set_put(key, member)?);
    }
    Ok(Reply::count(added))
}

/// `SREM key member [member …]`
pub(super) fn srem(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>) -> Outcome<Reply> {
    let (key, members) = (call.key(), call.from(2));
    if meta_of(keyspace, key, Kind::Set)?.is_none() {
        return Ok(Reply::Integer(0));
    }
    learn(keyspace, key, members)?;
    let mut removed = 0;
    for member in members {
        removed += u64::from(keyspace.set_remove(key, member)?);
    }
    Ok(Reply::count(removed))
}

/// Has the keyspace look at several members before the first of them is changed. A single change needs no look:
/// it is the first write.
fn learn(keyspace: &dyn Keyspace, key: &[u8], members: &[&[u8]]) -> Outcome<()> {
    if members.len() > 1 {
        gather(members.iter().map(|member| keyspace.set_has(key, member)))?;
    }
    Ok(())
}

/// `SISMEMBER key member`
pub(super) fn sismember(keyspace: &dyn Keyspace, call: &Call<'_>) -> Outcome<Reply> {
    let there = meta_of(keyspace, call.key(), Kind::Set)?.is_some();
    Ok(Reply::Integer((there && keyspace.set_has(call.key(), call.arg(2))?).into()))
}

/// `SMISMEMBER key member [member …]`
pub(super) fn smismember(keyspace: &dyn Keyspace, call: &Call<'_>) -> Outcome<Reply> {
    let (key, members) = (call.key(), call.from(2));
    let found = match meta_of(keyspace, key, Kind::Set)? {
        Some(_) => gather(members.iter().map(|member| keyspace.set_has(key, member)))?,
        None => vec![false; members.len()],
    };
    Ok(Reply::Array(found.into_iter().map(|found| Reply::Integer(found.into())).collect()))
}

/// `SMEMBERS key`
pub(super) fn smembers(keyspace: &dyn Keyspace, call: &Call<'_>) -> Outcome<Reply> {
    let mut members = Vec::new();
    if meta_of(keyspace, call.key(), Kind::Set)?.is_some() {
        keyspace.set_visit(call.key(), Point::default(), &mut |_, member| {
            members.push(Reply::bulk(member));
            Flow::Continue(())
        })?;
    }
    Ok(Reply::Set(members))
}

/// `SCARD key`
pub(super) fn scard(keyspace: &dyn Keyspace, call: &Call<'_>) -> Outcome<Reply> {
    Ok(Reply::count(meta_of(keyspace, call.key(), Kind::Set)?.map_or(0, |meta| meta.len)))
}

/// `SMOVE source destination member`
pub(super) fn smove(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>) -> Outcome<Reply> {
    let (source, destination, member) = (call.arg(1), call.arg(2), call.arg(3));
    let metas = gather([keyspace.meta(source), keyspace.meta(destination)])?;
    // Without a source the destination's type does not matter.
    if metas[0].is_none() {
        return Ok(Reply::Integer(0));
    }
    if metas.iter().flatten().any(|meta| meta.kind != Kind::Set) {
        return Err(text::WRONG_TYPE);
    }
    let there = match metas[1] {
        Some(_) => gather([keyspace.set_has(source, member), keyspace.set_has(destination, member)])?[0],
        None => keyspace.set_has(source, member)?,
    };
    if there && source != destination {
        keyspace.set_remove(source, member)?;
        keyspace.set_put(destination, member)?;
    }
    Ok(Reply::Integer(there.into()))
}
