//! Whole values of one key.

use bytes::Bytes;

use super::expiry::Expiry;
use crate::command::arg::{is, meta_of};
use crate::command::{Call, text};
use crate::error::Outcome;
use crate::keyspace::{Keyspace, KeyspaceMut, Kind, Meta};
use crate::reply::Reply;

/// `GET key`
pub(super) fn get(keyspace: &dyn Keyspace, call: &Call<'_>) -> Outcome<Reply> {
    value_of(keyspace, call.key()).map(|(_, value)| Reply::bulk_or_null(value))
}

/// The meta and the value of a key that must be a string if it is there.
fn value_of(keyspace: &(impl Keyspace + ?Sized), key: &[u8]) -> Outcome<(Option<Meta>, Option<Bytes>)> {
    let meta = meta_of(keyspace, key, Kind::String)?;
    let value = if meta.is_some() { keyspace.string(key)? } else { None };
    Ok((meta, value))
}

/// What SET does about a key that is there, or is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    Always,
    IfMissing,
    IfPresent,
}

/// The options of SET.
struct SetOptions<'a> {
    condition: Condition,
    get: bool,
    keep_deadline: bool,
    expiry: Option<Expiry<'a>>,
}

impl<'a> SetOptions<'a> {
    fn parse(mut args: &[&'a [u8]]) -> Outcome<Self> {
        let mut options =
            Self { condition: Condition::Always, get: false, keep_deadline: false, expiry: None };
        while let [option, rest @ ..] = args {
            args = rest;
            if is(option, "nx") && options.condition != Condition::IfPresent {
                options.condition = Condition::IfMissing;
            } else if is(option, "xx") && options.condition != Condition::IfMissing {
                options.condition = Condition::IfPresent;
            } else if is(option, "get") {
                options.get = true;
            } else if is(option, "keepttl") && options.expiry.is_none() {
                options.keep_deadline = true;
            } else {
                let (text, rest) = rest.split_first().ok_or(text::SYNTAX)?;
                let expiry = Expiry::option(option, text).ok_or(text::SYNTAX)?;
                if options.keep_deadline
                    || options.expiry.is_some_and(|earlier| !earlier.same_option(&expiry))
                {
                    return Err(text::SYNTAX);
                }
                options.expiry = Some(expiry);
                args = rest;
            }
        }
        Ok(options)
    }
}

impl Expiry<'_> {
    /// Whether both came from the same option; the last of those wins, different ones exclude each other.
    fn same_option(&self, other: &Self) -> bool {
        (self.seconds, self.absolute) == (other.seconds, other.absolute)
    }
}

/// `SET key value [NX | XX] [GET] [EX seconds | PX milliseconds | EXAT … | PXAT … | KEEPTTL]`
pub(super) fn set(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>) -> Outcome<Reply> {
    let (key, value) = (call.key(), call.arg(2));
    let options = SetOptions::parse(call.from(3))?;
    let deadline = options.expiry.map(|expiry| expiry.deadline(keyspace.now_ms(), "set")).transpose()?;
    if options.condition == Condition::Always && !options.get && !options.keep_deadline {
        // The common form needs to read nothing.
        keyspace.string_put(key, value, deadline)?;
        return Ok(Reply::OK);
    }
    let (meta, old) = if options.get { value_of(keyspace, key)? } else { (keyspace.meta(key)?, None) };
    let refused = match options.condition {
        Condition::Always => false,
        Condition::IfMissing => meta.is_some(),
        Condition::IfPresent => meta.is_none(),
    };
    if !refused {
        let kept = meta.filter(|_| options.keep_deadline).and_then(|meta| meta.deadline);
        keyspace.string_put(key, value, deadline.or(kept))?;
    }
    Ok(if options.get {
        Reply::bulk_or_null(old)
    } else if refused {
        Reply::Null
    } else {
        Reply::OK
    })
}

/// `SETNX key value`
pub(super) fn setnx(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>) -> Outcome<Reply> {
    if keyspace.meta(call.key())?.is_some() {
        return Ok(Reply::Integer(0));
    }
    keyspace.string_put(call.key(), call.arg(2), None)?;
    Ok(Reply::Integer(1))
}

/// `SETEX key seconds value`
pub(super) fn setex(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>) -> Outcome<Reply> {
    set_with_expiry(keyspace, call, true, "setex")
}

/// `PSETEX key milliseconds value`
pub(super) fn psetex(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>) -> Outcome<Reply> {
    set_with_expiry(keyspace, call, false, "psetex")
}

fn set_with_expiry(
    keyspace: &mut dyn KeyspaceMut,
    call: &Call<'_>,
    seconds: bool,
    command: &str,
) -> Outcome<Reply> {
    let expiry = Expiry { text: call.arg(2), seconds, absolute: false };
    let deadline = expiry.deadline(keyspace.now_ms(), command)?;
    keyspace.string_put(call.key(), call.arg(3), Some(deadline))?;
    Ok(Reply::OK)
}

/// `GETSET key value`
pub(super) fn getset(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>) -> Outcome<Reply> {
    let (_, old) = value_of(keyspace, call.key())?;
    keyspace.string_put(call.key(), call.arg(2), None)?;
    Ok(Reply::bulk_or_null(old))
}

/// `GETDEL key`
pub(super) fn getdel(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>) -> Outcome<Reply> {
    let (meta, old) = value_of(keyspace, call.key())?;
    if meta.is_some() {
        keyspace.remove(call.key())?;
    }
    Ok(Reply::bulk_or_null(old))
}

/// `GETEX key [EX seconds | PX milliseconds | EXAT … | PXAT … | PERSIST]`
pub(super) fn getex(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>) -> Outcome<Reply> {
    let (persist, expiry) = parse_getex(call.from(2))?;
    let key = call.key();
    let (Some(meta), value) = value_of(keyspace, key)? else { return Ok(Reply::Null) };
    if let Some(expiry) = expiry {
        let deadline = expiry.deadline(keyspace.now_ms(), "getex")?;
        if deadline <= keyspace.now_ms() {
            keyspace.remove(key)?;
        } else {
            keyspace.set_deadline(key, Some(deadline))?;
        }
    } else if persist && meta.deadline.is_some() {
        keyspace.set_deadline(key, None)?;
    }
    Ok(Reply::bulk_or_null(value))
}

fn parse_getex<'a>(mut args: &[&'a [u8]]) -> Outcome<(bool, Option<Expiry<'a>>)> {
    let (mut persist, mut expiry): (bool, Option<Expiry<'_>>) = (false, None);
    while let [option, rest @ ..] = args {
        args = rest;
        if is(option, "persist") && expiry.is_none() {
            persist = true;
            continue;
        }
        let (text, rest) = rest.split_first().ok_or(text::SYNTAX)?;
        let next = Expiry::option(option, text).ok_or(text::SYNTAX)?;
        if persist || expiry.is_some_and(|earlier| !earlier.same_option(&next)) {
            return Err(text::SYNTAX);
        }
        expiry = Some(next);
        args = rest;
    }
    Ok((persist, expiry))
}
