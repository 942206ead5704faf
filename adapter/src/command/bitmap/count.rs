//! Counting bits and finding the first: BITCOUNT and BITPOS.

use super::pieces;
use crate::command::arg::{int, is, meta_of};
use crate::command::string::range::clip;
use crate::command::{Call, text};
use crate::error::{Outcome, Stop};
use crate::keyspace::{Flow, Keyspace, Kind};
use crate::reply::Reply;

const BIT_ARGUMENT: Stop = Stop::text("ERR The bit argument must be 1 or 0.");

/// Reads the optional `BYTE` or `BIT` at the end: whether a range counts bits.
fn counts_bits(unit: Option<&&[u8]>) -> Outcome<bool> {
    match unit {
        None => Ok(false),
        Some(unit) if is(unit, "bit") => Ok(true),
        Some(unit) if is(unit, "byte") => Ok(false),
        Some(_) => Err(text::SYNTAX),
    }
}

/// The part of a byte that lies inside a range of bits.
fn mask(byte_at: u64, first_bit: u64, end_bit: u64) -> u8 {
    let start = byte_at * 8;
    let from_left = first_bit.saturating_sub(start).min(8);
    let to_right = (start + 8).saturating_sub(end_bit).min(8);
    let left = 0xff_u16 >> from_left;
    let right = 0xff_u16 << to_right;
    (left & right) as u8
}

/// `BITCOUNT key [start end [BYTE | BIT]]`
pub(super) fn bitcount(keyspace: &dyn Keyspace, call: &Call<'_>) -> Outcome<Reply> {
    let Some(meta) = meta_of(keyspace, call.key(), Kind::String)? else { return Ok(Reply::Integer(0)) };
    let bits = match call.from(2) {
        [] => Some((0, meta.len * 8)),
        [start, end, unit @ ..] if unit.len() <= 1 => {
            let (start, end) = (int(start)?, int(end)?);
            if start < 0 && end < 0 && start > end {
                // Redis answers this before it looks at the unit.
                return Ok(Reply::Integer(0));
            }
            let unit = if counts_bits(unit.first())? { 1 } else { 8 };
            clip(start, end, meta.len * 8 / unit).map(|(start, end)| (start * unit, end * unit))
        }
        _ => return Err(text::SYNTAX),
    };
    let Some((first, end)) = bits else { return Ok(Reply::Integer(0)) };
    let mut count = 0;
    pieces::visit(keyspace, call.key(), first / 8, end.div_ceil(8), &mut |at, piece| {
        count += ones(piece);
        // Only the outer bytes of the range can lie partly outside.
        for edge in
            [(at, piece.first()), (at + piece.len() as u64 - 1, piece.last())].iter().take(piece.len())
        {
            let outside = edge.1.copied().unwrap_or(0) & !mask(edge.0, first, end);
            count -= u64::from(outside.count_ones());
        }
        Flow::Continue(())
    })?;
    Ok(Reply::count(count))
}

fn ones(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let whole: u64 = words.iter().map(|word| u64::from(u64::from_le_bytes(*word).count_ones())).sum();
    whole + rest.iter().map(|byte| u64::from(byte.count_ones())).sum::<u64>()
}

/// `BITPOS key bit [start [end [BYTE | BIT]]]`
pub(super) fn bitpos(keyspace: &dyn Keyspace, call: &Call<'_>) -> Outcome<Reply> {
    let wanted = match call.int(2)? {
        0 => false,
        1 => true,
        _ => return Err(BIT_ARGUMENT),
    };
    let missing = || Ok(Reply::Integer(-1));
    let Some(meta) = meta_of(keyspace, call.key(), Kind::String)? else {
        return if wanted { missing() } else { Ok(Reply::Integer(0)) };
    };
    let args = call.from(3);
    if args.len() > 3 {
        return Err(text::SYNTAX);
    }
    let start = args.first().map_or(Ok(0), |start| int(start))?;
    let unit = if counts_bits(args.get(2))? { 1 } else { 8 };
    let end = args.get(1).map_or(Ok(-1), |end| int(end))?;
    let Some((first, end)) = clip_each(start, end, meta.len * 8 / unit) else { return missing() };
    let (first, end) = (first * unit, end * unit);
    match find(keyspace, call.key(), wanted, first, end)? {
        Some(bit) => Ok(Reply::count(bit)),
        // Without an end, the string counts as followed by zeros.
        None if !wanted && args.len() < 2 => Ok(Reply::count(end)),
        None => missing(),
    }
}

/// As [`clip`], but without its rule that of two indices from the end the start must not be behind the end
/// before they are clipped: Redis has it for BITCOUNT only.
fn clip_each(start: i64, end: i64, len: u64) -> Option<(u64, u64)> {
    let signed = i64::try_from(len).ok()?;
    let start = if start < 0 { start.saturating_add(signed).max(0) } else { start };
    clip(start, end, len)
}

/// The first bit of a value among the bits `first..end`.
fn find(keyspace: &dyn Keyspace, key: &[u8], wanted: bool, first: u64, end: u64) -> Outcome<Option<u64>> {
    let mut found = None;
    let uninteresting = if wanted { 0x00 } else { 0xff };
    pieces::visit(keyspace, key, first / 8, end.div_ceil(8), &mut |at, piece| {
        let mut rest = &piece[..];
        while let Some(index) = rest.iter().position(|byte| *byte != uninteresting) {
            let byte_at = at + (piece.len() - rest.len() + index) as u64;
            let hits = (rest[index] ^ uninteresting) & mask(byte_at, first, end);
            if hits != 0 {
                found = Some(byte_at * 8 + u64::from(hits.leading_zeros()));
                return Flow::Break(());
            }
            rest = &rest[index + 1..];
        }
        Flow::Continue(())
    })?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::mask;

    #[test]
    fn a_mask_covers_what_of_a_byte_is_inside_the_range() {
        assert_eq!(mask(0, 0, 8), 0xff);
        assert_eq!(mask(0, 3, 8), 0x1f);
        assert_eq!(mask(0, 3, 5), 0x18);
        assert_eq!(mask(1, 3, 9), 0x80);
        assert_eq!(mask(1, 3, 8), 0);
        assert_eq!(mask(0, 9, 12), 0);
        assert_eq!(mask(5, 0, 1000), 0xff);
    }
}
