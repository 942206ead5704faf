//! Whole keys: DEL, UNLINK, EXISTS, TOUCH, TYPE, RENAME, RENAMENX, MOVE, FLUSHDB, FLUSHALL, and the internal
//! removal of keys whose deadline has passed.

use super::database;
use crate::command::arg::is;
use crate::command::{Call, text};
use crate::error::{Outcome, Stop};
use crate::keyspace::{Keyspace, KeyspaceMut, gather};
use crate::reply::Reply;

const SAME_OBJECT: Stop = Stop::text("ERR source and destination objects are the same");

/// `DEL key [key ...]`, and UNLINK, which is the same here: removal never waits for memory or disk.
pub(super) fn del(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>) -> Outcome<Reply> {
    let keys = call.from(1);
    gather(keys.iter().map(|key| keyspace.meta(key)))?;
    let mut removed = 0;
    for key in keys {
        removed += u64::from(keyspace.remove(key)?);
    }
    Ok(Reply::count(removed))
}

/// `raft.expire key [key ...]`: removes those of the keys that are due; the reply is how many were.
pub(super) fn expire_due(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>) -> Outcome<Reply> {
    // Keys that are due are hidden from every read, so `reap` alone tells; it needs what `meta` needs.
    let keys = call.from(1);
    gather(keys.iter().map(|key| keyspace.meta(key)))?;
    let mut removed = 0;
    for key in keys {
        removed += u64::from(keyspace.reap(key)?);
    }
    Ok(Reply::count(removed))
}

/// `EXISTS key [key ...]`, and TOUCH: no storage keeps the time of the last access. A key that is named twice
/// counts twice.
pub(super) fn exists(keyspace: &dyn Keyspace, call: &Call<'_>) -> Outcome<Reply> {
    let metas = gather(call.from(1).iter().map(|key| keyspace.meta(key)))?;
    Ok(Reply::count(metas.iter().flatten().count() as u64))
}

/// `TYPE key`
pub(super) fn type_of(keyspace: &dyn Keyspace, call: &Call<'_>) -> Outcome<Reply> {
    let meta = keyspace.meta(call.key())?;
    Ok(Reply::status(meta.map_or("none", |meta| meta.kind.name())))
}

/// `RENAME key newkey`
pub(super) fn rename(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>) -> Outcome<Reply> {
    let (from, to) = (call.arg(1), call.arg(2));
    let metas = gather([keyspace.meta(from), keyspace.meta(to)])?;
    if metas[0].is_none() {
        return Err(text::NO_SUCH_KEY);
    }
    if from != to {
        keyspace.rename(from, to)?;
    }
    Ok(Reply::OK)
}

/// `RENAMENX key newkey`
pub(super) fn renamenx(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>) -> Outcome<Reply> {
    let (from, to) = (call.arg(1), call.arg(2));
    let metas = gather([keyspace.meta(from), keyspace.meta(to)])?;
    if metas[0].is_none() {
        return Err(text::NO_SUCH_KEY);
    }
    if metas[1].is_some() {
        return Ok(Reply::Integer(0));
    }
    keyspace.rename(from, to)?;
    Ok(Reply::Integer(1))
}

/// `MOVE key db`: there is one database, so this answers what a Redis with `databases 1` does.
pub(super) fn move_key(_keyspace: &mut dyn KeyspaceMut, call: &Call<'_>) -> Outcome<Reply> {
    database(call.arg(2))?;
    Err(SAME_OBJECT)
}

/// `FLUSHDB [ASYNC | SYNC]` and FLUSHALL
pub(super) fn flush(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>) -> Outcome<Reply> {
    match call.from(1) {
        [] => {}
        [mode] if is(mode, "sync") || is(mode, "async") => {}
        _ => return Err(text::SYNTAX),
    }
    keyspace.clear()?;
    Ok(Reply::OK)
}
