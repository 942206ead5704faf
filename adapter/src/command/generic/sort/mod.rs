//! SORT and SORT_RO: read the elements, look up what they are compared by, sort, cut, look up what is asked for.
//!
//! All of the collection that is sorted is in memory meanwhile; with `BY nosort` only what LIMIT leaves is.

mod number;
mod options;
mod pattern;

use std::cmp::Ordering;
use std::ops::Range;

use bytes::Bytes;
pub(super) use options::find_keys;

use self::options::Options;
use crate::command::{Call, text};
use crate::error::{Outcome, Stop};
use crate::keyspace::{Direction, End, Flow, Keyspace, KeyspaceMut, Kind, Meta, Point, ScoreStart, gather};
use crate::reply::Reply;

const NOT_A_SCORE: Stop = Stop::text("ERR One or more scores can't be converted into double");

/// `SORT key [BY pattern] [LIMIT offset count] [GET pattern ...] [ASC | DESC] [ALPHA] [STORE destination]`
pub(super) fn sort(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>) -> Outcome<Reply> {
    let options = Options::parse(call.from(2), true)?;
    let rows = rows(keyspace, call.key(), &options)?;
    let Some(destination) = options.store else { return Ok(reply(rows)) };
    keyspace.remove(destination)?;
    for value in &rows {
        keyspace.list_push(destination, End::Tail, value.as_deref().unwrap_or_default())?;
    }
    Ok(Reply::count(rows.len() as u64))
}

/// `SORT_RO key [BY pattern] [LIMIT offset count] [GET pattern ...] [ASC | DESC] [ALPHA]`
pub(super) fn sort_ro(keyspace: &dyn Keyspace, call: &Call<'_>) -> Outcome<Reply> {
    let options = Options::parse(call.from(2), false)?;
    rows(keyspace, call.key(), &options).map(reply)
}

fn reply(rows: Vec<Option<Bytes>>) -> Reply {
    Reply::Array(rows.into_iter().map(Reply::bulk_or_null).collect())
}

/// What SORT answers or stores, in order.
fn rows(keyspace: &dyn Keyspace, key: &[u8], options: &Options<'_>) -> Outcome<Vec<Option<Bytes>>> {
    let metas = gather([Some(key), options.store].into_iter().flatten().map(|key| keyspace.meta(key)))?;
    let Some(meta) = metas[0] else { return Ok(Vec::new()) };
    if matches!(meta.kind, Kind::String | Kind::Hash) {
        return Err(text::WRONG_TYPE);
    }
    // A stored result must not depend on the order of a set in memory: Redis sorts it after all.
    let settle = meta.kind == Kind::Set && options.keeps_order() && options.store.is_some();
    let elements = if options.keeps_order() && !settle {
        in_stored_order(keyspace, key, &meta, options)?
    } else {
        let mut elements = all_elements(keyspace, key, meta.kind)?;
        if settle {
            sort_by(&mut elements, options.descending, |a, b| a.cmp(b));
        } else {
            elements = sorted(keyspace, elements, options)?;
        }
        let kept = window(options, elements.len() as u64);
        elements.drain(kept.start as usize..kept.end as usize).collect()
    };
    if options.get.is_empty() {
        return Ok(elements.into_iter().map(Some).collect());
    }
    let lookups = elements.iter().flat_map(|element| options.get.iter().map(move |get| (element, get)));
    gather(lookups.map(|(element, get)| get.lookup(keyspace, element)))
}

/// The part of `len` elements that LIMIT leaves.
fn window(options: &Options<'_>, len: u64) -> Range<u64> {
    let start = u64::try_from(options.offset).unwrap_or(0).min(len);
    let end = u64::try_from(options.count).map_or(len, |count| start.saturating_add(count).min(len));
    start..end
}

/// `BY nosort`: what LIMIT leaves of a list by index, of a sorted set by score, of a set by hash order (which
/// has no direction).
fn in_stored_order(
    keyspace: &dyn Keyspace,
    key: &[u8],
    meta: &Meta,
    options: &Options<'_>,
) -> Outcome<Vec<Bytes>> {
    let kept = window(options, meta.len);
    let mut elements = Vec::new();
    let mut index = 0;
    let mut take = |element: &[u8]| {
        if index >= kept.end {
            return Flow::Break(());
        }
        if index >= kept.start {
            elements.push(Bytes::copy_from_slice(element));
        }
        index += 1;
        if index < kept.end { Flow::Continue(()) } else { Flow::Break(()) }
    };
    if kept.is_empty() {
        return Ok(Vec::new());
    }
    let direction = if options.descending { Direction::Backward } else { Direction::Forward };
    match meta.kind {
        Kind::List => return list_window(keyspace, key, meta.len, kept, direction),
        Kind::SortedSet => {
            keyspace.zset_visit_by_score(key, ScoreStart::Edge, direction, &mut |member, _| take(member))?
        }
        _ => keyspace.set_visit(key, Point(0), &mut |_, member| take(member))?,
    }
    Ok(elements)
}

/// The elements `kept` of a list, counted from the end where `direction` starts. Seeks, and reads no others.
fn list_window(
    keyspace: &dyn Keyspace,
    key: &[u8],
    len: u64,
    kept: Range<u64>,
    direction: Direction,
) -> Outcome<Vec<Bytes>> {
    let from = match direction {
        Direction::Forward => kept.start,
        Direction::Backward => len - 1 - kept.start,
    };
    let wanted = kept.end - kept.start;
    let mut elements = Vec::new();
    keyspace.list_visit(key, from, direction, &mut |_, element| {
        elements.push(Bytes::copy_from_slice(element));
        if (elements.len() as u64) < wanted { Flow::Continue(()) } else { Flow::Break(()) }
    })?;
    Ok(elements)
}

fn all_elements(keyspace: &dyn Keyspace, key: &[u8], kind: Kind) -> Outcome<Vec<Bytes>> {
    let mut elements = Vec::new();
    let mut take = |element: &[u8]| {
        elements.push(Bytes::copy_from_slice(element));
        Flow::Continue(())
    };
    match kind {
        Kind::List => keyspace.list_visit(key, 0, Direction::Forward, &mut |_, element| take(element))?,
        Kind::SortedSet => keyspace.zset_visit(key, Point(0), &mut |_, member, _| take(member))?,
        _ => keyspace.set_visit(key, Point(0), &mut |_, member| take(member))?,
    }
    Ok(elements)
}

/// Sorts by what `BY` finds, or by the elements themselves; as text or as numbers. Elements with the same number
/// are sorted as text; those with the same text keep their order.
fn sorted(keyspace: &dyn Keyspace, elements: Vec<Bytes>, options: &Options<'_>) -> Outcome<Vec<Bytes>> {
    let weights = match &options.by {
        Some(by) => gather(elements.iter().map(|element| by.lookup(keyspace, element)))?,
        None => elements.iter().cloned().map(Some).collect(),
    };
    if options.alpha {
        let mut rows: Vec<_> = weights.into_iter().zip(elements).collect();
        sort_by(&mut rows, options.descending, |a, b| a.0.cmp(&b.0));
        return Ok(rows.into_iter().map(|(_, element)| element).collect());
    }
    let mut rows = Vec::with_capacity(elements.len());
    for (weight, element) in weights.into_iter().zip(elements) {
        let number = weight.map_or(Some(0.0), |text| number::parse(&text)).ok_or(NOT_A_SCORE)?;
        rows.push((number, element));
    }
    sort_by(&mut rows, options.descending, |a, b| {
        // No number is NaN; the two zeros are equal.
        a.0.partial_cmp(&b.0).unwrap_or(Ordering::Equal).then_with(|| a.1.cmp(&b.1))
    });
    Ok(rows.into_iter().map(|(_, element)| element).collect())
}

fn sort_by<T>(rows: &mut [T], descending: bool, compare: impl Fn(&T, &T) -> Ordering) {
    if descending {
        rows.sort_by(|a, b| compare(b, a));
    } else {
        rows.sort_by(compare);
    }
}
