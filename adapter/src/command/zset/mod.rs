//! The sorted-set commands.
//!
//! | module | commands |
//! |---|---|
//! | [`add`] | ZADD, ZINCRBY |
//! | [`read`] | ZCARD, ZSCORE, ZMSCORE, ZCOUNT, ZLEXCOUNT, ZSCAN, ZRANDMEMBER |
//! | [`rank`] | ZRANK, ZREVRANK |
//! | [`range`] | ZRANGE and its older forms, ZRANGESTORE |
//! | [`remove`] | ZREM, ZREMRANGEBYRANK, ZREMRANGEBYSCORE, ZREMRANGEBYLEX |
//! | [`pop`] | ZPOPMIN, ZPOPMAX, ZMPOP |
//! | [`algebra`] | ZUNION, ZINTER, ZDIFF, their STORE forms, ZINTERCARD |
//!
//! [`bounds`] reads the bounds of ranges, [`walk`] walks them, [`source`] is what the algebra reads.

mod add;
mod algebra;
mod bounds;
mod pop;
mod range;
mod rank;
mod read;
mod remove;
mod source;
mod table;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test's panic is its failure")]
mod tests;
mod walk;

pub use table::COMMANDS;

use std::cmp::Ordering;

use bytes::Bytes;

use crate::error::Outcome;
use crate::keyspace::{KeyspaceMut, Meta};
use crate::reply::Reply;

/// A member and its score.
type Scored = (Bytes, f64);

/// The reply of members without their scores.
fn members(found: Vec<Scored>) -> Reply {
    Reply::bulks(found.into_iter().map(|(member, _)| member))
}

/// The reply of members with their scores.
fn with_scores(found: Vec<Scored>) -> Reply {
    Reply::Pairs(
        found.into_iter().map(|(member, score)| (Reply::Bulk(member), Reply::Double(score))).collect(),
    )
}

/// Sorts by (score, member), as a sorted set does: a negative zero is a zero. Scores are never NaN.
fn sort(found: &mut [Scored]) {
    found.sort_unstable_by(|one, other| {
        one.1.partial_cmp(&other.1).unwrap_or(Ordering::Equal).then_with(|| one.0.cmp(&other.0))
    });
}

/// Replaces whatever `destination` holds (`present` is its meta) by the members, and answers their number.
fn store(
    keyspace: &mut dyn KeyspaceMut,
    destination: &[u8],
    present: Option<Meta>,
    members: &[Scored],
) -> Outcome<Reply> {
    if present.is_some() {
        keyspace.remove(destination)?;
    }
    for (member, score) in members {
        keyspace.zset_put(destination, member, *score)?;
    }
    Ok(Reply::count(members.len() as u64))
}

/// Removes members that are there from a sorted set with `len` of them.
fn remove_members(keyspace: &mut dyn KeyspaceMut, key: &[u8], len: u64, members: &[Scored]) -> Outcome<()> {
    if members.len() as u64 == len {
        return keyspace.remove(key).map(drop);
    }
    for (member, _) in members {
        keyspace.zset_remove(key, member)?;
    }
    Ok(())
}
