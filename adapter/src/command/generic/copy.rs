//! COPY: a value is copied page by page, so that a big one is never in memory whole.
//!
//! Only the first page is read before the first write. A keyspace whose reads may be pending must hold all of
//! the source before it runs this, or copy by itself.

use bytes::Bytes;

use super::database;
use crate::command::arg::is;
use crate::command::{Call, text};
use crate::error::{Outcome, Stop};
use crate::keyspace::{Direction, End, Flow, Keyspace, KeyspaceMut, Kind, Meta, Point, gather};
use crate::reply::Reply;

const SAME_OBJECT: Stop = Stop::text("ERR source and destination objects are the same");

/// A page is full at so many elements …
const PAGE_ITEMS: usize = 1024;
/// … or so many bytes, whichever comes first.
const PAGE_BYTES: usize = 1 << 20;

/// `COPY source destination [DB destination-db] [REPLACE]`
pub(super) fn copy(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>) -> Outcome<Reply> {
    let replace = parse_options(call.from(3))?;
    let (from, to) = (call.arg(1), call.arg(2));
    if from == to {
        return Err(SAME_OBJECT);
    }
    let metas = gather([keyspace.meta(from), keyspace.meta(to)])?;
    let Some(meta) = metas[0] else { return Ok(Reply::Integer(0)) };
    let exists = metas[1].is_some();
    if exists && !replace {
        return Ok(Reply::Integer(0));
    }
    copy_value(keyspace, from, to, &meta, exists)?;
    Ok(Reply::Integer(1))
}

/// Whether to replace the destination.
fn parse_options(mut words: &[&[u8]]) -> Outcome<bool> {
    let mut replace = false;
    while let [word, rest @ ..] = words {
        words = rest;
        if is(word, "replace") {
            replace = true;
        } else if is(word, "db") && !rest.is_empty() {
            database(rest[0])?;
            words = &rest[1..];
        } else {
            return Err(text::SYNTAX);
        }
    }
    Ok(replace)
}

fn copy_value(
    keyspace: &mut dyn KeyspaceMut,
    from: &[u8],
    to: &[u8],
    meta: &Meta,
    exists: bool,
) -> Outcome<()> {
    if meta.kind == Kind::String {
        let value = keyspace.string(from)?.unwrap_or_default();
        return keyspace.string_put(to, &value, meta.deadline);
    }
    keyspace.fetch_all(from)?;
    let mut page = Contents::read(keyspace, from, meta.kind, PageStart::default())?;
    if exists {
        keyspace.remove(to)?;
    }
    while let Some(next) = page.write(keyspace, to)? {
        page = Contents::read(keyspace, from, meta.kind, next)?;
    }
    match meta.deadline {
        Some(_) => keyspace.set_deadline(to, meta.deadline),
        None => Ok(()),
    }
}

/// Where a page starts: a point in hash order, or an index of a list.
#[derive(Clone, Copy, Default)]
struct PageStart {
    point: Point,
    index: u64,
}

/// A page of a collection.
struct Contents {
    items: Vec<Item>,
    bytes: usize,
    /// Of the last item.
    last: Option<Point>,
    /// Where the next page starts; none behind the last page.
    next: Option<PageStart>,
}

enum Item {
    Element(Bytes),
    Member(Bytes),
    Scored(Bytes, f64),
    Field(Bytes, Bytes),
}

impl Contents {
    fn read(keyspace: &dyn Keyspace, key: &[u8], kind: Kind, place: PageStart) -> Outcome<Self> {
        let mut page = Self { items: Vec::new(), bytes: 0, last: None, next: None };
        match kind {
            // A string is no collection; `copy_value` has dealt with it.
            Kind::String => {}
            Kind::List => {
                keyspace.list_visit(key, place.index, Direction::Forward, &mut |index, element| {
                    page.offer_element(index, element)
                })?
            }
            Kind::Set => keyspace.set_visit(key, place.point, &mut |point, member| {
                page.offer(point, member.len(), || Item::Member(Bytes::copy_from_slice(member)))
            })?,
            Kind::SortedSet => keyspace.zset_visit(key, place.point, &mut |point, member, score| {
                page.offer(point, member.len(), || Item::Scored(Bytes::copy_from_slice(member), score))
            })?,
            Kind::Hash => keyspace.hash_visit(key, place.point, &mut |point, field, value| {
                page.offer(point, field.len() + value.len(), || {
                    Item::Field(Bytes::copy_from_slice(field), Bytes::copy_from_slice(value))
                })
            })?,
        }
        Ok(page)
    }

    fn is_full(&self) -> bool {
        self.items.len() >= PAGE_ITEMS || self.bytes >= PAGE_BYTES
    }

    /// Takes an element that has a point, unless the page is full. Elements of one point are on one page.
    fn offer(&mut self, point: Point, size: usize, item: impl FnOnce() -> Item) -> Flow {
        if self.is_full() && self.last != Some(point) {
            self.next = Some(PageStart { point, index: 0 });
            return Flow::Break(());
        }
        self.last = Some(point);
        self.bytes += size;
        self.items.push(item());
        Flow::Continue(())
    }

    fn offer_element(&mut self, index: u64, element: &[u8]) -> Flow {
        if self.is_full() {
            self.next = Some(PageStart { point: Point(0), index });
            return Flow::Break(());
        }
        self.bytes += element.len();
        self.items.push(Item::Element(Bytes::copy_from_slice(element)));
        Flow::Continue(())
    }

    /// Adds the page to a key; where the next one starts.
    fn write(&self, keyspace: &mut dyn KeyspaceMut, key: &[u8]) -> Outcome<Option<PageStart>> {
        for item in &self.items {
            match item {
                Item::Element(element) => keyspace.list_push(key, End::Tail, element)?,
                Item::Member(member) => keyspace.set_put(key, member).map(drop)?,
                Item::Scored(member, score) => keyspace.zset_put(key, member, *score).map(drop)?,
                Item::Field(field, value) => keyspace.hash_put(key, field, value).map(drop)?,
            }
        }
        Ok(self.next)
    }
}
