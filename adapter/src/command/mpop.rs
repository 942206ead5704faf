//! What LMPOP and ZMPOP share: `numkeys key [key …] <end> [COUNT count]`.

use crate::command::arg::{int_at_least, is};
use crate::command::text;
use crate::error::Outcome;
use crate::keyspace::{Kind, Meta};

/// The arguments of a pop from the first of several keys that has something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MultiPop<'a, E> {
    /// The keys, in the order in which they are tried.
    pub(super) keys: &'a [&'a [u8]],
    /// The end that is popped from.
    pub(super) end: E,
    /// How many elements at most, at least 1.
    pub(super) count: u64,
}

/// Reads the arguments from `numkeys` on. `end` reads the word for the end: `LEFT`, `MIN` ….
pub(super) fn parse<'a, E>(
    args: &'a [&'a [u8]],
    end: impl FnOnce(&[u8]) -> Option<E>,
) -> Outcome<MultiPop<'a, E>> {
    let (numkeys, rest) = args.split_first().ok_or(text::SYNTAX)?;
    let numkeys = int_at_least(numkeys, 1, "ERR numkeys should be greater than 0")?;
    let (keys, rest) =
        usize::try_from(numkeys).ok().and_then(|at| rest.split_at_checked(at)).ok_or(text::SYNTAX)?;
    let (word, options) = rest.split_first().ok_or(text::SYNTAX)?;
    let end = end(word).ok_or(text::SYNTAX)?;
    let count = match options {
        [] => 1,
        [option, count, rest @ ..] if is(option, "count") => {
            let count = int_at_least(count, 1, "ERR count should be greater than 0")?;
            if !rest.is_empty() {
                return Err(text::SYNTAX);
            }
            count as u64
        }
        _ => return Err(text::SYNTAX),
    };
    Ok(MultiPop { keys, end, count })
}

/// The first key that is there. Keys behind it may be of any type, as in Redis.
pub(super) fn first_present<'a>(
    keys: &[&'a [u8]],
    metas: &[Option<Meta>],
    kind: Kind,
) -> Outcome<Option<(&'a [u8], Meta)>> {
    match keys.iter().zip(metas).find_map(|(key, meta)| meta.map(|meta| (*key, meta))) {
        Some((_, meta)) if meta.kind != kind => Err(text::WRONG_TYPE),
        found => Ok(found),
    }
}
