//! ZUNION, ZINTER, ZDIFF, ZINTERCARD, and the STORE forms.

use std::collections::HashMap;

use bytes::Bytes;

use crate::command::arg::{self, int_at_least, is};
use crate::command::{Call, text};
use crate::error::{Outcome, Stop};
use crate::keyspace::{Flow, Keyspace, KeyspaceMut, gather};
use crate::reply::Reply;

use super::source::{Source, number};
use super::{Scored, members, sort, store, with_scores};

/// What is made of the sources.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    Union,
    Inter,
    Diff,
    /// How many members the intersection has.
    InterCard,
}

/// How the scores of one member in several sources become one.
#[derive(Clone, Copy)]
enum Aggregate {
    Sum,
    Min,
    Max,
}

impl Aggregate {
    fn of(self, score: f64, other: f64) -> f64 {
        match self {
            Self::Sum => number(score + other),
            Self::Min => score.min(other),
            Self::Max => score.max(other),
        }
    }
}

/// `ZUNION numkeys key [key …] [WEIGHTS weight …] [AGGREGATE SUM|MIN|MAX] [WITHSCORES]`
pub(super) fn zunion(keyspace: &dyn Keyspace, call: &Call<'_>) -> Outcome<Reply> {
    answer(keyspace, call, "zunion", Operation::Union)
}

/// `ZINTER numkeys key [key …] [WEIGHTS weight …] [AGGREGATE SUM|MIN|MAX] [WITHSCORES]`
pub(super) fn zinter(keyspace: &dyn Keyspace, call: &Call<'_>) -> Outcome<Reply> {
    answer(keyspace, call, "zinter", Operation::Inter)
}

/// `ZDIFF numkeys key [key …] [WITHSCORES]`
pub(super) fn zdiff(keyspace: &dyn Keyspace, call: &Call<'_>) -> Outcome<Reply> {
    answer(keyspace, call, "zdiff", Operation::Diff)
}

fn answer(keyspace: &dyn Keyspace, call: &Call<'_>, name: &str, operation: Operation) -> Outcome<Reply> {
    let request = Request::parse(keyspace, call.from(1), name, operation, false)?;
    let result = request.run(keyspace)?;
    Ok(if request.with_scores { with_scores(result) } else { members(result) })
}

/// `ZUNIONSTORE destination numkeys key [key …] [WEIGHTS weight …] [AGGREGATE SUM|MIN|MAX]`
pub(super) fn zunionstore(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>) -> Outcome<Reply> {
    answer_count(keyspace, call, "zunionstore", Operation::Union)
}

/// `ZINTERSTORE destination numkeys key [key …] [WEIGHTS weight …] [AGGREGATE SUM|MIN|MAX]`
pub(super) fn zinterstore(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>) -> Outcome<Reply> {
    answer_count(keyspace, call, "zinterstore", Operation::Inter)
}

/// `ZDIFFSTORE destination numkeys key [key …]`
pub(super) fn zdiffstore(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>) -> Outcome<Reply> {
    answer_count(keyspace, call, "zdiffstore", Operation::Diff)
}

fn answer_count(
    keyspace: &mut dyn KeyspaceMut,
    call: &Call<'_>,
    name: &str,
    operation: Operation,
) -> Outcome<Reply> {
    let present = keyspace.meta(call.key());
    let request = Request::parse(keyspace, call.from(2), name, operation, true)?;
    let result = request.run(keyspace)?;
    store(keyspace, call.key(), present?, &result)
}

/// `ZINTERCARD numkeys key [key …] [LIMIT limit]`
pub(super) fn zintercard(keyspace: &dyn Keyspace, call: &Call<'_>) -> Outcome<Reply> {
    let request = Request::parse(keyspace, call.from(1), "zintercard", Operation::InterCard, false)?;
    let most = if request.limit == 0 { u64::MAX } else { request.limit };
    let mut count = 0;
    request.visit_intersection(keyspace, |members| {
        count += members.len() as u64;
        if count >= most { Flow::Break(()) } else { Flow::Continue(()) }
    })?;
    Ok(Reply::count(count.min(most)))
}

struct Request<'a> {
    operation: Operation,
    sources: Vec<Source<'a>>,
    aggregate: Aggregate,
    with_scores: bool,
    /// `LIMIT` of ZINTERCARD; 0 for none.
    limit: u64,
}

impl<'a> Request<'a> {
    /// Reads the arguments from `numkeys` on. Redis looks at the keys' types before the options.
    fn parse(
        keyspace: &dyn Keyspace,
        args: &[&'a [u8]],
        name: &str,
        operation: Operation,
        stores: bool,
    ) -> Outcome<Self> {
        let (numkeys, rest) = args.split_first().ok_or(text::SYNTAX)?;
        let numkeys = arg::int(numkeys)?;
        if numkeys < 1 {
            return Err(Stop::say(format!("ERR at least 1 input key is needed for '{name}' command")));
        }
        let (keys, options) =
            usize::try_from(numkeys).ok().and_then(|at| rest.split_at_checked(at)).ok_or(text::SYNTAX)?;
        let metas = gather(keys.iter().map(|key| keyspace.meta(key)))?;
        let sources =
            keys.iter().zip(metas).map(|(key, meta)| Source::new(key, meta)).collect::<Outcome<Vec<_>>>()?;
        let mut request =
            Self { operation, sources, aggregate: Aggregate::Sum, with_scores: false, limit: 0 };
        request.parse_options(options, stores)?;
        Ok(request)
    }

    fn parse_options(&mut self, mut options: &[&[u8]], stores: bool) -> Outcome<()> {
        let weighs = matches!(self.operation, Operation::Union | Operation::Inter);
        let counts = self.operation == Operation::InterCard;
        while let [option, rest @ ..] = options {
            options = if weighs && is(option, "weights") && rest.len() >= self.sources.len() {
                let (weights, rest) = rest.split_at(self.sources.len());
                for (source, weight) in self.sources.iter_mut().zip(weights) {
                    source.weight = arg::parse_f64(weight)
                        .ok_or(const { Stop::text("ERR weight value is not a float") })?;
                }
                rest
            } else if weighs && is(option, "aggregate") && !rest.is_empty() {
                self.aggregate = match rest[0] {
                    word if is(word, "sum") => Aggregate::Sum,
                    word if is(word, "min") => Aggregate::Min,
                    word if is(word, "max") => Aggregate::Max,
                    _ => return Err(text::SYNTAX),
                };
                &rest[1..]
            } else if !stores && !counts && is(option, "withscores") {
                self.with_scores = true;
                rest
            } else if counts && is(option, "limit") && !rest.is_empty() {
                self.limit = int_at_least(rest[0], 0, "ERR LIMIT can't be negative")? as u64;
                &rest[1..]
            } else {
                return Err(text::SYNTAX);
            };
        }
        Ok(())
    }

    /// The result, in the order of (score, member).
    fn run(&self, keyspace: &dyn Keyspace) -> Outcome<Vec<Scored>> {
        let mut result = match self.operation {
            Operation::Union => self.union(keyspace)?,
            Operation::Diff => self.difference(keyspace)?,
            Operation::Inter | Operation::InterCard => {
                let mut result = Vec::new();
                self.visit_intersection(keyspace, |mut members| {
                    result.append(&mut members);
                    Flow::Continue(())
                })?;
                result
            }
        };
        sort(&mut result);
        Ok(result)
    }

    /// The sources, smaller ones first: Redis adds scores up in this order, and sums of doubles depend on it.
    fn by_size(&self) -> Vec<Source<'a>> {
        let mut sources = self.sources.clone();
        sources.sort_by_key(|source| source.len);
        sources
    }

    fn union(&self, keyspace: &dyn Keyspace) -> Outcome<Vec<Scored>> {
        let mut scores: HashMap<Bytes, f64> = HashMap::new();
        gather(self.by_size().iter().map(|source| {
            source.visit(keyspace, |members| {
                for (member, score) in members {
                    let score = source.weighted(score);
                    scores
                        .entry(member)
                        .and_modify(|sum| *sum = self.aggregate.of(*sum, score))
                        .or_insert(score);
                }
                Ok(Flow::Continue(()))
            })
        }))?;
        Ok(scores.into_iter().collect())
    }

    /// Walks the smallest source and looks its members up in the others.
    fn visit_intersection(
        &self,
        keyspace: &dyn Keyspace,
        mut found: impl FnMut(Vec<Scored>) -> Flow,
    ) -> Outcome<()> {
        let by_size = self.by_size();
        let Some((smallest, others)) = by_size.split_first() else {
            return Ok(());
        };
        smallest.visit(keyspace, |mut members| {
            for (_, score) in &mut members {
                *score = smallest.weighted(*score);
            }
            for other in others {
                let scores = other.scores(keyspace, &members)?;
                members = members
                    .into_iter()
                    .zip(scores)
                    .filter_map(|((member, score), other_score)| {
                        // Not a number stays so here: Redis lets a sum become 0 by it, and MIN and MAX pass it by.
                        Some((member, self.aggregate.of(score, other.weight * other_score?)))
                    })
                    .collect();
            }
            Ok(found(members))
        })
    }

    /// Walks the first source and looks its members up in the others.
    fn difference(&self, keyspace: &dyn Keyspace) -> Outcome<Vec<Scored>> {
        let Some((first, others)) = self.sources.split_first() else {
            return Ok(Vec::new());
        };
        let mut result = Vec::new();
        if others.iter().any(|other| other.key == first.key) {
            return Ok(result);
        }
        first.visit(keyspace, |mut members| {
            for other in others.iter().filter(|other| other.len > 0) {
                let mut scores = other.scores(keyspace, &members)?.into_iter();
                members.retain(|_| matches!(scores.next(), Some(None)));
            }
            result.append(&mut members);
            Ok(Flow::Continue(()))
        })?;
        Ok(result)
    }
}
