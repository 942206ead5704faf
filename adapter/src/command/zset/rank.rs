//! ZRANK, ZREVRANK.

use bytes::Bytes;

use crate::command::arg::{is, meta_of};
use crate::command::{Call, text};
use crate::error::Outcome;
use crate::keyspace::{Direction, Flow, Keyspace, Kind, ScoreStart};
use crate::reply::Reply;

/// How many members the first stride of a search looks at.
const FIRST_STRIDE: u64 = 64;

/// `ZRANK key member [WITHSCORE]`
pub(super) fn zrank(keyspace: &dyn Keyspace, call: &Call<'_>) -> Outcome<Reply> {
    rank(keyspace, call, "zrank", Direction::Forward)
}

/// `ZREVRANK key member [WITHSCORE]`
pub(super) fn zrevrank(keyspace: &dyn Keyspace, call: &Call<'_>) -> Outcome<Reply> {
    rank(keyspace, call, "zrevrank", Direction::Backward)
}

fn rank(keyspace: &dyn Keyspace, call: &Call<'_>, name: &str, direction: Direction) -> Outcome<Reply> {
    let with_score = match call.from(3) {
        [] => false,
        [option] if is(option, "withscore") => true,
        [_] => return Err(text::SYNTAX),
        _ => return Err(text::wrong_arity(name)),
    };
    let (key, member) = (call.key(), call.arg(2));
    let Some(meta) = meta_of(keyspace, key, Kind::SortedSet)? else {
        return Ok(missing(with_score));
    };
    let Some(score) = keyspace.zset_score(key, member)? else {
        return Ok(missing(with_score));
    };
    let before = members_before(keyspace, key, meta.len, member, score)?;
    let rank = Reply::count(match direction {
        Direction::Forward => before,
        Direction::Backward => meta.len - 1 - before,
    });
    Ok(if with_score { Reply::Array(vec![rank, Reply::Double(score)]) } else { rank })
}

fn missing(with_score: bool) -> Reply {
    if with_score { Reply::NullArray } else { Reply::Null }
}

/// How many members sort before one. Strides towards both ends in turn, each twice as long as the last, so that
/// the cost is a small multiple of the distance to the nearer end.
fn members_before(keyspace: &dyn Keyspace, key: &[u8], len: u64, member: &[u8], score: f64) -> Outcome<u64> {
    let mut down = Search::new(Direction::Backward, member, score);
    let mut up = Search::new(Direction::Forward, member, score);
    let mut stride = FIRST_STRIDE;
    loop {
        if let Some(before) = down.stride(keyspace, key, stride)? {
            return Ok(before);
        }
        if let Some(behind) = up.stride(keyspace, key, stride)? {
            return Ok(len.saturating_sub(1 + behind));
        }
        stride *= 2;
    }
}

/// A search for an end of a sorted set.
struct Search {
    direction: Direction,
    /// The element that the last stride ended on.
    at: (Bytes, f64),
    /// Elements between the start and `at`, `at` included and the start not.
    passed: u64,
}

impl Search {
    fn new(direction: Direction, member: &[u8], score: f64) -> Self {
        Self { direction, at: (Bytes::copy_from_slice(member), score), passed: 0 }
    }

    /// Goes on by up to `most` elements. Answers how many there were in all, if the end is reached.
    fn stride(&mut self, keyspace: &dyn Keyspace, key: &[u8], most: u64) -> Outcome<Option<u64>> {
        let mut seen = 0;
        let mut last = None;
        let start = ScoreStart::Element(self.at.1, &self.at.0);
        keyspace.zset_visit_by_score(key, start, self.direction, &mut |member, score| {
            // The first element is the one that the last stride ended on.
            if seen == most {
                last = Some((Bytes::copy_from_slice(member), score));
                return Flow::Break(());
            }
            seen += 1;
            Flow::Continue(())
        })?;
        match last {
            Some(at) => {
                (self.at, self.passed) = (at, self.passed + most);
                Ok(None)
            }
            None => Ok(Some(self.passed + seen.saturating_sub(1))),
        }
    }
}
