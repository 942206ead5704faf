//! The pieces in which data comes, and how they travel.

use std::borrow::Cow;

use bytes::Bytes;

use super::malformed;
use crate::error::Outcome;
use crate::keyspace::{End, KeyspaceMut, Kind};

/// A piece of data. Those of one key come in their order, [`Op::New`] first.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// Whatever is under the key goes.
    New(Bytes),
    /// Bytes of a string, from an offset on, which is its length so far.
    Piece(Bytes, u64, Bytes),
    /// Fields of a hash, each followed by its value.
    Fields(Bytes, Vec<Bytes>),
    /// Members of a set.
    Members(Bytes, Vec<Bytes>),
    /// Members of a sorted set, each with its score.
    Scores(Bytes, Vec<(Bytes, f64)>),
    /// Elements of a list, behind those before.
    Elements(Bytes, Vec<Bytes>),
    /// When the key expires, Unix milliseconds. The last piece of its key: from here on it may be gone.
    Deadline(Bytes, u64),
}

impl Op {
    /// About how many bytes it takes in the log.
    pub fn size(&self) -> usize {
        let all = |values: &[Bytes]| values.iter().map(|value| value.len() + 4).sum::<usize>();
        32 + match self {
            Self::New(key) | Self::Deadline(key, _) => key.len(),
            Self::Piece(key, _, bytes) => key.len() + bytes.len(),
            Self::Fields(key, values) | Self::Members(key, values) | Self::Elements(key, values) => {
                key.len() + all(values)
            }
            Self::Scores(key, members) => {
                key.len() + members.iter().map(|(member, _)| member.len() + 16).sum::<usize>()
            }
        }
    }

    /// As arguments: what it is, the key, how many arguments follow, and those.
    pub(super) fn push<'a>(&'a self, args: &mut Vec<Cow<'a, [u8]>>) {
        let number = |value: u64| Cow::<[u8]>::Owned(value.to_be_bytes().to_vec());
        let all = |values: &'a [Bytes]| values.iter().map(|value| Cow::Borrowed(&value[..])).collect();
        let (tag, key, rest): (&[u8], _, Vec<Cow<'a, [u8]>>) = match self {
            Self::New(key) => (b"new", key, Vec::new()),
            Self::Piece(key, offset, bytes) => (b"string", key, vec![number(*offset), Cow::Borrowed(bytes)]),
            Self::Fields(key, values) => (b"hash", key, all(values)),
            Self::Members(key, values) => (b"set", key, all(values)),
            Self::Scores(key, members) => {
                let pair =
                    |(member, score): &'a (Bytes, f64)| [Cow::Borrowed(&member[..]), number(score.to_bits())];
                (b"zset", key, members.iter().flat_map(pair).collect())
            }
            Self::Elements(key, values) => (b"list", key, all(values)),
            Self::Deadline(key, at) => (b"deadline", key, vec![number(*at)]),
        };
        args.extend([Cow::Borrowed(tag), Cow::Borrowed(&key[..]), number(rest.len() as u64)]);
        args.extend(rest);
    }
}

/// A piece as it stands in a call, checked.
pub(super) struct Piece<'a> {
    tag: &'a [u8],
    key: &'a [u8],
    args: &'a [&'a [u8]],
}

impl Piece<'_> {
    /// Applies it.
    pub(super) fn apply(&self, keyspace: &mut dyn KeyspaceMut) -> Outcome<()> {
        let Self { tag, key, args } = *self;
        match tag {
            b"string" => put_piece(keyspace, key, decode(args[0])?, args[1])?,
            b"hash" => {
                of_kind(keyspace, key, Kind::Hash)?;
                for pair in args.chunks(2) {
                    keyspace.hash_put(key, pair[0], pair[1])?;
                }
            }
            b"set" => {
                of_kind(keyspace, key, Kind::Set)?;
                for member in args {
                    keyspace.set_put(key, member)?;
                }
            }
            b"zset" => {
                of_kind(keyspace, key, Kind::SortedSet)?;
                for pair in args.chunks(2) {
                    keyspace.zset_put(key, pair[0], score(pair[1])?)?;
                }
            }
            b"list" => {
                of_kind(keyspace, key, Kind::List)?;
                for element in args {
                    keyspace.list_push(key, End::Tail, element)?;
                }
            }
            b"deadline" => match decode(args[0])? {
                future if future > keyspace.now_ms() => keyspace.set_deadline(key, Some(future))?,
                _ => drop(keyspace.remove(key)?),
            },
            _ => drop(keyspace.remove(key)?),
        }
        Ok(())
    }
}

/// Reads pieces, all of them before any is applied.
pub(super) fn parse<'a>(mut rest: &'a [&'a [u8]]) -> Outcome<Vec<Piece<'a>>> {
    let mut pieces = Vec::new();
    while let [tag, key, count, behind @ ..] = rest {
        let count = usize::try_from(decode(count)?).map_err(|_| malformed())?;
        let (args, behind) = behind.split_at_checked(count).ok_or_else(malformed)?;
        let is_whole = match *tag {
            b"new" => args.is_empty(),
            b"string" => args.len() == 2 && decode(args[0]).is_ok(),
            b"hash" => args.len().is_multiple_of(2),
            b"set" | b"list" => true,
            b"zset" => args.len().is_multiple_of(2) && args.chunks(2).all(|pair| score(pair[1]).is_ok()),
            b"deadline" => args.len() == 1 && decode(args[0]).is_ok(),
            _ => false,
        };
        if !is_whole {
            return Err(malformed());
        }
        pieces.push(Piece { tag, key, args });
        rest = behind;
    }
    if rest.is_empty() { Ok(pieces) } else { Err(malformed()) }
}

fn put_piece(keyspace: &mut dyn KeyspaceMut, key: &[u8], offset: u64, bytes: &[u8]) -> Outcome<()> {
    if offset == 0 {
        return keyspace.string_put(key, bytes, None);
    }
    of_kind(keyspace, key, Kind::String)?;
    keyspace.string_write(key, offset, bytes)
}

/// A primitive of one type must not meet another: what is there of another one goes.
fn of_kind(keyspace: &mut dyn KeyspaceMut, key: &[u8], kind: Kind) -> Outcome<()> {
    if keyspace.meta(key)?.is_some_and(|meta| meta.kind != kind) {
        keyspace.remove(key)?;
    }
    Ok(())
}

fn decode(bytes: &[u8]) -> Outcome<u64> {
    Ok(u64::from_be_bytes(bytes.try_into().map_err(|_| malformed())?))
}

fn score(bytes: &[u8]) -> Outcome<f64> {
    Some(f64::from_bits(decode(bytes)?)).filter(|score| !score.is_nan()).ok_or_else(malformed)
}
