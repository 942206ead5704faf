//! LZF decompression, as in Redis's `lzf_d.c`.
//!
//! ```text
//! 000LLLLL                    L+1 literal bytes follow
//! LLLooooo oooooooo           copy L+2 bytes from o+1 bytes back; L is 1..=6
//! 111ooooo LLLLLLLL oooooooo  copy L+9 bytes
//! ```

use crate::command::arg::MAX_STRING;

/// The most bytes that one compressed byte can stand for: 264 from three.
const MAX_RATIO: u64 = 88;

/// Decompresses `input`, which must give exactly `len` bytes; none if it does not.
pub(in super::super) fn decompress(input: &[u8], len: u64) -> Option<Vec<u8>> {
    if len > MAX_STRING || len > (input.len() as u64).saturating_mul(MAX_RATIO) {
        return None;
    }
    let len = usize::try_from(len).ok()?;
    let mut output = Vec::with_capacity(len);
    let mut rest = input;
    while let Some((&control, tail)) = rest.split_first() {
        rest = if control < 32 {
            let (literal, tail) = tail.split_at_checked(usize::from(control) + 1)?;
            output.extend_from_slice(literal);
            tail
        } else {
            copy_back(control, tail, &mut output)?
        };
        if output.len() > len {
            return None;
        }
    }
    (output.len() == len).then_some(output)
}

/// Copies what a back reference means; what follows it.
fn copy_back<'a>(control: u8, tail: &'a [u8], output: &mut Vec<u8>) -> Option<&'a [u8]> {
    let short = usize::from(control >> 5);
    let (length, tail) = match short {
        7 => tail.split_first().map(|(more, tail)| (usize::from(*more) + 9, tail))?,
        _ => (short + 2, tail),
    };
    let (&low, tail) = tail.split_first()?;
    let back = (usize::from(control & 0x1f) << 8 | usize::from(low)) + 1;
    let from = output.len().checked_sub(back)?;
    // The copy may overlap what it writes: that is how runs are encoded.
    for at in from..from + length {
        output.push(output[at]);
    }
    Some(tail)
}

#[cfg(test)]
mod tests {
    use super::decompress;

    #[test]
    fn literals_and_references_decompress() {
        assert_eq!(decompress(b"\x02abc", 3).as_deref(), Some(&b"abc"[..]));
        assert_eq!(decompress(b"\x00a\xe0\x02\x00", 12).as_deref(), Some(&b"aaaaaaaaaaaa"[..]));
        assert_eq!(decompress(b"\x01ab\x40\x01", 6).as_deref(), Some(&b"ababab"[..]));
    }

    #[test]
    fn damaged_input_is_refused() {
        for (input, len) in [
            (&b"\x02ab"[..], 3),
            (b"\x20\x00", 3),
            (b"\x00a\x20", 4),
            (b"\x00a", 2),
            (b"\x00a", u64::MAX),
            (b"", 1),
        ] {
            assert_eq!(decompress(input, len), None, "{input:?}");
        }
    }
}
