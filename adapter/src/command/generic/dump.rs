//! DUMP and RESTORE: a key's value as bytes that travel between this and real Redis servers.

use super::rdb::value::Item;
use super::rdb::writer::{put_length, put_score, put_string};
use super::rdb::{self, types, value};
use crate::command::arg::{self, int_at_least, is};
use crate::command::{Call, text};
use crate::error::{Outcome, Stop};
use crate::keyspace::{Direction, End, Flow, Keyspace, KeyspaceMut, Kind, Meta, Point, ScoreStart};
use crate::reply::Reply;

const BUSY_KEY: Stop = Stop::text("BUSYKEY Target key name already exists.");
const BAD_TTL: &str = "ERR Invalid TTL value, must be >= 0";
const BAD_IDLE_TIME: &str = "ERR Invalid IDLETIME value, must be >= 0";
const BAD_FREQUENCY: Stop = Stop::text("ERR Invalid FREQ value, must be >= 0 and <= 255");

/// `DUMP key`
pub(super) fn dump(keyspace: &dyn Keyspace, call: &Call<'_>) -> Outcome<Reply> {
    let key = call.key();
    match keyspace.meta(key)? {
        Some(meta) => Ok(Reply::Bulk(rdb::seal(encode(keyspace, key, &meta)?))),
        None => Ok(Reply::Null),
    }
}

fn encode(keyspace: &dyn Keyspace, key: &[u8], meta: &Meta) -> Outcome<Vec<u8>> {
    let mut body = Vec::new();
    match meta.kind {
        Kind::String => {
            body.push(types::STRING);
            put_string(&mut body, &keyspace.string(key)?.unwrap_or_default());
        }
        Kind::List => {
            start(&mut body, types::LIST, meta);
            keyspace.list_visit(key, 0, Direction::Forward, &mut |_, element| {
                put_string(&mut body, element);
                Flow::Continue(())
            })?;
        }
        Kind::Set => {
            start(&mut body, types::SET, meta);
            keyspace.set_visit(key, Point(0), &mut |_, member| {
                put_string(&mut body, member);
                Flow::Continue(())
            })?;
        }
        Kind::SortedSet => {
            start(&mut body, types::ZSET_2, meta);
            // As Redis does: from the greatest on, which loads fastest there.
            keyspace.zset_visit_by_score(
                key,
                ScoreStart::Edge,
                Direction::Backward,
                &mut |member, score| {
                    put_string(&mut body, member);
                    put_score(&mut body, score);
                    Flow::Continue(())
                },
            )?;
        }
        Kind::Hash => {
            start(&mut body, types::HASH, meta);
            keyspace.hash_visit(key, Point(0), &mut |_, field, value| {
                put_string(&mut body, field);
                put_string(&mut body, value);
                Flow::Continue(())
            })?;
        }
    }
    Ok(body)
}

fn start(body: &mut Vec<u8>, kind: u8, meta: &Meta) {
    body.push(kind);
    put_length(body, meta.len);
}

/// The options of RESTORE that matter here; IDLETIME and FREQ are checked, but there is no eviction to use them.
#[derive(Default)]
struct Options {
    replace: bool,
    absolute: bool,
}

impl Options {
    fn parse(mut words: &[&[u8]]) -> Outcome<Self> {
        let mut options = Self::default();
        let (mut idle_time, mut frequency) = (false, false);
        while let [word, rest @ ..] = words {
            words = rest;
            if is(word, "replace") {
                options.replace = true;
            } else if is(word, "absttl") {
                options.absolute = true;
            } else if is(word, "idletime") && !rest.is_empty() && !frequency {
                arg::int(rest[0])?;
                int_at_least(rest[0], 0, BAD_IDLE_TIME)?;
                idle_time = true;
                words = &rest[1..];
            } else if is(word, "freq") && !rest.is_empty() && !idle_time {
                if !(0..=255).contains(&arg::int(rest[0])?) {
                    return Err(BAD_FREQUENCY);
                }
                frequency = true;
                words = &rest[1..];
            } else {
                return Err(text::SYNTAX);
            }
        }
        Ok(options)
    }
}

/// `RESTORE key ttl serialized-value [REPLACE] [ABSTTL] [IDLETIME seconds] [FREQ frequency]`
pub(super) fn restore(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>) -> Outcome<Reply> {
    let options = Options::parse(call.from(4))?;
    let key = call.key();
    let exists = keyspace.meta(key)?.is_some();
    if exists && !options.replace {
        return Err(BUSY_KEY);
    }
    call.int(2)?;
    let ttl = int_at_least(call.arg(2), 0, BAD_TTL)?;
    let body = rdb::open(call.arg(3))?;
    value::check(body)?;
    let now = keyspace.now_ms();
    let deadline = match ttl {
        0 => None,
        _ if options.absolute => Some(ttl),
        // A sum that no integer holds is a time long past, as in Redis.
        _ => Some(ttl.wrapping_add_unsigned(now)),
    };
    if exists {
        keyspace.remove(key)?;
    }
    match deadline.map(|deadline| u64::try_from(deadline).unwrap_or(0)) {
        Some(deadline) if deadline <= now => {}
        deadline => decode(keyspace, key, body, deadline)?,
    }
    Ok(Reply::OK)
}

fn decode(keyspace: &mut dyn KeyspaceMut, key: &[u8], body: &[u8], deadline: Option<u64>) -> Outcome<()> {
    value::visit(body, &mut |item| match item {
        Item::String(value) => keyspace.string_put(key, value, None),
        Item::Element(element) => keyspace.list_push(key, End::Tail, element),
        Item::Member(member) => keyspace.set_put(key, member).map(drop),
        Item::Scored(member, score) => keyspace.zset_put(key, member, score).map(drop),
        Item::Field(field, value) => keyspace.hash_put(key, field, value).map(drop),
    })?;
    match deadline {
        Some(_) => keyspace.set_deadline(key, deadline),
        None => Ok(()),
    }
}
