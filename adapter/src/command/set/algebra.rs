//! SINTER, SINTERCARD, SUNION, SDIFF, and their STORE forms.

use std::collections::HashSet;

use bytes::Bytes;

use crate::command::arg::{int_at_least, is, meta_of};
use crate::command::{Call, text};
use crate::error::{Outcome, Stop};
use crate::keyspace::{Flow, Keyspace, KeyspaceMut, Kind, gather};
use crate::reply::Reply;

use super::pages;

type Operation = fn(&dyn Keyspace, &[&[u8]]) -> Outcome<Vec<Bytes>>;

/// `SINTER key [key …]`
pub(super) fn sinter(keyspace: &dyn Keyspace, call: &Call<'_>) -> Outcome<Reply> {
    members(intersection(keyspace, call.from(1))?)
}

/// `SUNION key [key …]`
pub(super) fn sunion(keyspace: &dyn Keyspace, call: &Call<'_>) -> Outcome<Reply> {
    members(union(keyspace, call.from(1))?)
}

/// `SDIFF key [key …]`
pub(super) fn sdiff(keyspace: &dyn Keyspace, call: &Call<'_>) -> Outcome<Reply> {
    members(difference(keyspace, call.from(1))?)
}

fn members(members: Vec<Bytes>) -> Outcome<Reply> {
    Ok(Reply::Set(members.into_iter().map(Reply::Bulk).collect()))
}

/// `SINTERSTORE destination key [key …]`
pub(super) fn sinterstore(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>) -> Outcome<Reply> {
    store(keyspace, call, intersection)
}

/// `SUNIONSTORE destination key [key …]`
pub(super) fn sunionstore(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>) -> Outcome<Reply> {
    store(keyspace, call, union)
}

/// `SDIFFSTORE destination key [key …]`
pub(super) fn sdiffstore(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>) -> Outcome<Reply> {
    store(keyspace, call, difference)
}

/// Replaces whatever the destination holds by the result, which may have come from the destination itself.
fn store(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>, operation: Operation) -> Outcome<Reply> {
    let destination = call.key();
    let present = keyspace.meta(destination);
    let result = operation(keyspace, call.from(2))?;
    if present?.is_some() {
        keyspace.remove(destination)?;
    }
    for member in &result {
        keyspace.set_put(destination, member)?;
    }
    Ok(Reply::count(result.len() as u64))
}

/// `SINTERCARD numkeys key [key …] [LIMIT limit]`
pub(super) fn sintercard(keyspace: &dyn Keyspace, call: &Call<'_>) -> Outcome<Reply> {
    let numkeys = int_at_least(call.arg(1), 1, "ERR numkeys should be greater than 0")?;
    let (keys, mut options) = usize::try_from(numkeys)
        .ok()
        .and_then(|numkeys| call.from(2).split_at_checked(numkeys))
        .ok_or(Stop::text("ERR Number of keys can't be greater than number of args"))?;
    let mut limit = 0;
    while let [option, value, rest @ ..] = options {
        if !is(option, "limit") {
            return Err(text::SYNTAX);
        }
        limit = int_at_least(value, 0, "ERR LIMIT can't be negative")? as u64;
        options = rest;
    }
    if !options.is_empty() {
        return Err(text::SYNTAX);
    }
    let most = if limit == 0 { u64::MAX } else { limit };
    let mut count = 0;
    visit_intersection(keyspace, keys, |members| {
        count += members.len() as u64;
        if count >= most { Flow::Break(()) } else { Flow::Continue(()) }
    })?;
    Ok(Reply::count(count.min(most)))
}

fn intersection(keyspace: &dyn Keyspace, keys: &[&[u8]]) -> Outcome<Vec<Bytes>> {
    let mut result = Vec::new();
    visit_intersection(keyspace, keys, |mut members| {
        result.append(&mut members);
        Flow::Continue(())
    })?;
    Ok(result)
}

/// Walks the smallest set and looks its members up in the others, smaller ones first.
fn visit_intersection(
    keyspace: &dyn Keyspace,
    keys: &[&[u8]],
    mut found: impl FnMut(Vec<Bytes>) -> Flow,
) -> Outcome<()> {
    let metas = gather(keys.iter().map(|key| meta_of(keyspace, key, Kind::Set)))?;
    if metas.iter().any(Option::is_none) {
        return Ok(());
    }
    let mut by_size: Vec<_> = metas.iter().flatten().map(|meta| meta.len).zip(keys.iter().copied()).collect();
    by_size.sort_unstable();
    by_size.dedup();
    let Some(((_, smallest), others)) = by_size.split_first() else {
        return Ok(());
    };
    pages::visit(keyspace, smallest, |mut members| {
        for (_, other) in others {
            retain(keyspace, other, &mut members, true)?;
        }
        Ok(found(members))
    })
}

/// Walks the first set and looks its members up in the others.
fn difference(keyspace: &dyn Keyspace, keys: &[&[u8]]) -> Outcome<Vec<Bytes>> {
    let metas = gather(keys.iter().map(|key| meta_of(keyspace, key, Kind::Set)))?;
    let mut present = keys.iter().zip(&metas).filter(|(_, meta)| meta.is_some()).map(|(key, _)| *key);
    let Some(first) = keys.first().filter(|_| metas[0].is_some()).and_then(|_| present.next()) else {
        return Ok(Vec::new());
    };
    let others: Vec<&[u8]> = present.collect();
    let mut result = Vec::new();
    if others.contains(&first) {
        return Ok(result);
    }
    pages::visit(keyspace, first, |mut members| {
        for other in &others {
            retain(keyspace, other, &mut members, false)?;
        }
        result.append(&mut members);
        Ok(Flow::Continue(()))
    })?;
    Ok(result)
}

fn union(keyspace: &dyn Keyspace, keys: &[&[u8]]) -> Outcome<Vec<Bytes>> {
    let metas = gather(keys.iter().map(|key| meta_of(keyspace, key, Kind::Set)))?;
    let present: Vec<&[u8]> =
        keys.iter().zip(&metas).filter(|(_, meta)| meta.is_some()).map(|(key, _)| *key).collect();
    let (mut seen, mut result) = (HashSet::new(), Vec::new());
    gather(present.iter().map(|key| {
        pages::visit(keyspace, key, |members| {
            result.extend(members.into_iter().filter(|member| seen.insert(member.clone())));
            Ok(Flow::Continue(()))
        })
    }))?;
    Ok(result)
}

/// Keeps the members that are, or are not, in the set `key`.
fn retain(keyspace: &dyn Keyspace, key: &[u8], members: &mut Vec<Bytes>, wanted: bool) -> Outcome<()> {
    let found = gather(members.iter().map(|member| keyspace.set_has(key, member)))?;
    let mut found = found.into_iter();
    members.retain(|_| found.next() == Some(wanted));
    Ok(())
}
