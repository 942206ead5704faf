//! Sorted sets: fewer forms than in Redis, and other ends of ranges.

use std::collections::HashSet;

use adapter::Reply;
use adapter::command::{arg, text};
use adapter::error::{Outcome, Stop};
use adapter::keyspace::Kind;

use super::{clamped, integer};
use crate::store::Store;

const NO_BOUND: Stop = Stop::text("ERR min or max is not a float");

/// No options, no infinity; of a repeated member the first score is stored.
pub(super) fn zadd(store: &mut Store, args: &[&[u8]]) -> Outcome<Reply> {
    let (head, pairs) = args.split_at(2);
    if !pairs.len().is_multiple_of(2) {
        return Err(text::SYNTAX);
    }
    let mut kept = head.to_vec();
    let mut met = HashSet::new();
    for pair in pairs.chunks_exact(2) {
        if !arg::float(pair[0])?.is_finite() {
            return Err(text::NOT_FLOAT);
        }
        if met.insert(pair[1]) {
            kept.extend(pair);
        }
    }
    store.run(&kept)
}

/// `ZRANGE key start stop [WITHSCORES]`
pub(super) fn zrange(store: &mut Store, args: &[&[u8]]) -> Outcome<Reply> {
    match &args[4..] {
        [] => {}
        [option] if arg::is(option, "withscores") => {}
        _ => return Err(text::SYNTAX),
    }
    clamp_and_run(store, args)
}

/// `ZREMRANGEBYRANK key start stop`
pub(super) fn zremrangebyrank(store: &mut Store, args: &[&[u8]]) -> Outcome<Reply> {
    clamp_and_run(store, args)
}

fn clamp_and_run(store: &mut Store, args: &[&[u8]]) -> Outcome<Reply> {
    let len = store.meta(args[1])?.map_or(0, |meta| meta.len);
    let (start, stop) = (clamped(args[2], len)?, clamped(args[3], len)?);
    let mut clamped = args.to_vec();
    (clamped[2], clamped[3]) = (&start, &stop);
    store.run(&clamped)
}

/// ZRANGEBYSCORE, ZREVRANGEBYSCORE, ZCOUNT: bounds are part of the range, always.
pub(super) fn by_score(store: &mut Store, args: &[&[u8]]) -> Outcome<Reply> {
    if args[2].starts_with(b"(") || args[3].starts_with(b"(") {
        return Err(NO_BOUND);
    }
    store.run(args)
}

/// Takes no sets as sources, and leaves the destination alone if there is nothing to store.
pub(super) fn zinterstore(store: &mut Store, args: &[&[u8]]) -> Outcome<Reply> {
    let count = arg::int(args[2])?;
    let sources = usize::try_from(count).ok().and_then(|count| args.get(3..count.checked_add(3)?));
    let Some(sources) = sources.filter(|sources| !sources.is_empty()) else { return store.run(args) };
    for source in sources {
        if store.meta(source)?.is_some_and(|meta| meta.kind == Kind::Set) {
            return Err(text::WRONG_TYPE);
        }
    }
    let mut intersect: Vec<&[u8]> = vec![b"zintercard", args[2]];
    intersect.extend(sources);
    if integer(&store.run(&intersect)?) == 0 { Ok(Reply::Integer(0)) } else { store.run(args) }
}
