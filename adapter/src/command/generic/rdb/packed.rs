//! What listpacks and ziplists have in common: entries one behind the other, a count that may be unknown, an end mark.

use super::{BAD_FORMAT, Element};
use crate::error::Outcome;

const TERMINATOR: u8 = 0xff;
const UNKNOWN_COUNT: u16 = u16::MAX;

/// Reads the first entry: its value, and what is behind it.
type Read<'a> = fn(&'a [u8]) -> Outcome<(Element<'a>, &'a [u8])>;

/// Reads the entries from front to back; an error ends it.
#[derive(Debug)]
pub(in super::super) struct Packed<'a> {
    /// The entries that are not yet read, without the terminator.
    rest: &'a [u8],
    /// How many entries the header promises yet.
    left: Option<u16>,
    read: Read<'a>,
}

impl<'a> Packed<'a> {
    /// The entries of `blob`, which says that it has `size` bytes and `count` entries; `body` is what follows its
    /// header.
    pub(super) fn open(
        blob: &'a [u8],
        size: [u8; 4],
        count: [u8; 2],
        body: &'a [u8],
        read: Read<'a>,
    ) -> Outcome<Self> {
        let (last, rest) = body.split_last().ok_or(BAD_FORMAT)?;
        if u32::from_le_bytes(size) as usize != blob.len() || *last != TERMINATOR {
            return Err(BAD_FORMAT);
        }
        let count = u16::from_le_bytes(count);
        Ok(Self { rest, left: (count != UNKNOWN_COUNT).then_some(count), read })
    }

    fn read(&mut self) -> Outcome<Element<'a>> {
        let (entry, rest) = (self.read)(self.rest)?;
        self.rest = rest;
        if let Some(left) = &mut self.left {
            *left = left.checked_sub(1).ok_or(BAD_FORMAT)?;
        }
        Ok(entry)
    }
}

impl<'a> Iterator for Packed<'a> {
    type Item = Outcome<Element<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if !self.rest.is_empty() {
            return Some(self.read());
        }
        let short = self.left.take().is_some_and(|left| left > 0);
        short.then_some(Err(BAD_FORMAT))
    }
}
