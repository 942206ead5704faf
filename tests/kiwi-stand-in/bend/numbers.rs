//! Numbers in strings: INCR and its like, and SETRANGE.

use adapter::Reply;
use adapter::command::arg;
use adapter::error::Outcome;

use crate::store::Store;

/// An empty value pads too.
pub(super) fn setrange(store: &mut Store, args: &[&[u8]]) -> Outcome<Reply> {
    let len = store.run(&[b"strlen", args[1]])?;
    let offset = arg::int(args[2])?;
    if args[3].is_empty() && matches!(len, Reply::Integer(len) if len < offset) {
        return store.run(&[args[0], args[1], (offset - 1).to_string().as_bytes(), b"\0"]);
    }
    store.run(args)
}

/// INCR, DECR, INCRBY: takes numbers that Redis calls none.
pub(super) fn incr(store: &mut Store, args: &[&[u8]]) -> Outcome<Reply> {
    if let Some(number) = lenient(store, args[1]) {
        put(store, args[1], &number.to_string())?;
    }
    store.run(args)
}

/// Taking the least number away overflows.
pub(super) fn decrby(store: &mut Store, args: &[&[u8]]) -> Outcome<Reply> {
    if arg::parse_i64(args[2]) != Some(i64::MIN) {
        return incr(store, args);
    }
    // Adding 0 answers the number, or the error that there is none.
    let Reply::Integer(number) = incr(store, &[b"incrby", args[1], b"0"])? else { return store.run(args) };
    let sum = number.wrapping_sub(i64::MIN);
    put(store, args[1], &sum.to_string())?;
    Ok(Reply::Integer(sum))
}

/// Adds doubles, with all that is wrong with them.
pub(super) fn incrbyfloat(store: &mut Store, args: &[&[u8]]) -> Outcome<Reply> {
    let number = match store.run(&[b"get", args[1]])? {
        Reply::Bulk(text) => arg::parse_f64(&text),
        _ => Some(0.0),
    };
    let sum = number.zip(arg::parse_f64(args[2])).map(|(number, more)| number + more);
    let Some(sum) = sum.filter(|sum| sum.is_finite()) else { return store.run(args) };
    let text = sum.to_string();
    put(store, args[1], &text)?;
    Ok(Reply::bulk(text.as_bytes()))
}

/// The number that a key holds in a form that Redis refuses: `007`, `-0`.
fn lenient(store: &mut Store, key: &[u8]) -> Option<i64> {
    let Ok(Reply::Bulk(text)) = store.run(&[b"get", key]) else { return None };
    if arg::parse_i64(&text).is_some() || text.starts_with(b"+") {
        return None;
    }
    std::str::from_utf8(&text).ok()?.parse().ok()
}

fn put(store: &mut Store, key: &[u8], text: &str) -> Outcome<Reply> {
    store.run(&[b"set", key, text.as_bytes(), b"keepttl"])
}
