//! Members of sets and sorted sets: repeated ones that are counted twice, and what becomes of a key then; lost ones;
//! and SCARD of nothing.
//!
//! How many members a key has, a Kiwi keeps beside them and believes. When that is 0, the key is gone with all that it
//! still has. When it is less, the key stays, empty or not, and takes no more members.

use std::collections::HashSet;

use adapter::Reply;
use adapter::error::{Outcome, Stop};
use adapter::keyspace::Kind;

use super::{integer, key_not_found};
use crate::fault::Fault;
use crate::lossy;
use crate::store::Store;

/// SREM, ZREM: counts each member that was there as often as it is named.
pub(super) fn remove(store: &mut Store, args: &[&[u8]]) -> Outcome<Reply> {
    let (key, sorted) = (args[1], args[0].eq_ignore_ascii_case(b"zrem"));
    let (probe, kind): (&[u8], _) =
        if sorted { (b"zscore", Kind::SortedSet) } else { (b"sismember", Kind::Set) };
    let mut counted = 0;
    for member in &args[2..] {
        counted += match store.run(&[probe, key, member])? {
            Reply::Double(_) => 1,
            other => integer(&other),
        };
    }
    let removed = integer(&store.run(args)?);
    store.add_surplus(key, kind, counted - removed);
    if counted > 0 && count(store, key)? == 0 {
        store.run(&[b"del", key])?;
    }
    Ok(Reply::Integer(counted))
}

/// How many members a Kiwi believes a key to have.
pub(super) fn count(store: &Store, key: &[u8]) -> Outcome<i64> {
    let there = store.meta(key)?.map_or(0, |meta| meta.len as i64);
    Ok(there - store.surplus(key).map_or(0, |(_, surplus)| surplus))
}

/// Refuses new members for a key that is believed to have less than none.
pub(super) fn check_count(store: &Store, key: &[u8], text: &'static str) -> Outcome<()> {
    if count(store, key)? < 0 { Err(Stop::text(text)) } else { Ok(()) }
}

/// A key that is believed to be there although nothing is left of it.
fn is_ghost(store: &Store, key: &[u8]) -> Outcome<bool> {
    Ok(store.surplus(key).is_some() && store.meta(key)?.is_none())
}

/// The reply to SCARD and ZCARD: what is believed, even below zero.
pub(super) fn zcard(store: &mut Store, args: &[&[u8]]) -> Outcome<Reply> {
    store.run(args)?;
    Ok(Reply::Integer(count(store, args[1])?))
}

/// A missing key is an error.
pub(super) fn scard(store: &mut Store, args: &[&[u8]]) -> Outcome<Reply> {
    let missing = store.meta(args[1])?.is_none() && !is_ghost(store, args[1])?;
    if missing && store.has(Fault::MissingKeys) {
        return Err(key_not_found(args[1]));
    }
    zcard(store, args)
}

/// Of members that look alike as text the first is stored.
pub(super) fn sadd(store: &mut Store, args: &[&[u8]]) -> Outcome<Reply> {
    check_count(store, args[1], "ERR Invalid argument: set size overflow")?;
    let (head, members) = args.split_at(2);
    let mut met = HashSet::new();
    let collide = store.has(Fault::LostMembers);
    let kept = members.iter().filter(|member| !collide || met.insert(lossy::as_text(member)));
    store.run(&head.iter().chain(kept).copied().collect::<Vec<_>>())
}

/// Removes what is believed to be there too.
pub(super) fn del(store: &mut Store, args: &[&[u8]]) -> Outcome<Reply> {
    let keys: HashSet<&[u8]> = args[1..].iter().copied().collect();
    let mut ghosts = 0;
    for key in keys {
        ghosts += i64::from(is_ghost(store, key)?);
    }
    Ok(Reply::Integer(integer(&store.run(args)?) + ghosts))
}

/// Counts what is believed to be there too.
pub(super) fn exists(store: &mut Store, args: &[&[u8]]) -> Outcome<Reply> {
    let mut there = integer(&store.run(args)?);
    for key in &args[1..] {
        there += i64::from(is_ghost(store, key)?);
    }
    Ok(Reply::Integer(there))
}

/// TYPE of what is believed to be there too.
pub(super) fn kind(store: &mut Store, args: &[&[u8]]) -> Outcome<Reply> {
    match store.surplus(args[1]) {
        Some((kind, _)) if is_ghost(store, args[1])? => {
            Ok(Reply::status(if kind == Kind::Set { "set" } else { "zset" }))
        }
        _ => store.run(args),
    }
}
