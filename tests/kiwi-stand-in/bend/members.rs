//! Members of sets, hashes and sorted sets: repeated ones counted twice, lost ones, and SCARD of nothing.

use adapter::Reply;
use adapter::error::Outcome;

use super::{integer, key_not_found};
use crate::lossy;
use crate::store::Store;

/// SREM, HDEL, ZREM: counts each member that was there as often as it is named.
pub(super) fn remove(store: &mut Store, args: &[&[u8]]) -> Outcome<Reply> {
    let sorted = args[0].eq_ignore_ascii_case(b"zrem");
    let probe: &[u8] = match args[0].to_ascii_lowercase().as_slice() {
        b"hdel" => b"hexists",
        b"srem" => b"sismember",
        _ => b"zscore",
    };
    let mut counted = 0;
    for member in &args[2..] {
        counted += match store.run(&[probe, args[1], member])? {
            Reply::Double(_) => 1,
            other => integer(&other),
        };
    }
    let removed = integer(&store.run(args)?);
    if sorted {
        store.add_surplus(args[1], counted - removed);
    }
    Ok(Reply::Integer(counted))
}

/// Believes what ZREM has counted, even below zero.
pub(super) fn zcard(store: &mut Store, args: &[&[u8]]) -> Outcome<Reply> {
    let there = integer(&store.run(args)?);
    Ok(Reply::Integer(there - store.surplus(args[1])))
}

/// All members that are not UTF-8 are one: the first is stored.
pub(super) fn sadd(store: &mut Store, args: &[&[u8]]) -> Outcome<Reply> {
    let (head, members) = args.split_at(2);
    let mut met = false;
    let kept = members.iter().filter(|member| lossy::is_text(member) || !std::mem::replace(&mut met, true));
    store.run(&head.iter().chain(kept).copied().collect::<Vec<_>>())
}

/// A missing key is an error.
pub(super) fn scard(store: &mut Store, args: &[&[u8]]) -> Outcome<Reply> {
    if store.meta(args[1])?.is_none() {
        return Err(key_not_found(args[1]));
    }
    store.run(args)
}
