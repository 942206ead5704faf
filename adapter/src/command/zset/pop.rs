//! ZPOPMIN, ZPOPMAX, ZMPOP.

use crate::command::arg::{self, is, meta_of};
use crate::command::mpop::{self, MultiPop};
use crate::command::{Call, text};
use crate::error::Outcome;
use crate::keyspace::{Direction, KeyspaceMut, Kind, gather};
use crate::reply::Reply;

use super::walk::collect_ranks;
use super::{Scored, remove_members, with_scores};

/// `ZPOPMIN key [count]`
pub(super) fn zpopmin(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>) -> Outcome<Reply> {
    pop(keyspace, call, Direction::Forward)
}

/// `ZPOPMAX key [count]`
pub(super) fn zpopmax(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>) -> Outcome<Reply> {
    pop(keyspace, call, Direction::Backward)
}

fn pop(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>, end: Direction) -> Outcome<Reply> {
    let count = match call.from(2) {
        [] => None,
        [count] => Some(arg::int_at_least(count, 0, "ERR value is out of range, must be positive")? as u64),
        _ => return Err(text::SYNTAX),
    };
    let popped = match meta_of(keyspace, call.key(), Kind::SortedSet)? {
        Some(meta) => take(keyspace, call.key(), meta.len, end, count.unwrap_or(1))?,
        None => Vec::new(),
    };
    if count.is_some() {
        return Ok(with_scores(popped));
    }
    // Without a count the member and its score are one flat list, also in RESP3.
    let flat = popped.into_iter().flat_map(|(member, score)| [Reply::Bulk(member), Reply::Double(score)]);
    Ok(Reply::Array(flat.collect()))
}

/// `ZMPOP numkeys key [key …] MIN|MAX [COUNT count]`
pub(super) fn zmpop(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>) -> Outcome<Reply> {
    let MultiPop { keys, end, count } = mpop::parse(call.from(1), |word| match word {
        word if is(word, "min") => Some(Direction::Forward),
        word if is(word, "max") => Some(Direction::Backward),
        _ => None,
    })?;
    let metas = gather(keys.iter().map(|key| keyspace.meta(key)))?;
    let Some((key, meta)) = mpop::first_present(keys, &metas, Kind::SortedSet)? else {
        return Ok(Reply::NullArray);
    };
    let popped = take(keyspace, key, meta.len, end, count)?;
    // Pairs are nested here, also in RESP2.
    let pairs = popped
        .into_iter()
        .map(|(member, score)| Reply::Array(vec![Reply::Bulk(member), Reply::Double(score)]));
    Ok(Reply::Array(vec![Reply::bulk(key), Reply::Array(pairs.collect())]))
}

/// Takes up to `count` of a sorted set's `len` members from the end that `end` starts from.
fn take(
    keyspace: &mut dyn KeyspaceMut,
    key: &[u8],
    len: u64,
    end: Direction,
    count: u64,
) -> Outcome<Vec<Scored>> {
    if count == 0 {
        return Ok(Vec::new());
    }
    let popped = collect_ranks(keyspace, key, len, 0, count.min(len), end)?;
    remove_members(keyspace, key, len, &popped)?;
    Ok(popped)
}
