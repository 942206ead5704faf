//! Sorted sets: fewer forms than in Redis, and other ends of ranges.

use std::collections::HashSet;

use adapter::Reply;
use adapter::command::{arg, text};
use adapter::error::{Outcome, Stop};
use adapter::keyspace::Kind;

use super::{clamped, integer, members};
use crate::fault::Fault;
use crate::slot;
use crate::store::Store;

/// A key that no test has.
const NOWHERE: &[u8] = b"\0kiwi-stand-in\0nowhere\0";
const NO_BOUND: Stop = Stop::text("ERR min or max is not a float");

/// No options, no infinity; of a repeated member the first score is stored, and none that is next to the present one.
pub(super) fn zadd(store: &mut Store, args: &[&[u8]]) -> Outcome<Reply> {
    members::check_count(store, args[1], "ERR zset size overflow")?;
    let (head, pairs) = args.split_at(2);
    if !pairs.len().is_multiple_of(2) {
        return Err(text::wrong_arity("zadd"));
    }
    let plain = store.has(Fault::SortedSets);
    let mut kept = head.to_vec();
    let mut met = HashSet::new();
    for pair in pairs.chunks_exact(2) {
        let score = arg::float(pair[0])?;
        if plain && !score.is_finite() {
            return Err(text::NOT_FLOAT);
        }
        let is_new = met.insert(pair[1]) || !plain;
        if is_new && !is_next_to(store, args[1], pair[1], score)? {
            kept.extend(pair);
        }
    }
    if kept.len() == head.len() { Ok(Reply::Integer(0)) } else { store.run(&kept) }
}

/// Whether a member has a score so near to this that it is taken for the same.
fn is_next_to(store: &mut Store, key: &[u8], member: &[u8], score: f64) -> Outcome<bool> {
    Ok(match store.run(&[b"zscore", key, member])? {
        Reply::Double(present) if store.has(Fault::TinyScores) => (score - present).abs() < f64::EPSILON,
        _ => false,
    })
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
    let len = members::count(store, args[1])?.max(0).unsigned_abs();
    let (start, stop) = (clamped(args[2], len)?, clamped(args[3], len)?);
    let mut clamped = args.to_vec();
    (clamped[2], clamped[3]) = (&start, &stop);
    store.run(&clamped)
}

/// Bounds are part of the range, and the texts are others.
pub(super) fn zcount(store: &mut Store, args: &[&[u8]]) -> Outcome<Reply> {
    if args[2..].iter().any(|bound| arg::float(bound).is_err()) {
        return Err(Stop::text("invalid float literal"));
    }
    store.run(args)
}

/// ZRANGEBYSCORE, ZREVRANGEBYSCORE: bounds are part of the range, always.
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
    if !store.has(Fault::SortedSets) {
        return zunionstore(store, args);
    }
    for source in sources {
        if store.meta(source)?.is_some_and(|meta| meta.kind == Kind::Set) {
            return Err(text::WRONG_TYPE);
        }
    }
    let mut intersect: Vec<&[u8]> = vec![b"zintercard", args[2]];
    intersect.extend(sources);
    let is_empty = integer(&store.run(&intersect)?) == 0
        || sources.iter().any(|source| is_elsewhere(store, args[1], source));
    if is_empty { Ok(Reply::Integer(0)) } else { store.run(args) }
}

/// Sources in other instances than the destination's are taken for missing. ZINTERSTORE too.
pub(super) fn zunionstore(store: &mut Store, args: &[&[u8]]) -> Outcome<Reply> {
    let count = usize::try_from(arg::int(args[2])?).unwrap_or(0);
    let mut seen = args.to_vec();
    for source in seen.iter_mut().skip(3).take(count) {
        if is_elsewhere(store, args[1], source) {
            *source = NOWHERE;
        }
    }
    store.run(&seen)
}

fn is_elsewhere(store: &Store, destination: &[u8], source: &[u8]) -> bool {
    let instance = |key| slot::instance(key, store.instances());
    store.has(Fault::Instances) && instance(source) != instance(destination)
}
