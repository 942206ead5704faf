//! Redis Cluster's hash slots: every key belongs to one of 16384. Here they all are in one place, but clients that know
//! clusters think in them.

use crate::command::{Call, arg};
use crate::error::Outcome;
use crate::keyspace::{Flow, Keyspace, Point};
use crate::reply::Reply;

/// How many slots there are.
pub const SLOTS: u16 = 16384;

/// The name of the internal command that looks into a slot.
pub const LOOK: &str = "raft.slot";

/// The slot of a key: the CRC16 of what stands between its first `{` and the `}` behind it, if that is something, or of
/// the whole key.
pub fn of(key: &[u8]) -> u16 {
    redis_protocol::redis_keyslot(key)
}

/// `raft.slot slot [most]`: how many keys are in a slot, or at most so many of them.
pub(super) fn look(keyspace: &dyn Keyspace, call: &Call<'_>) -> Outcome<Reply> {
    let slot = arg::int(call.arg(1))?;
    let most = call.from(2).first().map(|most| arg::int(most)).transpose()?;
    let (mut count, mut keys) = (0, Vec::new());
    let is_full = |keys: &Vec<Reply>| most.is_some_and(|most| keys.len() as i64 >= most);
    if !is_full(&keys) {
        keyspace.visit_keys(Point(0), &mut |_, key, _| {
            if i64::from(of(key)) == slot {
                count += 1;
                if most.is_some() {
                    keys.push(Reply::bulk(key));
                }
            }
            if is_full(&keys) { Flow::Break(()) } else { Flow::Continue(()) }
        })?;
    }
    Ok(if most.is_some() { Reply::Array(keys) } else { Reply::count(count) })
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn slots_are_those_of_redis() {
        // What `CLUSTER KEYSLOT` of Redis 7 answers.
        for (key, slot) in [
            ("", 0),
            ("123456789", 12739),
            ("foo", 12182),
            ("somekey", 11058),
            ("foo{hash_tag}", 2515),
            ("bar{hash_tag}", 2515),
            ("{}foo", 9500),
            ("foo{}{bar}", 8363),
            ("foo{{bar}}zap", 4015),
            ("foo{bar}{zap}", 5061),
            ("foo{bar", 15278),
        ] {
            assert_eq!(of(key.as_bytes()), slot, "{key}");
        }
    }
}
