//! ZCARD, ZSCORE, ZMSCORE, ZCOUNT, ZLEXCOUNT, ZSCAN, ZRANDMEMBER.

use bytes::Bytes;

use crate::command::arg::{is, meta_of};
use crate::command::number::format_f64;
use crate::command::random::{self, Chance};
use crate::command::scan::{self, Pager};
use crate::command::set::picks;
use crate::command::{Call, text};
use crate::error::{Outcome, Stop};
use crate::keyspace::{Keyspace, Kind, gather};
use crate::reply::Reply;

use super::bounds::{LexRange, ScoreRange};
use super::walk::{self, Range};

/// `ZCARD key`
pub(super) fn zcard(keyspace: &dyn Keyspace, call: &Call<'_>) -> Outcome<Reply> {
    Ok(Reply::count(meta_of(keyspace, call.key(), Kind::SortedSet)?.map_or(0, |meta| meta.len)))
}

/// `ZSCORE key member`
pub(super) fn zscore(keyspace: &dyn Keyspace, call: &Call<'_>) -> Outcome<Reply> {
    Ok(match meta_of(keyspace, call.key(), Kind::SortedSet)? {
        Some(_) => keyspace.zset_score(call.key(), call.arg(2))?.map_or(Reply::Null, Reply::Double),
        None => Reply::Null,
    })
}

/// `ZMSCORE key member [member …]`
pub(super) fn zmscore(keyspace: &dyn Keyspace, call: &Call<'_>) -> Outcome<Reply> {
    let (key, members) = (call.key(), call.from(2));
    let scores = match meta_of(keyspace, key, Kind::SortedSet)? {
        Some(_) => gather(members.iter().map(|member| keyspace.zset_score(key, member)))?,
        None => vec![None; members.len()],
    };
    Ok(Reply::Array(scores.into_iter().map(|score| score.map_or(Reply::Null, Reply::Double)).collect()))
}

/// `ZCOUNT key min max`
pub(super) fn zcount(keyspace: &dyn Keyspace, call: &Call<'_>) -> Outcome<Reply> {
    let range = ScoreRange::parse(call.arg(2), call.arg(3))?;
    match meta_of(keyspace, call.key(), Kind::SortedSet)? {
        Some(meta) if range.is_everything() => Ok(Reply::count(meta.len)),
        Some(_) => Ok(Reply::count(walk::count(keyspace, call.key(), &Range::Score(range))?)),
        None => Ok(Reply::Integer(0)),
    }
}

/// `ZLEXCOUNT key min max`
pub(super) fn zlexcount(keyspace: &dyn Keyspace, call: &Call<'_>) -> Outcome<Reply> {
    let range = LexRange::parse(call.arg(2), call.arg(3))?;
    match meta_of(keyspace, call.key(), Kind::SortedSet)? {
        Some(_) => Ok(Reply::count(walk::count(keyspace, call.key(), &Range::Lex(range))?)),
        None => Ok(Reply::Integer(0)),
    }
}

/// `ZSCAN key cursor [MATCH pattern] [COUNT count]`
pub(super) fn zscan(keyspace: &dyn Keyspace, call: &Call<'_>) -> Outcome<Reply> {
    let Some(args) = scan::parse_for_key(keyspace, call, Kind::SortedSet)? else {
        return Ok(scan::empty());
    };
    let Some(from) = args.from else {
        return Ok(scan::empty());
    };
    let mut pager = Pager::new(&args);
    keyspace.zset_visit(call.key(), from, &mut |point, member, score| {
        pager.offer(point, member, |items| {
            // Scores are bulk strings here, also in RESP3.
            items.push(Reply::bulk(member));
            items.push(Reply::Bulk(Bytes::from(format_f64(score))));
        })
    })?;
    Ok(pager.reply())
}

/// `ZRANDMEMBER key [count [WITHSCORES]]`
pub(super) fn zrandmember(keyspace: &dyn Keyspace, call: &Call<'_>) -> Outcome<Reply> {
    let count = match call.args.get(2) {
        Some(count) => Some(picks::parse(count)?),
        None => None,
    };
    let with_scores = match call.from(3) {
        [] => false,
        [option] if is(option, "withscores") => true,
        _ => return Err(text::SYNTAX),
    };
    // Redis would count members and scores in one signed integer.
    if with_scores && count.is_some_and(|count| count.unsigned_abs() > i64::MAX as u64 / 2) {
        return Err(Stop::text("ERR value is out of range"));
    }
    let key = call.key();
    let Some(meta) = meta_of(keyspace, key, Kind::SortedSet)? else {
        return Ok(if count.is_some() { Reply::Array(Vec::new()) } else { Reply::Null });
    };
    let mut chance = Chance::new(call.seed);
    let visit = &mut |from, each: &mut random::NameVisitor<'_>| {
        keyspace.zset_visit(key, from, &mut |point, member, _| each(point, member))
    };
    let Some(count) = count else {
        return Ok(Reply::bulk_or_null(random::pick_one(&mut chance, visit)?));
    };
    let members = picks::pick(&mut chance, meta.len, count, visit)?;
    if !with_scores {
        return Ok(Reply::bulks(members));
    }
    let scores = gather(members.iter().map(|member| keyspace.zset_score(key, member)))?;
    let scores = scores.into_iter().map(|score| score.map_or(Reply::Null, Reply::Double));
    Ok(Reply::Pairs(members.into_iter().map(Reply::Bulk).zip(scores).collect()))
}
