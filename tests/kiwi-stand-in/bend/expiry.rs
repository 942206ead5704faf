//! EXPIRE and its like, whose times of zero or less do not delete, and TTL, which floors.

use adapter::Reply;
use adapter::command::arg;
use adapter::error::{Outcome, Stop};

use crate::store::Store;

/// A time to live of zero or less is answered with 0 and changes nothing.
pub(super) fn expire(store: &mut Store, args: &[&[u8]]) -> Outcome<Reply> {
    if arg::int(args[2])? <= 0 { Ok(Reply::Integer(0)) } else { store.run(args) }
}

/// A time to live of zero or less is an error.
pub(super) fn pexpire(store: &mut Store, args: &[&[u8]]) -> Outcome<Reply> {
    if arg::int(args[2])? <= 0 {
        return Err(Stop::text("ERR invalid expire time in pexpire"));
    }
    store.run(args)
}

/// EXPIREAT and PEXPIREAT: a time before 1970, or its beginning, is an error. A later one in the past deletes.
pub(super) fn expireat(store: &mut Store, args: &[&[u8]]) -> Outcome<Reply> {
    if arg::int(args[2])? <= 0 {
        return Err(Stop::text("ERR Invalid format: Invalid Unix timestamp"));
    }
    store.run(args)
}

/// Whole seconds that are left, not rounded.
pub(super) fn ttl(store: &mut Store, args: &[&[u8]]) -> Outcome<Reply> {
    Ok(match store.run(&[b"pttl", args[1]])? {
        Reply::Integer(left @ 0..) => Reply::Integer(left / 1000),
        other => other,
    })
}
