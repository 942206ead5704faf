//! Commands that look at all fields, or at any.

use crate::command::arg::{int, is, meta_of};
use crate::command::random::{self, Chance};
use crate::command::scan::{self, Pager};
use crate::command::{Call, text};
use crate::error::{Outcome, Stop};
use crate::keyspace::{Flow, Keyspace, Kind, Point, gather};
use crate::reply::Reply;

/// `HLEN key`
pub(super) fn hlen(keyspace: &dyn Keyspace, call: &Call<'_>) -> Outcome<Reply> {
    Ok(Reply::count(meta_of(keyspace, call.key(), Kind::Hash)?.map_or(0, |meta| meta.len)))
}

/// `HGETALL key`
pub(super) fn hgetall(keyspace: &dyn Keyspace, call: &Call<'_>) -> Outcome<Reply> {
    all(keyspace, call, |field, value| (Reply::bulk(field), Reply::bulk(value))).map(Reply::Map)
}

/// `HKEYS key`
pub(super) fn hkeys(keyspace: &dyn Keyspace, call: &Call<'_>) -> Outcome<Reply> {
    all(keyspace, call, |field, _| Reply::bulk(field)).map(Reply::Array)
}

/// `HVALS key`
pub(super) fn hvals(keyspace: &dyn Keyspace, call: &Call<'_>) -> Outcome<Reply> {
    all(keyspace, call, |_, value| Reply::bulk(value)).map(Reply::Array)
}

/// What `make` makes of every field and value; nothing for a missing key.
fn all<T>(keyspace: &dyn Keyspace, call: &Call<'_>, make: fn(&[u8], &[u8]) -> T) -> Outcome<Vec<T>> {
    let mut found = Vec::new();
    if meta_of(keyspace, call.key(), Kind::Hash)?.is_some() {
        keyspace.hash_visit(call.key(), Point::default(), &mut |_, field, value| {
            found.push(make(field, value));
            Flow::Continue(())
        })?;
    }
    Ok(found)
}

/// `HSCAN key cursor [MATCH pattern] [COUNT count]`
pub(super) fn hscan(keyspace: &dyn Keyspace, call: &Call<'_>) -> Outcome<Reply> {
    let Some(args) = scan::parse_for_key(keyspace, call, Kind::Hash)? else { return Ok(scan::empty()) };
    let Some(from) = args.from else { return Ok(scan::empty()) };
    let mut pager = Pager::new(&args);
    keyspace.hash_visit(call.key(), from, &mut |point, field, value| {
        pager.offer(point, field, |items| items.extend([Reply::bulk(field), Reply::bulk(value)]))
    })?;
    Ok(pager.reply())
}

/// `HRANDFIELD key [count [WITHVALUES]]`: a negative count picks with repeats.
pub(super) fn hrandfield(keyspace: &dyn Keyspace, call: &Call<'_>) -> Outcome<Reply> {
    let key = call.key();
    let chance = &mut Chance::new(call.seed);
    let visit: &mut random::Visit<'_> =
        &mut |from, each| keyspace.hash_visit(key, from, &mut |point, field, _| each(point, field));
    let Some((count, with_values)) = parse_count(call.from(2))? else {
        let field = match meta_of(keyspace, key, Kind::Hash)? {
            Some(_) => random::pick_one(chance, visit)?,
            None => None,
        };
        return Ok(Reply::bulk_or_null(field));
    };
    let Some(meta) = meta_of(keyspace, key, Kind::Hash)? else { return Ok(Reply::Array(Vec::new())) };
    let wanted = count.unsigned_abs();
    let fields = if count < 0 {
        random::pick_with_repeats(chance, meta.len, wanted, visit)?
    } else {
        random::pick_distinct(chance, meta.len, wanted, visit)?
    };
    if !with_values {
        return Ok(Reply::bulks(fields));
    }
    let values = gather(fields.iter().map(|field| keyspace.hash_get(key, field)))?;
    let pairs = fields.into_iter().zip(values);
    Ok(Reply::Pairs(pairs.map(|(field, value)| (Reply::Bulk(field), Reply::bulk_or_null(value))).collect()))
}

/// Reads HRANDFIELD's count, and whether values are wanted; none if there is no count.
fn parse_count(args: &[&[u8]]) -> Outcome<Option<(i64, bool)>> {
    let Some((count, options)) = args.split_first() else { return Ok(None) };
    let count = int(count)?;
    if count == i64::MIN {
        return Err(Stop::say(format!(
            "ERR value is out of range, value must between {} and {}",
            -i64::MAX,
            i64::MAX
        )));
    }
    match options {
        [] => Ok(Some((count, false))),
        [option] if is(option, "withvalues") => {
            if count.abs() > i64::MAX / 2 {
                return Err(Stop::text("ERR value is out of range"));
            }
            Ok(Some((count, true)))
        }
        _ => Err(text::SYNTAX),
    }
}
