//! OBJECT. The storages here have encodings of their own, so ENCODING answers what Redis 7.2 with its default
//! limits would choose for the value, as far as that can be told from the value alone.

use super::rdb::listpack;
use crate::command::{Call, arg};
use crate::error::{Outcome, Stop};
use crate::keyspace::{Direction, Flow, Keyspace, Kind, Meta, Point};
use crate::reply::Reply;

const NO_LFU: Stop = Stop::text(
    "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching \
     between policies at runtime LRU and LFU data will take some time to adjust.",
);

/// The longest text of a 64-bit integer.
const LONGEST_INTEGER: u64 = 20;
/// The longest string that Redis allocates together with its header.
const LONGEST_EMBEDDED: u64 = 44;
/// The most bytes of a list in one listpack (`list-max-listpack-size -2`).
const LIST_LISTPACK_BYTES: usize = 8 * 1024;
/// `set-max-intset-entries`
const INTSET_ENTRIES: u64 = 512;
/// `set-max-listpack-entries`, `zset-max-listpack-entries`
const SET_LISTPACK_ENTRIES: u64 = 128;
/// `hash-max-listpack-entries`
const HASH_LISTPACK_ENTRIES: u64 = 512;
/// `set-max-listpack-value`, `zset-max-listpack-value`, `hash-max-listpack-value`
const LISTPACK_VALUE: usize = 64;

const HELP: &[&str] = &[
    "OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "ENCODING <key>",
    "    Return the kind of internal representation used in order to store the value",
    "    associated with a <key>.",
    "FREQ <key>",
    "    Return the access frequency index of the <key>. The returned integer is",
    "    proportional to the logarithm of the recent access frequency of the key.",
    "IDLETIME <key>",
    "    Return the idle time of the <key>, that is the approximated number of",
    "    seconds elapsed since the last access to the key.",
    "REFCOUNT <key>",
    "    Return the number of references of the value associated with the specified",
    "    <key>.",
    "HELP",
    "    Prints this help.",
];

/// `OBJECT HELP`
pub(super) fn help(_keyspace: &dyn Keyspace, _call: &Call<'_>) -> Outcome<Reply> {
    Ok(Reply::Array(HELP.iter().copied().map(Reply::status).collect()))
}

/// `OBJECT FREQ key`: nothing here evicts, so no frequency is kept.
pub(super) fn freq(keyspace: &dyn Keyspace, call: &Call<'_>) -> Outcome<Reply> {
    match keyspace.meta(call.arg(2))? {
        Some(_) => Err(NO_LFU),
        None => Ok(Reply::Null),
    }
}

/// `OBJECT IDLETIME key`: the time of the last access is not kept; 0 says "just now".
pub(super) fn idletime(keyspace: &dyn Keyspace, call: &Call<'_>) -> Outcome<Reply> {
    Ok(keyspace.meta(call.arg(2))?.map_or(Reply::Null, |_| Reply::Integer(0)))
}

/// `OBJECT REFCOUNT key`: values are not shared.
pub(super) fn refcount(keyspace: &dyn Keyspace, call: &Call<'_>) -> Outcome<Reply> {
    Ok(keyspace.meta(call.arg(2))?.map_or(Reply::Null, |_| Reply::Integer(1)))
}

/// `OBJECT ENCODING key`
pub(super) fn encoding(keyspace: &dyn Keyspace, call: &Call<'_>) -> Outcome<Reply> {
    let key = call.arg(2);
    let Some(meta) = keyspace.meta(key)? else { return Ok(Reply::Null) };
    let name = match meta.kind {
        Kind::String => string(keyspace, key, &meta)?,
        Kind::List => list(keyspace, key)?,
        Kind::Set => set(keyspace, key, &meta)?,
        Kind::SortedSet => sorted_set(keyspace, key, &meta)?,
        Kind::Hash => hash(keyspace, key, &meta)?,
    };
    Ok(Reply::bulk(name.as_bytes()))
}

fn string(keyspace: &dyn Keyspace, key: &[u8], meta: &Meta) -> Outcome<&'static str> {
    if meta.len > LONGEST_EMBEDDED {
        return Ok("raw");
    }
    if meta.len > LONGEST_INTEGER {
        return Ok("embstr");
    }
    let value = keyspace.string(key)?.unwrap_or_default();
    Ok(if arg::parse_i64(&value).is_some() { "int" } else { "embstr" })
}

fn list(keyspace: &dyn Keyspace, key: &[u8]) -> Outcome<&'static str> {
    let mut bytes = listpack::EMPTY_SIZE;
    keyspace.list_visit(key, 0, Direction::Forward, &mut |_, element| {
        bytes += listpack::entry_size(element);
        go_on_if(bytes <= LIST_LISTPACK_BYTES)
    })?;
    Ok(if bytes <= LIST_LISTPACK_BYTES { "listpack" } else { "quicklist" })
}

fn set(keyspace: &dyn Keyspace, key: &[u8], meta: &Meta) -> Outcome<&'static str> {
    let mut integers = meta.len <= INTSET_ENTRIES;
    let mut short = meta.len <= SET_LISTPACK_ENTRIES;
    if integers || short {
        keyspace.set_visit(key, Point(0), &mut |_, member| {
            integers &= arg::parse_i64(member).is_some();
            short &= member.len() <= LISTPACK_VALUE;
            go_on_if(integers || short)
        })?;
    }
    Ok(match (integers, short) {
        (true, _) => "intset",
        (false, true) => "listpack",
        (false, false) => "hashtable",
    })
}

fn sorted_set(keyspace: &dyn Keyspace, key: &[u8], meta: &Meta) -> Outcome<&'static str> {
    let mut short = meta.len <= SET_LISTPACK_ENTRIES;
    if short {
        keyspace.zset_visit(key, Point(0), &mut |_, member, _| {
            short &= member.len() <= LISTPACK_VALUE;
            go_on_if(short)
        })?;
    }
    Ok(if short { "listpack" } else { "skiplist" })
}

fn hash(keyspace: &dyn Keyspace, key: &[u8], meta: &Meta) -> Outcome<&'static str> {
    let mut short = meta.len <= HASH_LISTPACK_ENTRIES;
    if short {
        keyspace.hash_visit(key, Point(0), &mut |_, field, value| {
            short &= field.len() <= LISTPACK_VALUE && value.len() <= LISTPACK_VALUE;
            go_on_if(short)
        })?;
    }
    Ok(if short { "listpack" } else { "hashtable" })
}

fn go_on_if(condition: bool) -> Flow {
    if condition { Flow::Continue(()) } else { Flow::Break(()) }
}
