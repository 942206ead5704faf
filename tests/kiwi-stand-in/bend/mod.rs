//! The commands that answer or do something else than in Redis. Each is made of commands as Redis has them.

mod expiry;
mod lists;
mod members;
mod numbers;
mod pages;
mod parts;
mod scan;
mod sorted;

pub(crate) use pages::MemberCursors;
pub(crate) use scan::Cursors;

use adapter::error::{Outcome, Stop};
use adapter::{Reply, command::arg};

use crate::fault::Fault;
use crate::lossy;
use crate::store::Store;

/// What runs instead of the command of this name.
pub(crate) struct Bend {
    name: &'static str,
    /// The switches, each of which turns it on.
    pub(crate) faults: &'static [Fault],
    /// Runs it. The number of arguments is one that Redis allows.
    pub(crate) run: fn(&mut Store, &[&[u8]]) -> Outcome<Reply>,
}

const fn bend(
    name: &'static str,
    fault: &'static Fault,
    run: fn(&mut Store, &[&[u8]]) -> Outcome<Reply>,
) -> Bend {
    Bend { name, faults: std::slice::from_ref(fault), run }
}

static BENDS: &[Bend] = &[
    bend("setrange", &Fault::Numbers, numbers::setrange),
    bend("incr", &Fault::Numbers, numbers::incr),
    bend("decr", &Fault::Numbers, numbers::incr),
    bend("incrby", &Fault::Numbers, numbers::incr),
    bend("decrby", &Fault::Numbers, numbers::decrby),
    bend("incrbyfloat", &Fault::Numbers, numbers::incrbyfloat),
    bend("expire", &Fault::Expiry, expiry::expire),
    bend("pexpire", &Fault::Expiry, expiry::pexpire),
    bend("expireat", &Fault::Expiry, expiry::expireat),
    bend("pexpireat", &Fault::Expiry, expiry::expireat),
    bend("ttl", &Fault::Expiry, expiry::ttl),
    bend("scan", &Fault::ScanCursors, scan::scan),
    bend("hscan", &Fault::MemberCursors, pages::hscan),
    bend("sscan", &Fault::MemberCursors, pages::sscan),
    bend("hset", &Fault::TornWrites, parts::hset),
    bend("mset", &Fault::TornWrites, parts::mset),
    bend("hstrlen", &Fault::LossyReplies, hstrlen),
    bend("del", &Fault::RepeatedMembers, members::del),
    bend("exists", &Fault::RepeatedMembers, members::exists),
    bend("type", &Fault::RepeatedMembers, members::kind),
    bend("srem", &Fault::RepeatedMembers, members::remove),
    bend("zrem", &Fault::RepeatedMembers, members::remove),
    bend("zcard", &Fault::RepeatedMembers, members::zcard),
    Bend { name: "sadd", faults: &[Fault::LostMembers, Fault::RepeatedMembers], run: members::sadd },
    Bend { name: "scard", faults: &[Fault::MissingKeys, Fault::RepeatedMembers], run: members::scard },
    bend("linsert", &Fault::Lists, lists::linsert),
    bend("lrange", &Fault::Lists, lists::lrange),
    bend("ltrim", &Fault::Lists, lists::ltrim),
    bend("rpoplpush", &Fault::Lists, lists::rpoplpush),
    bend("lpop", &Fault::MissingKeys, lists::pop),
    bend("rpop", &Fault::MissingKeys, lists::pop),
    Bend {
        name: "zadd",
        faults: &[Fault::SortedSets, Fault::TinyScores, Fault::RepeatedMembers],
        run: sorted::zadd,
    },
    bend("zrange", &Fault::SortedSets, sorted::zrange),
    bend("zremrangebyrank", &Fault::SortedSets, sorted::zremrangebyrank),
    bend("zrangebyscore", &Fault::SortedSets, sorted::by_score),
    bend("zrevrangebyscore", &Fault::SortedSets, sorted::by_score),
    bend("zcount", &Fault::SortedSets, sorted::zcount),
    Bend { name: "zinterstore", faults: &[Fault::SortedSets, Fault::Instances], run: sorted::zinterstore },
    bend("zunionstore", &Fault::Instances, sorted::zunionstore),
];

/// What runs instead of the command of this name, if anything.
pub(crate) fn of(name: &str) -> Option<&'static Bend> {
    BENDS.iter().find(|bend| bend.name == name)
}

/// The error that some commands answer where Redis answers 0.
fn key_not_found(key: &[u8]) -> Stop {
    Stop::say(format!("ERR Key not found: {}", lossy::as_text(key)))
}

/// The integer that a command answers; 0 for any other reply.
fn integer(reply: &Reply) -> i64 {
    if let Reply::Integer(value) = reply { *value } else { 0 }
}

/// A negative index counts from the end; one before the beginning is the beginning. Redis says "nothing" to a stop
/// before the beginning.
fn clamped(index: &[u8], len: u64) -> Outcome<Vec<u8>> {
    let index = arg::int(index)?;
    let index = if index < 0 { index.saturating_add_unsigned(len).max(0) } else { index };
    Ok(index.to_string().into_bytes())
}

/// HSTRLEN measures what HGET would show.
fn hstrlen(store: &mut Store, args: &[&[u8]]) -> Outcome<Reply> {
    Ok(match store.run(&[b"hget", args[1], args[2]])? {
        Reply::Bulk(value) => Reply::count(lossy::as_text(&value).len() as u64),
        _ => Reply::Integer(0),
    })
}
