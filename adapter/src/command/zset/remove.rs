//! ZREM, ZREMRANGEBYRANK, ZREMRANGEBYSCORE, ZREMRANGEBYLEX.

use crate::command::Call;
use crate::command::arg::meta_of;
use crate::error::Outcome;
use crate::keyspace::{Direction, KeyspaceMut, Kind, gather};
use crate::reply::Reply;

use super::bounds::{LexRange, ScoreRange};
use super::remove_members;
use super::walk::{self, Limit, Range};

/// `ZREM key member [member …]`
pub(super) fn zrem(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>) -> Outcome<Reply> {
    let (key, members) = (call.key(), call.from(2));
    if meta_of(keyspace, key, Kind::SortedSet)?.is_none() {
        return Ok(Reply::Integer(0));
    }
    // A single removal needs no look before: it is the first write.
    if members.len() > 1 {
        gather(members.iter().map(|member| keyspace.zset_score(key, member)))?;
    }
    let mut removed = 0;
    for member in members {
        removed += u64::from(keyspace.zset_remove(key, member)?.is_some());
    }
    Ok(Reply::count(removed))
}

/// `ZREMRANGEBYRANK key start stop`
pub(super) fn zremrangebyrank(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>) -> Outcome<Reply> {
    let range = Range::Rank(call.int(2)?, call.int(3)?);
    remove_range(keyspace, call.key(), &range)
}

/// `ZREMRANGEBYSCORE key min max`
pub(super) fn zremrangebyscore(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>) -> Outcome<Reply> {
    let range = Range::Score(ScoreRange::parse(call.arg(2), call.arg(3))?);
    remove_range(keyspace, call.key(), &range)
}

/// `ZREMRANGEBYLEX key min max`
pub(super) fn zremrangebylex(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>) -> Outcome<Reply> {
    let range = Range::Lex(LexRange::parse(call.arg(2), call.arg(3))?);
    remove_range(keyspace, call.key(), &range)
}

fn remove_range(keyspace: &mut dyn KeyspaceMut, key: &[u8], range: &Range<'_>) -> Outcome<Reply> {
    let Some(meta) = meta_of(keyspace, key, Kind::SortedSet)? else {
        return Ok(Reply::Integer(0));
    };
    if range.is_everything(meta.len) {
        keyspace.remove(key)?;
        return Ok(Reply::count(meta.len));
    }
    // All of them before the first removal: reads come before writes.
    let found = walk::collect(keyspace, key, meta.len, range, Direction::Forward, Limit::ALL)?;
    remove_members(keyspace, key, meta.len, &found)?;
    Ok(Reply::count(found.len() as u64))
}
