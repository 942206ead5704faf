//! ZADD, ZINCRBY.

use crate::command::arg::{self, is, meta_of};
use crate::command::{Call, text};
use crate::error::{Outcome, Stop};
use crate::keyspace::{KeyspaceMut, Kind, gather};
use crate::reply::Reply;

/// `ZADD key [NX|XX] [GT|LT] [CH] [INCR] score member [score member …]`
pub(super) fn zadd(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>) -> Outcome<Reply> {
    add(keyspace, call, Options::default())
}

/// `ZINCRBY key increment member`
pub(super) fn zincrby(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>) -> Outcome<Reply> {
    add(keyspace, call, Options { incr: true, ..Options::default() })
}

#[derive(Clone, Copy, Default)]
struct Options {
    /// Only new members.
    nx: bool,
    /// Only members that are there.
    xx: bool,
    /// Members that are there only get greater scores.
    gt: bool,
    /// Members that are there only get smaller scores.
    lt: bool,
    /// Count changed members too.
    ch: bool,
    /// Add to the score, and answer the sum.
    incr: bool,
}

impl Options {
    /// Reads options up to the first argument that is none; answers the scores and members.
    fn parse<'c, 'a>(&mut self, mut args: &'c [&'a [u8]]) -> Outcome<&'c [&'a [u8]]> {
        while let [word, rest @ ..] = args {
            let flag = match *word {
                word if is(word, "nx") => &mut self.nx,
                word if is(word, "xx") => &mut self.xx,
                word if is(word, "gt") => &mut self.gt,
                word if is(word, "lt") => &mut self.lt,
                word if is(word, "ch") => &mut self.ch,
                word if is(word, "incr") => &mut self.incr,
                _ => break,
            };
            *flag = true;
            args = rest;
        }
        if args.is_empty() || !args.len().is_multiple_of(2) {
            return Err(text::SYNTAX);
        }
        if self.nx && self.xx {
            return Err(Stop::text("ERR XX and NX options at the same time are not compatible"));
        }
        if (self.nx && (self.gt || self.lt)) || (self.gt && self.lt) {
            return Err(Stop::text("ERR GT, LT, and/or NX options at the same time are not compatible"));
        }
        if self.incr && args.len() > 2 {
            return Err(Stop::text("ERR INCR option supports a single increment-element pair"));
        }
        Ok(args)
    }

    /// Whether a new score is always just put, whatever the old one.
    fn is_plain(&self) -> bool {
        !(self.nx || self.xx || self.gt || self.lt || self.incr)
    }

    /// The score that a member gets; none if it stays as it is.
    fn new_score(&self, old: Option<f64>, given: f64) -> Outcome<Option<f64>> {
        let Some(old) = old else {
            return Ok((!self.xx).then_some(given));
        };
        if self.nx {
            return Ok(None);
        }
        let score = if self.incr { old + given } else { given };
        if score.is_nan() {
            return Err(Stop::text("ERR resulting score is not a number (NaN)"));
        }
        let refused = (self.lt && score >= old) || (self.gt && score <= old);
        Ok((!refused).then_some(score))
    }
}

fn add(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>, mut options: Options) -> Outcome<Reply> {
    let key = call.key();
    let args = options.parse(call.from(2))?;
    let mut pairs = Vec::with_capacity(args.len() / 2);
    for pair in args.chunks_exact(2) {
        // Sorted sets do not hold a negative zero.
        pairs.push((arg::float(pair[0])? + 0.0, pair[1]));
    }
    let there = meta_of(keyspace, key, Kind::SortedSet)?.is_some();
    if there && (pairs.len() > 1 || !options.is_plain()) {
        gather(pairs.iter().map(|(_, member)| keyspace.zset_score(key, member)))?;
    }
    let (mut added, mut changed) = (0, 0);
    for (given, member) in pairs {
        let old = if options.is_plain() {
            keyspace.zset_put(key, member, given)?.map(|old| (old, given))
        } else {
            // Read again: the same member may have come before in this call.
            let old = if there || added > 0 { keyspace.zset_score(key, member)? } else { None };
            let Some(score) = options.new_score(old, given)? else {
                if options.incr {
                    return Ok(Reply::Null);
                }
                continue;
            };
            keyspace.zset_put(key, member, score)?;
            if options.incr {
                return Ok(Reply::Double(score + 0.0));
            }
            old.map(|old| (old, score))
        };
        match old {
            None => added += 1,
            Some((old, new)) => changed += i64::from(old != new),
        }
    }
    Ok(Reply::Integer(if options.ch { added + changed } else { added }))
}
