//! Numbers to sort by: what C's `strtod` takes, which is more than other commands do.

use crate::command::arg;

/// Reads a number: blanks in front and hexadecimal are fine, nothing (also up to a zero byte) is 0, what no
/// double holds is not a number.
pub(super) fn parse(bytes: &[u8]) -> Option<f64> {
    let end = memchr::memchr(0, bytes).unwrap_or(bytes.len());
    let text = &bytes[..end];
    if text.is_empty() {
        return Some(0.0);
    }
    let blanks = text.iter().take_while(|byte| matches!(byte, b' ' | b'\t'..=b'\r')).count();
    let text = &text[blanks..];
    let value = match hexadecimal(text) {
        Some(value) => value,
        None => arg::parse_f64(text)?,
    };
    let vanished = value.is_subnormal() || value == 0.0 && !is_zero(text);
    let burst = value.is_infinite() && text.iter().any(u8::is_ascii_digit);
    (!vanished && !burst).then_some(value)
}

/// Whether a number is zero as it is written: no digit but 0 before the exponent.
fn is_zero(text: &[u8]) -> bool {
    let exponent: &[u8] = if text.iter().any(|byte| matches!(byte, b'x' | b'X')) { b"pP" } else { b"eE" };
    text.iter()
        .take_while(|byte| !exponent.contains(byte))
        .all(|byte| !matches!(byte, b'1'..=b'9' | b'a'..=b'f' | b'A'..=b'F'))
}

/// `[sign] 0x digits [. digits] [p exponent]`
fn hexadecimal(text: &[u8]) -> Option<f64> {
    let (negative, rest) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let rest = rest.strip_prefix(b"0x").or_else(|| rest.strip_prefix(b"0X"))?;
    let (mantissa, exponent) = match memchr::memchr2(b'p', b'P', rest) {
        Some(at) => (&rest[..at], std::str::from_utf8(&rest[at + 1..]).ok()?.parse::<i32>().ok()?),
        None => (rest, 0),
    };
    let (whole, fraction) = match memchr::memchr(b'.', mantissa) {
        Some(point) => (&mantissa[..point], &mantissa[point + 1..]),
        None => (mantissa, &[][..]),
    };
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut value = 0.0;
    for digit in whole.iter().chain(fraction) {
        value = value * 16.0 + f64::from(char::from(*digit).to_digit(16)?);
    }
    let scale = exponent.saturating_sub(i32::try_from(fraction.len()).ok()?.saturating_mul(4));
    let value = value * 2_f64.powi(scale);
    Some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn numbers_are_read_as_strtod_reads_them() {
        for (text, expected) in [
            (&b""[..], Some(0.0)),
            (b" 5", Some(5.0)),
            (b"5\0x", Some(5.0)),
            (b"0x10", Some(16.0)),
            (b"-0x1.8p1", Some(-3.0)),
            (b"-inf", Some(f64::NEG_INFINITY)),
            (b"1e1", Some(10.0)),
            (b"0e-400", Some(0.0)),
            (b" ", None),
            (b"5 ", None),
            (b"nan", None),
            (b"1e400", None),
            (b"1e-400", None),
            (b"0x", None),
            (b"a", None),
        ] {
            assert_eq!(parse(text), expected, "{:?}", String::from_utf8_lossy(text));
        }
    }
}
