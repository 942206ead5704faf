//! LSET, LTRIM, LREM, LINSERT.

use crate::command::arg::{index_range, is, meta_of};
use crate::command::{Call, text};
use crate::error::Outcome;
use crate::keyspace::{Direction, Flow, KeyspaceMut, Kind};
use crate::reply::Reply;

use super::element_index;

/// `LSET key index element`
pub(super) fn lset(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>) -> Outcome<Reply> {
    let meta = meta_of(keyspace, call.key(), Kind::List)?.ok_or(text::NO_SUCH_KEY)?;
    let index = element_index(call.int(2)?, meta.len).ok_or(text::INDEX_OUT_OF_RANGE)?;
    keyspace.list_set(call.key(), index, call.arg(3))?;
    Ok(Reply::OK)
}

/// `LTRIM key start stop`
pub(super) fn ltrim(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>) -> Outcome<Reply> {
    let (start, stop) = (call.int(2)?, call.int(3)?);
    let Some(meta) = meta_of(keyspace, call.key(), Kind::List)? else {
        return Ok(Reply::OK);
    };
    match index_range(start, stop, meta.len) {
        // Also where nothing goes: to those who watch the list it has changed, as in Redis.
        Some((start, end)) => keyspace.list_trim(call.key(), start, end)?,
        None => keyspace.remove(call.key()).map(drop)?,
    }
    Ok(Reply::OK)
}

/// `LREM key count element`
pub(super) fn lrem(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>) -> Outcome<Reply> {
    let (count, wanted) = (call.int(2)?, call.arg(3));
    let Some(meta) = meta_of(keyspace, call.key(), Kind::List)? else {
        return Ok(Reply::Integer(0));
    };
    let (from, direction) =
        if count < 0 { (meta.len - 1, Direction::Backward) } else { (0, Direction::Forward) };
    let most = if count == 0 { u64::MAX } else { count.unsigned_abs() };
    let mut indices = Vec::new();
    keyspace.list_visit(call.key(), from, direction, &mut |index, element| {
        if element == wanted {
            indices.push(index);
        }
        if indices.len() as u64 == most { Flow::Break(()) } else { Flow::Continue(()) }
    })?;
    if direction == Direction::Backward {
        indices.reverse();
    }
    if !indices.is_empty() {
        keyspace.list_remove(call.key(), &indices)?;
    }
    Ok(Reply::count(indices.len() as u64))
}

/// `LINSERT key BEFORE|AFTER pivot element`
pub(super) fn linsert(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>) -> Outcome<Reply> {
    let behind = match call.arg(2) {
        place if is(place, "before") => 0,
        place if is(place, "after") => 1,
        _ => return Err(text::SYNTAX),
    };
    let Some(meta) = meta_of(keyspace, call.key(), Kind::List)? else {
        return Ok(Reply::Integer(0));
    };
    let (pivot, mut found) = (call.arg(3), None);
    keyspace.list_visit(call.key(), 0, Direction::Forward, &mut |index, element| {
        if element == pivot {
            found = Some(index);
            return Flow::Break(());
        }
        Flow::Continue(())
    })?;
    let Some(index) = found else {
        return Ok(Reply::Integer(-1));
    };
    keyspace.list_insert(call.key(), index + behind, call.arg(4))?;
    Ok(Reply::count(meta.len + 1))
}
