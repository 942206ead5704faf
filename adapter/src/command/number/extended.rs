//! The extended double (64-bit significand, x86's `long double`) that Redis adds in for INCRBYFLOAT and
//! HINCRBYFLOAT: so 0.1 + 0.2 is 0.3. Computed in software, and so alike on every machine.

use rustc_apfloat::Float;
use rustc_apfloat::ieee::X87DoubleExtended;

use super::literal::{self, Literal};

/// The longest text that Redis reads as a long double, bytes (`MAX_LONG_DOUBLE_CHARS` - 1).
const LONGEST: usize = 5 * 1024 - 1;

/// The digits behind the point that Redis writes at most (`%.17Lf`).
const FRACTION_DIGITS: u32 = 17;

/// An extended double; never NaN.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Extended(X87DoubleExtended);

impl Extended {
    /// Zero: what a missing value counts as.
    pub const ZERO: Self = Self(X87DoubleExtended::ZERO);

    /// Reads it as C's `strtold` does and Redis's `string2ld` accepts it: the whole text, no blanks, no NaN,
    /// nothing too large or too small. `inf` is accepted.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > LONGEST {
            return None;
        }
        let (negative, literal) = literal::read(bytes)?;
        let (text, is_zero) = match &literal {
            Literal::Infinity => return Some(Self(signed(X87DoubleExtended::INFINITY, negative))),
            Literal::Decimal { text, is_zero } => (*text, *is_zero),
            Literal::Hexadecimal { text, is_zero } => (text.as_ref(), *is_zero),
        };
        if is_zero {
            return Some(Self(signed(X87DoubleExtended::ZERO, negative)));
        }
        let magnitude: X87DoubleExtended = text.parse().ok()?;
        (magnitude.is_finite() && !magnitude.is_zero()).then(|| Self(signed(magnitude, negative)))
    }

    /// Whether it is neither of the infinities.
    pub fn is_finite(self) -> bool {
        self.0.is_finite()
    }

    /// The sum, rounded to nearest; none if it is not finite.
    pub fn sum(self, other: Self) -> Option<Self> {
        let sum = (self.0 + other.0).value;
        sum.is_finite().then_some(Self(sum))
    }

    /// Redis's `ld2string` for people: `%.17Lf` without zeros at the end. Of a finite number.
    pub fn format(self) -> String {
        let bits = self.0.to_bits();
        let significand = bits as u64;
        let biased = ((bits >> 64) & 0x7fff) as i32;
        // The value is significand * 2^exponent; 16383 is the bias, 63 the bits behind the leading one.
        let exponent = biased.max(1) - 16383 - 63;
        let magnitude = if exponent >= 0 {
            whole(significand, exponent.unsigned_abs())
        } else {
            fraction(significand, exponent.unsigned_abs())
        };
        let negative = bits >> 79 & 1 == 1 && magnitude != "0";
        if negative { format!("-{magnitude}") } else { magnitude }
    }
}

fn signed(value: X87DoubleExtended, negative: bool) -> X87DoubleExtended {
    if negative { -value } else { value }
}

/// `significand / 2^shift`, rounded half to even at the last digit behind the point.
fn fraction(significand: u64, shift: u32) -> String {
    let one = 10_u128.pow(FRACTION_DIGITS);
    // Below 2^121, so that a shift by 128 or more leaves less than half a unit of the last digit.
    let scaled = u128::from(significand) * one;
    let rounded = if shift >= 128 {
        0
    } else {
        let (quotient, rest, half) = (scaled >> shift, scaled & ((1 << shift) - 1), 1 << (shift - 1));
        quotient + u128::from(rest > half || (rest == half && quotient & 1 == 1))
    };
    let text = format!("{}.{:017}", rounded / one, rounded % one);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// `significand * 2^shift`, exactly.
fn whole(significand: u64, mut shift: u32) -> String {
    const LIMB: u128 = 1_000_000_000_000_000_000;
    let mut limbs = vec![u128::from(significand) % LIMB, u128::from(significand) / LIMB];
    while shift > 0 {
        let step = shift.min(64);
        let mut carry = 0;
        for limb in &mut limbs {
            let product = (*limb << step) + carry;
            *limb = product % LIMB;
            carry = product / LIMB;
        }
        while carry > 0 {
            limbs.push(carry % LIMB);
            carry /= LIMB;
        }
        shift -= step;
    }
    let text: String = limbs.iter().rev().map(|limb| format!("{limb:018}")).collect();
    let text = text.trim_start_matches('0');
    if text.is_empty() { "0".to_owned() } else { text.to_owned() }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test's panic is its failure")]
mod tests {
    use super::*;

    fn add(left: &str, right: &str) -> Option<String> {
        let sum = Extended::parse(left.as_bytes()).unwrap().sum(Extended::parse(right.as_bytes()).unwrap());
        sum.map(Extended::format)
    }

    #[test]
    fn sums_are_those_of_redis() {
        for (left, right, sum) in [
            ("0.1", "0.2", "0.3"),
            ("10.5", "0.1", "10.6"),
            ("5.0e3", "2.0e2", "5200"),
            ("3.0", "0", "3"),
            ("0x10", "-16", "0"),
            ("-0.0", "-0", "0"),
            ("1e-4000", "0", "0"),
            ("12345678901234567890123", "0", "12345678901234567889920"),
            ("3.141592653589793238462643383279", "0", "3.14159265358979324"),
            ("-1e-17", "0", "-0.00000000000000001"),
            ("5e-18", "0", "0"),
            ("5.1e-18", "0", "0.00000000000000001"),
            ("18446744073709551615", "1", "18446744073709551616"),
        ] {
            assert_eq!(add(left, right).as_deref(), Some(sum), "{left} + {right}");
        }
    }

    #[test]
    fn sums_past_the_largest_are_none() {
        assert_eq!(add("1e4932", "1e4932"), None);
        assert_eq!(add("inf", "1"), None);
        assert_eq!(add("inf", "-inf"), None);
        assert_eq!(add("1e4932", "-1e4932").as_deref(), Some("0"));
    }

    #[test]
    fn what_redis_does_not_read_is_not_read() {
        for text in
            ["", "abc", "1e5000", "1e-5000", "nan", " 5", "5 ", "1e999999999999999999999", "0x", "1.2.3"]
        {
            assert_eq!(Extended::parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(Extended::parse(&b"0".repeat(LONGEST + 1)), None);
    }
}
