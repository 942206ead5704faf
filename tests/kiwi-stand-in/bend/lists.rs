//! LINSERT, LRANGE, LTRIM, RPOPLPUSH, and LPOP and RPOP with a count.

use adapter::Reply;
use adapter::command::{arg, text};
use adapter::error::Outcome;
use adapter::keyspace::Kind;

use super::{integer, key_not_found};
use crate::store::Store;

/// An element that no test has.
const MARKER: &[u8] = b"\0kiwi-stand-in\0marker\0";

/// Takes the last pivot; a missing key is an error.
pub(super) fn linsert(store: &mut Store, args: &[&[u8]]) -> Outcome<Reply> {
    let (key, pivot) = (args[1], args[3]);
    if store.meta(key)?.is_none() {
        return Err(key_not_found(key));
    }
    let last = store.run(&[b"lpos", key, pivot, b"rank", b"-1"])?;
    if last == Reply::Null {
        return store.run(args);
    }
    // Redis takes the first: for a moment, the last pivot is something that is there once.
    let index = integer(&last);
    store.run(&[b"lset", key, index.to_string().as_bytes(), MARKER])?;
    let reply = store.run(&[args[0], key, args[2], MARKER, args[4]]);
    let moved = if reply.is_ok() && arg::is(args[2], "before") { index + 1 } else { index };
    store.run(&[b"lset", key, moved.to_string().as_bytes(), pivot])?;
    reply
}

/// A range that begins past the end is the last element.
pub(super) fn lrange(store: &mut Store, args: &[&[u8]]) -> Outcome<Reply> {
    let len = integer(&store.run(&[b"llen", args[1]])?);
    let past = len > 0 && arg::int(args[2])? >= len && arg::int(args[3]).is_ok();
    if past { store.run(&[args[0], args[1], b"-1", b"-1"]) } else { store.run(args) }
}

/// A start behind the end is the last element, which stays if the stop is not before it.
pub(super) fn ltrim(store: &mut Store, args: &[&[u8]]) -> Outcome<Reply> {
    let len = integer(&store.run(&[b"llen", args[1]])?);
    if len == 0 || arg::int(args[2])? < len {
        return store.run(args);
    }
    store.run(&[args[0], args[1], (len - 1).to_string().as_bytes(), args[3]])
}

/// A destination of the wrong type is noticed when the element is no longer in the source.
pub(super) fn rpoplpush(store: &mut Store, args: &[&[u8]]) -> Outcome<Reply> {
    match store.meta(args[2])? {
        Some(meta) if meta.kind != Kind::List => match store.run(&[b"rpop", args[1]])? {
            Reply::Null => Ok(Reply::Null),
            _ => Err(text::WRONG_TYPE),
        },
        _ => store.run(args),
    }
}

/// With a count, a missing key is a null string and not a null array; LPOP takes no count of 0.
pub(super) fn pop(store: &mut Store, args: &[&[u8]]) -> Outcome<Reply> {
    if args.get(2).is_some_and(|count| *count == b"0") && args[0].eq_ignore_ascii_case(b"lpop") {
        return Err(text::NOT_INTEGER);
    }
    Ok(match store.run(args)? {
        Reply::NullArray => Reply::Null,
        other => other,
    })
}
