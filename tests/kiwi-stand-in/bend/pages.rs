//! HSCAN and SSCAN: fields and members in the order of their bytes, COUNT of them looked at for a page.

use std::collections::VecDeque;

use adapter::Reply;
use adapter::command::{arg, glob, text};
use adapter::error::{Outcome, Stop};
use bytes::Bytes;

use crate::store::Store;

/// How many cursors of HSCAN are remembered.
const REMEMBERED: usize = 5000;
/// How many are looked at for a page, unless told otherwise.
const COUNT: usize = 10;

/// What HSCAN goes on from: a key, a pattern and a cursor, and the field that is next. Two scans of one key share them.
#[derive(Debug, Default)]
pub(crate) struct MemberCursors(VecDeque<(PageStart, Bytes)>);

/// What a cursor of HSCAN means something for.
type PageStart = (Vec<u8>, Vec<u8>, usize);

impl MemberCursors {
    fn remember(&mut self, place: PageStart, next: Bytes) {
        self.0.retain(|(other, _)| *other != place);
        self.0.push_back((place, next));
        if self.0.len() > REMEMBERED {
            self.0.pop_front();
        }
    }

    fn find(&self, place: &PageStart) -> Option<&Bytes> {
        self.0.iter().find(|(other, _)| other == place).map(|(_, next)| next)
    }
}

/// `cursor [MATCH pattern] [COUNT count]`
struct Page<'a> {
    cursor: usize,
    pattern: &'a [u8],
    count: usize,
}

impl<'a> Page<'a> {
    fn parse(args: &[&'a [u8]]) -> Outcome<Self> {
        let number = |text: &[u8]| arg::parse_i64(text).and_then(|number| usize::try_from(number).ok());
        let cursor = number(args[2]).ok_or(Stop::text("ERR invalid cursor"))?;
        let mut page = Self { cursor, pattern: b"*", count: COUNT };
        for option in args[3..].chunks(2) {
            match option {
                [name, pattern] if arg::is(name, "match") => page.pattern = pattern,
                [name, count] if arg::is(name, "count") => {
                    page.count = number(count).filter(|count| *count > 0).ok_or(text::NOT_INTEGER)?;
                }
                _ => return Err(text::SYNTAX),
            }
        }
        Ok(page)
    }

    /// What stands before the only special byte of the pattern, if that is a `*` at its end.
    fn prefix(&self) -> &'a [u8] {
        match self.pattern.split_last() {
            Some((b'*', prefix)) if !prefix.iter().any(|byte| b"*?[]\\".contains(byte)) => prefix,
            _ => b"",
        }
    }
}

/// Goes on from what is remembered; any other cursor is the beginning.
pub(super) fn hscan(store: &mut Store, args: &[&[u8]]) -> Outcome<Reply> {
    let page = Page::parse(args)?;
    let mut entries = match store.run(&[b"hgetall", args[1]])? {
        Reply::Map(entries) | Reply::Pairs(entries) => entries,
        _ => Vec::new(),
    };
    entries.sort_by(|(a, _), (b, _)| bytes_of(a).cmp(bytes_of(b)));
    entries.retain(|(field, _)| bytes_of(field).starts_with(page.prefix()));
    let place = |cursor| (args[1].to_vec(), page.pattern.to_vec(), cursor);
    let from = store.member_cursors.find(&place(page.cursor)).filter(|_| page.cursor > 0);
    let start = from.map_or(0, |from| entries.partition_point(|(field, _)| bytes_of(field) < &from[..]));
    let end = (start + page.count).min(entries.len());
    let mut cursor = 0;
    if let Some((next, _)) = entries.get(end) {
        cursor = page.cursor + end - start;
        store.member_cursors.remember(place(cursor), Bytes::copy_from_slice(bytes_of(next)));
    }
    let shown = entries.drain(start..end).filter(|(field, _)| glob::matches(page.pattern, bytes_of(field)));
    Ok(answer(cursor, shown.flat_map(|(field, value)| [field, value]).collect()))
}

/// A cursor is an index.
pub(super) fn sscan(store: &mut Store, args: &[&[u8]]) -> Outcome<Reply> {
    let page = Page::parse(args)?;
    let mut members = match store.run(&[b"smembers", args[1]])? {
        Reply::Set(members) | Reply::Array(members) => members,
        _ => Vec::new(),
    };
    members.sort_by(|a, b| bytes_of(a).cmp(bytes_of(b)));
    let start = page.cursor.min(members.len());
    let end = (start + page.count).min(members.len());
    let cursor = if end < members.len() { end } else { 0 };
    let shown = members.drain(start..end).filter(|member| glob::matches(page.pattern, bytes_of(member)));
    Ok(answer(cursor, shown.collect()))
}

fn answer(cursor: usize, shown: Vec<Reply>) -> Reply {
    Reply::Array(vec![Reply::bulk(cursor.to_string().as_bytes()), Reply::Array(shown)])
}

fn bytes_of(reply: &Reply) -> &[u8] {
    if let Reply::Bulk(bytes) = reply { bytes } else { b"" }
}
