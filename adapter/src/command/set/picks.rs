//! The count of SRANDMEMBER and ZRANDMEMBER: positive for different members, negative for members that may repeat.

use bytes::Bytes;

use crate::command::arg;
use crate::command::random::{Chance, Visit, pick_distinct, pick_with_repeats};
use crate::error::{Outcome, Stop};

/// Reads the count.
pub(in crate::command) fn parse(count: &[u8]) -> Outcome<i64> {
    match arg::int(count)? {
        i64::MIN => Err(Stop::text(
            "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
        )),
        count => Ok(count),
    }
}

/// Picks as many members as the count says from a collection of `len`.
pub(in crate::command) fn pick(
    chance: &mut Chance,
    len: u64,
    count: i64,
    visit: &mut Visit<'_>,
) -> Outcome<Vec<Bytes>> {
    let number = count.unsigned_abs();
    match count {
        0 => Ok(Vec::new()),
        1.. => pick_distinct(chance, len, number, visit),
        _ => pick_with_repeats(chance, len, number, visit),
    }
}
