//! ZRANGE and its older forms, ZRANGESTORE.

use crate::command::arg::{self, is, meta_of};
use crate::command::{Call, text};
use crate::error::{Outcome, Stop};
use crate::keyspace::{Direction, Keyspace, KeyspaceMut, Kind};
use crate::reply::Reply;

use super::bounds::{LexRange, ScoreRange};
use super::walk::{self, Limit, Range};
use super::{members, store, with_scores};

/// What the range is over.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Rank,
    Score,
    Lex,
}

/// What a command's name has already said; the rest is said by options.
#[derive(Clone, Copy, Default)]
struct Form {
    by: Option<By>,
    direction: Option<Direction>,
    stores: bool,
}

impl Form {
    const fn named(by: By, direction: Direction) -> Self {
        Self { by: Some(by), direction: Some(direction), stores: false }
    }
}

/// `ZRANGE key start stop [BYSCORE|BYLEX] [REV] [LIMIT offset count] [WITHSCORES]`
pub(super) fn zrange(keyspace: &dyn Keyspace, call: &Call<'_>) -> Outcome<Reply> {
    range(keyspace, call, Form::default())
}

/// `ZREVRANGE key start stop [WITHSCORES]`
pub(super) fn zrevrange(keyspace: &dyn Keyspace, call: &Call<'_>) -> Outcome<Reply> {
    range(keyspace, call, Form::named(By::Rank, Direction::Backward))
}

/// `ZRANGEBYSCORE key min max [WITHSCORES] [LIMIT offset count]`
pub(super) fn zrangebyscore(keyspace: &dyn Keyspace, call: &Call<'_>) -> Outcome<Reply> {
    range(keyspace, call, Form::named(By::Score, Direction::Forward))
}

/// `ZREVRANGEBYSCORE key max min [WITHSCORES] [LIMIT offset count]`
pub(super) fn zrevrangebyscore(keyspace: &dyn Keyspace, call: &Call<'_>) -> Outcome<Reply> {
    range(keyspace, call, Form::named(By::Score, Direction::Backward))
}

/// `ZRANGEBYLEX key min max [LIMIT offset count]`
pub(super) fn zrangebylex(keyspace: &dyn Keyspace, call: &Call<'_>) -> Outcome<Reply> {
    range(keyspace, call, Form::named(By::Lex, Direction::Forward))
}

/// `ZREVRANGEBYLEX key max min [LIMIT offset count]`
pub(super) fn zrevrangebylex(keyspace: &dyn Keyspace, call: &Call<'_>) -> Outcome<Reply> {
    range(keyspace, call, Form::named(By::Lex, Direction::Backward))
}

fn range(keyspace: &dyn Keyspace, call: &Call<'_>, form: Form) -> Outcome<Reply> {
    let wanted = Wanted::parse(call.from(2), form)?;
    let found = match meta_of(keyspace, call.key(), Kind::SortedSet)? {
        Some(meta) => wanted.collect(keyspace, call.key(), meta.len)?,
        None => Vec::new(),
    };
    Ok(if wanted.with_scores { with_scores(found) } else { members(found) })
}

/// `ZRANGESTORE destination source min max [BYSCORE|BYLEX] [REV] [LIMIT offset count]`
pub(super) fn zrangestore(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>) -> Outcome<Reply> {
    let (destination, source) = (call.arg(1), call.arg(2));
    let wanted = Wanted::parse(call.from(3), Form { stores: true, ..Form::default() })?;
    let present = keyspace.meta(destination);
    let found = match meta_of(keyspace, source, Kind::SortedSet)? {
        Some(meta) => wanted.collect(keyspace, source, meta.len)?,
        None => Vec::new(),
    };
    store(keyspace, destination, present?, &found)
}

/// A range and how to answer it.
struct Wanted<'a> {
    range: Range<'a>,
    direction: Direction,
    limit: Limit,
    with_scores: bool,
}

impl<'a> Wanted<'a> {
    /// Reads the arguments from the first bound on.
    fn parse(args: &[&'a [u8]], form: Form) -> Outcome<Self> {
        let [first, second, options @ ..] = args else { return Err(text::SYNTAX) };
        let mut options = options;
        let (mut by, mut direction, mut with_scores) = (form.by, form.direction, false);
        let (mut offset, mut count) = (0, -1);
        while let [option, rest @ ..] = options {
            options = rest;
            if !form.stores && is(option, "withscores") {
                with_scores = true;
            } else if is(option, "limit") && rest.len() >= 2 {
                (offset, count) = (arg::int(rest[0])?, arg::int(rest[1])?);
                options = &rest[2..];
            } else if direction.is_none() && is(option, "rev") {
                direction = Some(Direction::Backward);
            } else if by.is_none() && is(option, "bylex") {
                by = Some(By::Lex);
            } else if by.is_none() && is(option, "byscore") {
                by = Some(By::Score);
            } else {
                return Err(text::SYNTAX);
            }
        }
        let (by, direction) = (by.unwrap_or(By::Rank), direction.unwrap_or(Direction::Forward));
        if count != -1 && by == By::Rank {
            return Err(Stop::text(
                "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
            ));
        }
        if with_scores && by == By::Lex {
            return Err(Stop::text("ERR syntax error, WITHSCORES not supported in combination with BYLEX"));
        }
        let (min, max) = match direction {
            Direction::Forward => (*first, *second),
            Direction::Backward => (*second, *first),
        };
        let range = match by {
            By::Rank => Range::Rank(arg::int(first)?, arg::int(second)?),
            By::Score => Range::Score(ScoreRange::parse(min, max)?),
            By::Lex => Range::Lex(LexRange::parse(min, max)?),
        };
        Ok(Self { range, direction, limit: Limit::new(offset, count), with_scores })
    }

    fn collect(&self, keyspace: &dyn Keyspace, key: &[u8], len: u64) -> Outcome<Vec<super::Scored>> {
        walk::collect(keyspace, key, len, &self.range, self.direction, self.limit)
    }
}
