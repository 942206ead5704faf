//! The plain part of the format: lengths, strings, scores.

use std::borrow::Cow;

use super::{BAD_FORMAT, Element, integer, lzf};
use crate::command::arg;
use crate::error::Outcome;

/// A length, or the encoding of a string in its place.
enum Length {
    Plain(u64),
    Encoded(u8),
}

/// Reads from the front of a value.
#[derive(Debug)]
pub(in super::super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(in super::super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(in super::super) fn byte(&mut self) -> Outcome<u8> {
        Ok(self.array::<1>()?[0])
    }

    fn array<const N: usize>(&mut self) -> Outcome<[u8; N]> {
        let (array, rest) = self.rest.split_first_chunk().ok_or(BAD_FORMAT)?;
        self.rest = rest;
        Ok(*array)
    }

    fn take(&mut self, len: u64) -> Outcome<&'a [u8]> {
        let len = usize::try_from(len).map_err(|_| BAD_FORMAT)?;
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(BAD_FORMAT)?;
        self.rest = rest;
        Ok(taken)
    }

    fn length(&mut self) -> Outcome<Length> {
        let first = self.byte()?;
        Ok(match first >> 6 {
            0 => Length::Plain(u64::from(first)),
            1 => Length::Plain(u64::from(first & 0x3f) << 8 | u64::from(self.byte()?)),
            2 if first == 0x80 => Length::Plain(u64::from(u32::from_be_bytes(self.array()?))),
            2 if first == 0x81 => Length::Plain(u64::from_be_bytes(self.array()?)),
            3 => Length::Encoded(first & 0x3f),
            _ => return Err(BAD_FORMAT),
        })
    }

    /// A number of elements or nodes. It may lie: only what is read afterwards counts.
    pub(in super::super) fn count(&mut self) -> Outcome<u64> {
        match self.length()? {
            Length::Plain(count) => Ok(count),
            Length::Encoded(_) => Err(BAD_FORMAT),
        }
    }

    /// A string, in any of its encodings.
    pub(in super::super) fn string(&mut self) -> Outcome<Element<'a>> {
        Ok(match self.length()? {
            Length::Plain(len) => Cow::Borrowed(self.take(len)?),
            Length::Encoded(0) => integer(i64::from(i8::from_le_bytes(self.array()?))),
            Length::Encoded(1) => integer(i64::from(i16::from_le_bytes(self.array()?))),
            Length::Encoded(2) => integer(i64::from(i32::from_le_bytes(self.array()?))),
            Length::Encoded(3) => {
                let (compressed, len) = (self.count()?, self.count()?);
                Cow::Owned(lzf::decompress(self.take(compressed)?, len).ok_or(BAD_FORMAT)?)
            }
            Length::Encoded(_) => return Err(BAD_FORMAT),
        })
    }

    /// A score as eight bytes.
    pub(in super::super) fn binary_score(&mut self) -> Outcome<f64> {
        Ok(f64::from_le_bytes(self.array()?))
    }

    /// A score as a length of up to 252 and its text, or one of three marks.
    pub(in super::super) fn text_score(&mut self) -> Outcome<f64> {
        match self.byte()? {
            253 => Err(BAD_FORMAT),
            254 => Ok(f64::INFINITY),
            255 => Ok(f64::NEG_INFINITY),
            len => parse_score(self.take(u64::from(len))?),
        }
    }
}

/// A score as text.
pub(in super::super) fn parse_score(text: &[u8]) -> Outcome<f64> {
    arg::parse_f64(text).ok_or(BAD_FORMAT)
}
