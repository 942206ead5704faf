//! Walking a range of a sorted set: by rank, by score or by member, in either direction.

use bytes::Bytes;

use crate::command::arg::index_range;
use crate::error::Outcome;
use crate::keyspace::{Direction, Flow, Keyspace, ScoreStart, gather};

use super::Scored;
use super::bounds::{LexBound, LexRange, ScoreRange};

/// Which members of a sorted set.
#[derive(Clone, Copy, Debug)]
pub(super) enum Range<'a> {
    /// From one index to another, negative ones from the end; index 0 is where the walk starts.
    Rank(i64, i64),
    /// By score.
    Score(ScoreRange),
    /// By member.
    Lex(LexRange<'a>),
}

impl Range<'_> {
    /// Whether the whole of a sorted set with `len` members is known to be in the range without a look at it.
    pub(super) fn is_everything(&self, len: u64) -> bool {
        match self {
            Self::Rank(start, stop) => index_range(*start, *stop, len) == Some((0, len)),
            Self::Score(range) => range.is_everything(),
            Self::Lex(range) => (range.min, range.max) == (LexBound::Lowest, LexBound::Highest),
        }
    }
}

/// A part of a range: `LIMIT offset count`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    /// Members to pass over.
    pub(super) skip: u64,
    /// Members to take.
    pub(super) take: u64,
}

impl Limit {
    /// The whole range.
    pub(super) const ALL: Self = Self { skip: 0, take: u64::MAX };

    /// Redis's reading of `LIMIT`: a negative count takes all, a negative offset none.
    pub(super) fn new(offset: i64, count: i64) -> Self {
        match u64::try_from(offset) {
            Ok(skip) => Self { skip, take: u64::try_from(count).unwrap_or(u64::MAX) },
            Err(_) => Self { skip: 0, take: 0 },
        }
    }
}

/// The members of the sorted set `key`, which has `len` of them, that are in a range.
pub(super) fn collect(
    keyspace: &dyn Keyspace,
    key: &[u8],
    len: u64,
    range: &Range<'_>,
    direction: Direction,
    limit: Limit,
) -> Outcome<Vec<Scored>> {
    let mut members = Vec::new();
    let take = &mut |member: &[u8], score: f64| members.push((Bytes::copy_from_slice(member), score));
    match range {
        Range::Rank(start, stop) => {
            let Some((start, end)) = index_range(*start, *stop, len) else { return Ok(members) };
            return collect_ranks(keyspace, key, len, start, end, direction);
        }
        Range::Score(range) => visit_scores(keyspace, key, range, direction, limit, take)?,
        Range::Lex(range) => visit_lex(keyspace, key, range, direction, limit, take)?,
    }
    Ok(members)
}

/// How many members are in a range of scores or members.
pub(super) fn count(keyspace: &dyn Keyspace, key: &[u8], range: &Range<'_>) -> Outcome<u64> {
    let mut count = 0;
    let take = &mut |_: &[u8], _: f64| count += 1;
    match range {
        Range::Rank(..) => {}
        Range::Score(range) => visit_scores(keyspace, key, range, Direction::Forward, Limit::ALL, take)?,
        Range::Lex(range) => visit_lex(keyspace, key, range, Direction::Forward, Limit::ALL, take)?,
    }
    Ok(count)
}

/// The members at the ranks `start..end`, counted from where `direction` starts. Reached from the nearer end.
pub(super) fn collect_ranks(
    keyspace: &dyn Keyspace,
    key: &[u8],
    len: u64,
    start: u64,
    end: u64,
    direction: Direction,
) -> Outcome<Vec<Scored>> {
    let (far, wanted) = (len - end, end - start);
    let turned = far < start;
    let walked = if turned { opposite(direction) } else { direction };
    let mut skip = start.min(far);
    let mut members = Vec::new();
    keyspace.zset_visit_by_score(key, ScoreStart::Edge, walked, &mut |member, score| {
        match skip.checked_sub(1) {
            Some(fewer) => skip = fewer,
            None => members.push((Bytes::copy_from_slice(member), score)),
        }
        if members.len() as u64 == wanted { Flow::Break(()) } else { Flow::Continue(()) }
    })?;
    if turned {
        members.reverse();
    }
    Ok(members)
}

fn opposite(direction: Direction) -> Direction {
    match direction {
        Direction::Forward => Direction::Backward,
        Direction::Backward => Direction::Forward,
    }
}

fn visit_scores(
    keyspace: &dyn Keyspace,
    key: &[u8],
    range: &ScoreRange,
    direction: Direction,
    limit: Limit,
    take: &mut dyn FnMut(&[u8], f64),
) -> Outcome<()> {
    if range.is_empty() {
        return Ok(());
    }
    let mut window = Window { limit, take };
    let start = match direction {
        Direction::Forward => range.min,
        Direction::Backward => range.max,
    };
    keyspace.zset_visit_by_score(key, ScoreStart::Score(start), direction, &mut |member, score| {
        if score < range.min || score > range.max {
            return Flow::Break(());
        }
        window.offer(member, score)
    })
}

/// The range is looked for as Redis looks for it in a small sorted set, also if scores differ: from the first
/// member inside one bound to the last before the other, if the ends of the set do not tell that there is none.
fn visit_lex(
    keyspace: &dyn Keyspace,
    key: &[u8],
    range: &LexRange<'_>,
    direction: Direction,
    limit: Limit,
    take: &mut dyn FnMut(&[u8], f64),
) -> Outcome<()> {
    let ends = gather([edge(keyspace, key, Direction::Forward), edge(keyspace, key, Direction::Backward)])?;
    let [Some((first, lowest)), Some((last, highest))] = ends.as_slice() else {
        return Ok(());
    };
    if range.is_empty() || !range.is_from(last) || !range.is_up_to(first) {
        return Ok(());
    }
    let bound = match direction {
        Direction::Forward => range.min,
        Direction::Backward => range.max,
    };
    let alike = lowest == highest;
    let start = match bound.member() {
        Some(member) if alike => ScoreStart::Element(*lowest, member),
        _ => ScoreStart::Edge,
    };
    let mut window = Window { limit, take };
    let mut inside = false;
    keyspace.zset_visit_by_score(key, start, direction, &mut |member, score| {
        let (entered, left) = match direction {
            Direction::Forward => (range.is_from(member), !range.is_up_to(member)),
            Direction::Backward => (range.is_up_to(member), !range.is_from(member)),
        };
        if !inside && !entered {
            return Flow::Continue(());
        }
        // It shows only if scores differ: behind the first member, those that the offset passes over may be
        // outside the range.
        let ends = left && (!inside || alike || window.limit.skip == 0);
        inside = true;
        if ends { Flow::Break(()) } else { window.offer(member, score) }
    })
}

/// The member that a direction starts from.
fn edge(keyspace: &dyn Keyspace, key: &[u8], direction: Direction) -> Outcome<Option<Scored>> {
    let mut found = None;
    keyspace.zset_visit_by_score(key, ScoreStart::Edge, direction, &mut |member, score| {
        found = Some((Bytes::copy_from_slice(member), score));
        Flow::Break(())
    })?;
    Ok(found)
}

/// Lets the part of a range through that `LIMIT` asks for.
struct Window<'t> {
    limit: Limit,
    take: &'t mut dyn FnMut(&[u8], f64),
}

impl Window<'_> {
    fn offer(&mut self, member: &[u8], score: f64) -> Flow {
        if self.limit.take == 0 {
            return Flow::Break(());
        }
        if self.limit.skip > 0 {
            self.limit.skip -= 1;
            return Flow::Continue(());
        }
        (self.take)(member, score);
        self.limit.take -= 1;
        if self.limit.take == 0 { Flow::Break(()) } else { Flow::Continue(()) }
    }
}
