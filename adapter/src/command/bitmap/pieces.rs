//! Reading a part of a string without holding it.

use bytes::Bytes;

use crate::command::string::range::PIECE;
use crate::error::Outcome;
use crate::keyspace::{Flow, Keyspace};

/// Visits the bytes `start..end` of a string in pieces: the offset of a piece, and its bytes.
pub(super) fn visit(
    keyspace: &(impl Keyspace + ?Sized),
    key: &[u8],
    start: u64,
    end: u64,
    visit: &mut dyn FnMut(u64, &Bytes) -> Flow,
) -> Outcome<()> {
    let mut at = start;
    while at < end {
        let piece = keyspace.string_range(key, at, (end - at).min(PIECE))?;
        if piece.is_empty() || visit(at, &piece).is_break() {
            break;
        }
        at += piece.len() as u64;
    }
    Ok(())
}
