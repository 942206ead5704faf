//! What a union, an intersection or a difference reads: sorted sets, and sets, whose members count as scored 1.

use bytes::Bytes;

use crate::command::set::pages;
use crate::command::text;
use crate::error::Outcome;
use crate::keyspace::{Flow, Keyspace, Kind, Meta, Point, gather};

use super::Scored;

/// One key that is read; a missing one has no members.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source<'a> {
    /// The key.
    pub(super) key: &'a [u8],
    /// How many members it has.
    pub(super) len: u64,
    /// What its scores are multiplied by.
    pub(super) weight: f64,
    kind: Kind,
}

impl<'a> Source<'a> {
    /// The source for a key of which `meta` is known.
    pub(super) fn new(key: &'a [u8], meta: Option<Meta>) -> Outcome<Self> {
        let (kind, len) = match meta {
            None => (Kind::SortedSet, 0),
            Some(Meta { kind: kind @ (Kind::Set | Kind::SortedSet), len, .. }) => (kind, len),
            Some(_) => return Err(text::WRONG_TYPE),
        };
        Ok(Self { key, len, weight: 1.0, kind })
    }

    /// The score with which a member goes into a result. What is not a number counts as 0.
    pub(super) fn weighted(&self, score: f64) -> f64 {
        number(self.weight * score)
    }

    /// The score of each of the given members, unweighted.
    pub(super) fn scores(&self, keyspace: &dyn Keyspace, members: &[Scored]) -> Outcome<Vec<Option<f64>>> {
        gather(members.iter().map(|(member, _)| match self.kind {
            _ if self.len == 0 => Ok(None),
            Kind::Set => keyspace.set_has(self.key, member).map(|there| there.then_some(1.0)),
            _ => keyspace.zset_score(self.key, member),
        }))
    }

    /// Gives all members with their scores, unweighted, to `page`, a page at a time, until it breaks.
    pub(super) fn visit(
        &self,
        keyspace: &dyn Keyspace,
        mut page: impl FnMut(Vec<Scored>) -> Outcome<Flow>,
    ) -> Outcome<()> {
        match self.kind {
            _ if self.len == 0 => Ok(()),
            Kind::Set => pages::visit(keyspace, self.key, |members| {
                page(members.into_iter().map(|member| (member, 1.0)).collect())
            }),
            _ => visit_sorted_set(keyspace, self.key, page),
        }
    }
}

/// What is not a number counts as 0: infinity times 0, infinity less infinity.
pub(super) fn number(score: f64) -> f64 {
    if score.is_nan() { 0.0 } else { score }
}

fn visit_sorted_set(
    keyspace: &dyn Keyspace,
    key: &[u8],
    mut page: impl FnMut(Vec<Scored>) -> Outcome<Flow>,
) -> Outcome<()> {
    let mut next = Some(Point::default());
    while let Some(from) = next.take() {
        let (mut members, mut last) = (Vec::new(), from);
        keyspace.zset_visit(key, from, &mut |point, member, score| {
            if members.len() >= pages::PAGE && point != last {
                next = Some(point);
                return Flow::Break(());
            }
            last = point;
            members.push((Bytes::copy_from_slice(member), score));
            Flow::Continue(())
        })?;
        if page(members)?.is_break() {
            break;
        }
    }
    Ok(())
}
