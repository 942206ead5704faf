//! The form of a number's text, as C's `strtod` and `strtold` read it in the C locale.

use std::borrow::Cow;

/// The magnitude of a number, not yet rounded to a format.
pub(super) enum Literal<'a> {
    /// `inf` or `infinity`.
    Infinity,
    /// Digits with an optional point and exponent.
    Decimal {
        /// The text without a sign.
        text: &'a str,
        /// Whether all digits are 0.
        is_zero: bool,
    },
    /// `0x`, hexadecimal digits with an optional point, and a binary exponent.
    Hexadecimal {
        /// The text without a sign, and always with an exponent.
        text: Cow<'a, str>,
        /// Whether all digits are 0.
        is_zero: bool,
    },
}

/// Reads the whole text: whether it is negative, and its magnitude. None if it is not a number, or is NaN.
pub(super) fn read(bytes: &[u8]) -> Option<(bool, Literal<'_>)> {
    let (negative, unsigned) = match bytes {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, bytes),
    };
    if unsigned.eq_ignore_ascii_case(b"inf") || unsigned.eq_ignore_ascii_case(b"infinity") {
        return Some((negative, Literal::Infinity));
    }
    let text = std::str::from_utf8(unsigned).ok()?;
    let literal = match unsigned {
        [b'0', b'x' | b'X', digits @ ..] => {
            let (is_zero, has_exponent) = check(digits, u8::is_ascii_hexdigit, b'p')?;
            let text = if has_exponent { Cow::Borrowed(text) } else { Cow::Owned(format!("{text}p0")) };
            Literal::Hexadecimal { text, is_zero }
        }
        digits => {
            let (is_zero, _) = check(digits, u8::is_ascii_digit, b'e')?;
            Literal::Decimal { text, is_zero }
        }
    };
    Some((negative, literal))
}

/// Checks `digits [. digits] [mark [sign] decimal digits]` with at least one digit in front: whether all of
/// those are 0, and whether there is an exponent.
fn check(bytes: &[u8], is_digit: fn(&u8) -> bool, mark: u8) -> Option<(bool, bool)> {
    let end = bytes.iter().position(|byte| byte.eq_ignore_ascii_case(&mark)).unwrap_or(bytes.len());
    let (significand, exponent) = bytes.split_at(end);
    let points = significand.iter().filter(|byte| **byte == b'.').count();
    let digits = significand.iter().filter(|byte| is_digit(byte)).count();
    if points > 1 || digits == 0 || points + digits != significand.len() {
        return None;
    }
    let is_zero = significand.iter().all(|byte| matches!(byte, b'0' | b'.'));
    let well_formed = match exponent {
        [] => true,
        [_, b'+' | b'-', digits @ ..] | [_, digits @ ..] => {
            !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
        }
    };
    well_formed.then_some((is_zero, !exponent.is_empty()))
}
