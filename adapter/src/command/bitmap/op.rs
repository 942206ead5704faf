//! BITOP.

use super::pieces;
use crate::command::arg::{is, meta_of};
use crate::command::{Call, text};
use crate::error::{Outcome, Stop};
use crate::keyspace::{Flow, KeyspaceMut, Kind, gather};
use crate::reply::Reply;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    And,
    Or,
    Xor,
    Not,
}

impl Operation {
    fn parse(name: &[u8]) -> Outcome<Self> {
        [("and", Self::And), ("or", Self::Or), ("xor", Self::Xor), ("not", Self::Not)]
            .into_iter()
            .find(|(text, _)| is(name, text))
            .map(|(_, operation)| operation)
            .ok_or(text::SYNTAX)
    }

    /// Combines a piece of one more source with what is there.
    fn apply(self, target: &mut [u8], source: &[u8]) {
        let pairs = target.iter_mut().zip(source);
        match self {
            Self::And => pairs.for_each(|(target, source)| *target &= source),
            Self::Or => pairs.for_each(|(target, source)| *target |= source),
            Self::Xor => pairs.for_each(|(target, source)| *target ^= source),
            Self::Not => pairs.for_each(|(target, source)| *target = !source),
        }
    }
}

/// `BITOP AND | OR | XOR | NOT destination key [key …]`: answers the length of the result, that of the longest
/// source. Shorter and missing sources count as followed by zeros. Only the result is held in memory whole.
pub(super) fn bitop(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>) -> Outcome<Reply> {
    let operation = Operation::parse(call.arg(1))?;
    let (destination, sources) = (call.arg(2), call.from(3));
    if operation == Operation::Not && sources.len() != 1 {
        return Err(Stop::text("ERR BITOP NOT must be called with a single source key."));
    }
    let metas = gather(sources.iter().map(|key| meta_of(&*keyspace, key, Kind::String)))?;
    let lens: Vec<u64> = metas.iter().map(|meta| meta.map_or(0, |meta| meta.len)).collect();
    let longest = lens.iter().copied().max().unwrap_or(0);
    if longest == 0 {
        keyspace.remove(destination)?;
        return Ok(Reply::Integer(0));
    }
    let mut result = vec![0; longest as usize];
    for (index, (key, len)) in sources.iter().zip(lens).enumerate() {
        // The first source fills the zeros: OR is a copy, too.
        let operation = if index == 0 && operation == Operation::And { Operation::Or } else { operation };
        pieces::visit(&*keyspace, key, 0, len, &mut |at, piece| {
            operation.apply(&mut result[at as usize..], piece);
            Flow::Continue(())
        })?;
        if operation == Operation::And {
            result[len as usize..].fill(0);
        }
    }
    keyspace.string_put(destination, &result, None)?;
    Ok(Reply::count(longest))
}
