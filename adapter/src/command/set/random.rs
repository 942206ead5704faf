//! SPOP, SRANDMEMBER, SSCAN.

use crate::command::arg::{self, meta_of};
use crate::command::random::{self, Chance};
use crate::command::scan::{self, Pager};
use crate::command::{Call, text};
use crate::error::Outcome;
use crate::keyspace::{Keyspace, KeyspaceMut, Kind};
use crate::reply::Reply;

use super::members::smembers;
use super::picks;

/// `SPOP key [count]`
pub(super) fn spop(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>) -> Outcome<Reply> {
    let count = match call.from(2) {
        [] => None,
        [count] => Some(arg::int_at_least(count, 0, "ERR value is out of range, must be positive")? as u64),
        _ => return Err(text::SYNTAX),
    };
    let key = call.key();
    let Some(meta) = meta_of(keyspace, key, Kind::Set)? else {
        return Ok(if count.is_some() { Reply::Set(Vec::new()) } else { Reply::Null });
    };
    let mut chance = Chance::new(call.seed);
    let Some(count) = count else {
        let member = random::pick_one(&mut chance, &mut |from, each| keyspace.set_visit(key, from, each))?;
        if let Some(member) = &member {
            keyspace.set_remove(key, member)?;
        }
        return Ok(Reply::bulk_or_null(member));
    };
    if count >= meta.len {
        let all = smembers(keyspace, call)?;
        keyspace.remove(key)?;
        return Ok(all);
    }
    let members = random::pick_distinct(&mut chance, meta.len, count, &mut |from, each| {
        keyspace.set_visit(key, from, each)
    })?;
    for member in &members {
        keyspace.set_remove(key, member)?;
    }
    Ok(Reply::Set(members.into_iter().map(Reply::Bulk).collect()))
}

/// `SRANDMEMBER key [count]`
pub(super) fn srandmember(keyspace: &dyn Keyspace, call: &Call<'_>) -> Outcome<Reply> {
    let count = match call.from(2) {
        [] => None,
        [count] => Some(picks::parse(count)?),
        _ => return Err(text::SYNTAX),
    };
    let key = call.key();
    let Some(meta) = meta_of(keyspace, key, Kind::Set)? else {
        return Ok(if count.is_some() { Reply::Array(Vec::new()) } else { Reply::Null });
    };
    let mut chance = Chance::new(call.seed);
    let visit = &mut |from, each: &mut random::NameVisitor<'_>| keyspace.set_visit(key, from, each);
    match count {
        None => Ok(Reply::bulk_or_null(random::pick_one(&mut chance, visit)?)),
        Some(count) => Ok(Reply::bulks(picks::pick(&mut chance, meta.len, count, visit)?)),
    }
}

/// `SSCAN key cursor [MATCH pattern] [COUNT count]`
pub(super) fn sscan(keyspace: &dyn Keyspace, call: &Call<'_>) -> Outcome<Reply> {
    let Some(args) = scan::parse_for_key(keyspace, call, Kind::Set)? else {
        return Ok(scan::empty());
    };
    let Some(from) = args.from else {
        return Ok(scan::empty());
    };
    let mut pager = Pager::new(&args);
    keyspace.set_visit(call.key(), from, &mut |point, member| {
        pager.offer(point, member, |items| items.push(Reply::bulk(member)))
    })?;
    Ok(pager.reply())
}
