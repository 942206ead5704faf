//! Reading a whole value, in any encoding, piece by piece.

use std::collections::HashSet;

use xxhash_rust::xxh3::xxh3_128;

use super::reader::{Reader, parse_score};
use super::{BAD_FORMAT, Element, intset, listpack, types, ziplist};
use crate::error::Outcome;

/// A piece of a value. All pieces of one value are of one variant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in super::super) enum Item<'a> {
    /// The string.
    String(&'a [u8]),
    /// The next element of the list.
    Element(&'a [u8]),
    /// A member of the set.
    Member(&'a [u8]),
    /// A member of the sorted set, and its score.
    Scored(&'a [u8], f64),
    /// A field of the hash, and its value.
    Field(&'a [u8], &'a [u8]),
}

/// What a visit of a value is given.
type ItemVisitor<'v> = dyn FnMut(Item<'_>) -> Outcome<()> + 'v;

/// The kinds of nodes of a `LIST_QUICKLIST_2`.
const PLAIN_NODE: u64 = 1;
const PACKED_NODE: u64 = 2;

/// Checks a value whole: it is well-formed and not empty, and nothing is in it twice.
pub(in super::super) fn check(body: &[u8]) -> Outcome<()> {
    // Hashes stand for names, so that the check costs 16 bytes per name however long they are.
    let mut seen = HashSet::new();
    let mut empty = true;
    visit(body, &mut |item| {
        empty = false;
        let fine = match item {
            Item::String(_) | Item::Element(_) => true,
            Item::Scored(name, score) => !score.is_nan() && seen.insert(xxh3_128(name)),
            Item::Member(name) | Item::Field(name, _) => seen.insert(xxh3_128(name)),
        };
        if fine { Ok(()) } else { Err(BAD_FORMAT) }
    })?;
    if empty { Err(BAD_FORMAT) } else { Ok(()) }
}

/// Gives the pieces of a value in order. What was given before an error has been given: [`check`] first.
pub(in super::super) fn visit(body: &[u8], each: &mut ItemVisitor<'_>) -> Outcome<()> {
    let reader = &mut Reader::new(body);
    match reader.byte()? {
        types::STRING => each(Item::String(&reader.string()?)),
        types::LIST => plain(reader, |reader| each(Item::Element(&reader.string()?))),
        types::SET => plain(reader, |reader| each(Item::Member(&reader.string()?))),
        types::ZSET => plain(reader, |reader| each(Item::Scored(&reader.string()?, reader.text_score()?))),
        types::ZSET_2 => {
            plain(reader, |reader| each(Item::Scored(&reader.string()?, reader.binary_score()?)))
        }
        types::HASH => plain(reader, |reader| each(Item::Field(&reader.string()?, &reader.string()?))),
        types::LIST_ZIPLIST => elements(ziplist::open(&reader.string()?)?, each),
        types::LIST_QUICKLIST => plain(reader, |reader| elements(ziplist::open(&reader.string()?)?, each)),
        types::LIST_QUICKLIST_2 => plain(reader, |reader| node(reader, each)),
        types::SET_INTSET => members(intset::entries(&reader.string()?)?, each),
        types::SET_LISTPACK => members(listpack::open(&reader.string()?)?, each),
        types::ZSET_ZIPLIST => scored(ziplist::open(&reader.string()?)?, each),
        types::ZSET_LISTPACK => scored(listpack::open(&reader.string()?)?, each),
        types::HASH_ZIPLIST => fields(ziplist::open(&reader.string()?)?, each),
        types::HASH_LISTPACK => fields(listpack::open(&reader.string()?)?, each),
        _ => Err(BAD_FORMAT),
    }
}

/// A count, and as many times what `read` reads.
fn plain<'a>(reader: &mut Reader<'a>, mut read: impl FnMut(&mut Reader<'a>) -> Outcome<()>) -> Outcome<()> {
    for _ in 0..reader.count()? {
        read(reader)?;
    }
    Ok(())
}

fn node(reader: &mut Reader<'_>, each: &mut ItemVisitor<'_>) -> Outcome<()> {
    match reader.count()? {
        PLAIN_NODE => each(Item::Element(&reader.string()?)),
        PACKED_NODE => elements(listpack::open(&reader.string()?)?, each),
        _ => Err(BAD_FORMAT),
    }
}

fn elements<'a>(
    mut entries: impl Iterator<Item = Outcome<Element<'a>>>,
    each: &mut ItemVisitor<'_>,
) -> Outcome<()> {
    entries.try_for_each(|entry| each(Item::Element(&entry?)))
}

fn members<'a>(
    mut entries: impl Iterator<Item = Outcome<Element<'a>>>,
    each: &mut ItemVisitor<'_>,
) -> Outcome<()> {
    entries.try_for_each(|entry| each(Item::Member(&entry?)))
}

fn scored<'a>(
    entries: impl Iterator<Item = Outcome<Element<'a>>>,
    each: &mut ItemVisitor<'_>,
) -> Outcome<()> {
    pairs(entries, |member, score| each(Item::Scored(member, parse_score(score)?)))
}

fn fields<'a>(
    entries: impl Iterator<Item = Outcome<Element<'a>>>,
    each: &mut ItemVisitor<'_>,
) -> Outcome<()> {
    pairs(entries, |field, value| each(Item::Field(field, value)))
}

/// Takes entries two by two; an odd one is an error.
fn pairs<'a>(
    mut entries: impl Iterator<Item = Outcome<Element<'a>>>,
    mut each: impl FnMut(&[u8], &[u8]) -> Outcome<()>,
) -> Outcome<()> {
    while let Some(first) = entries.next() {
        let first = first?;
        let second = entries.next().ok_or(BAD_FORMAT)??;
        each(&first, &second)?;
    }
    Ok(())
}
