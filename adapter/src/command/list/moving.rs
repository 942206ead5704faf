//! LMOVE, RPOPLPUSH.

use crate::command::{Call, text};
use crate::error::{Outcome, Stop};
use crate::keyspace::{End, KeyspaceMut, Kind, gather};
use crate::reply::Reply;

use super::parse_end;

/// `LMOVE source destination LEFT|RIGHT LEFT|RIGHT`
pub(super) fn lmove(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>) -> Outcome<Reply> {
    let from = parse_end(call.arg(3)).ok_or(text::SYNTAX)?;
    let to = parse_end(call.arg(4)).ok_or(text::SYNTAX)?;
    move_element(keyspace, call, from, to)
}

/// `RPOPLPUSH source destination`
pub(super) fn rpoplpush(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>) -> Outcome<Reply> {
    move_element(keyspace, call, End::Tail, End::Head)
}

fn move_element(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>, from: End, to: End) -> Outcome<Reply> {
    let (source, destination) = (call.arg(1), call.arg(2));
    let metas = gather([keyspace.meta(source), keyspace.meta(destination)])?;
    // Without a source the destination's type does not matter.
    let Some(meta) = metas[0] else {
        return Ok(Reply::Null);
    };
    if metas.iter().flatten().any(|meta| meta.kind != Kind::List) {
        return Err(text::WRONG_TYPE);
    }
    let same = source == destination;
    if same && (from == to || meta.len == 1) {
        // Nothing moves. A pop of the only element would take the key, and its deadline, away.
        let index = if from == End::Head { 0 } else { meta.len - 1 };
        return Ok(Reply::bulk_or_null(keyspace.list_get(source, index)?));
    }
    let element = keyspace.list_pop(source, from)?.ok_or(Stop::text("ERR the list has lost its elements"))?;
    keyspace.list_push(destination, to, &element)?;
    Ok(Reply::Bulk(element))
}
