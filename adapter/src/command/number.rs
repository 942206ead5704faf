//! Reading and writing numbers as Redis does.

mod extended;
mod literal;

use bytes::Bytes;
use rustc_apfloat::Float;
use rustc_apfloat::ieee::Double;

pub use extended::Extended;
use literal::Literal;

/// Doubles up to this magnitude that are integers are written as integers (`LLONG_MAX / 2` in Redis's
/// `double2ll`).
const INTEGER_LIMIT: f64 = (1_u64 << 62) as f64;

/// A double as Redis 7.2 writes it (`d2string`): the shortest digits that read back, integers without a point,
/// `inf`, `-inf`, `-0`, and exponents where its `fpconv_dtoa` uses them (`1e-7`, `1.5e+300`).
pub fn format_f64(value: f64) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "inf".to_owned() } else { "-inf".to_owned() };
    }
    if value == 0.0 {
        return if value.is_sign_negative() { "-0".to_owned() } else { "0".to_owned() };
    }
    if value == value.trunc() && value.abs() <= INTEGER_LIMIT {
        return format!("{}", value as i64);
    }
    let (digits, exponent) = shortest_digits(value.abs());
    let sign = if value < 0.0 { "-" } else { "" };
    format!("{sign}{}", place_point(&digits, exponent))
}

/// The shortest decimal digits of a positive finite double, without zeros at either end, and the power of ten
/// of the last of them.
fn shortest_digits(value: f64) -> (String, i32) {
    let mut buffer = ryu::Buffer::new();
    let text = buffer.format_finite(value);
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{whole}{fraction}");
    let digits = all.trim_end_matches('0');
    let exponent =
        exponent.parse::<i32>().unwrap_or(0) - fraction.len() as i32 + (all.len() - digits.len()) as i32;
    (digits.trim_start_matches('0').to_owned(), exponent)
}

/// Writes digits times a power of ten by the rules of `fpconv_dtoa`'s `emit_digits`.
fn place_point(digits: &str, exponent: i32) -> String {
    let count = digits.len() as i32;
    let scientific = exponent + count - 1;
    if exponent >= 0 && scientific < count + 7 {
        return format!("{digits}{}", "0".repeat(exponent as usize));
    }
    if exponent < 0 && (exponent > -7 || scientific.abs() < 4) {
        let whole = count + exponent;
        if whole <= 0 {
            return format!("0.{}{digits}", "0".repeat(whole.unsigned_abs() as usize));
        }
        let (whole, fraction) = digits.split_at(whole as usize);
        return format!("{whole}.{fraction}");
    }
    let (first, rest) = digits.split_at(1);
    let point = if rest.is_empty() { "" } else { "." };
    format!("{first}{point}{rest}e{scientific:+}")
}

/// Reads a double as C's `strtod` does and Redis's `string2d` accepts it: the whole text, no blanks, no NaN,
/// nothing too large, nothing but zero that is too small for anything but zero. Hexadecimal counts, too.
pub fn parse_f64(bytes: &[u8]) -> Option<f64> {
    let (negative, literal) = literal::read(bytes)?;
    let magnitude = match literal {
        Literal::Infinity => f64::INFINITY,
        Literal::Decimal { text, is_zero } => {
            let value = fast_float2::parse::<f64, _>(text).ok()?;
            (value.is_finite() && (value != 0.0 || is_zero)).then_some(value)?
        }
        Literal::Hexadecimal { text, is_zero } => {
            let value = f64::from_bits(text.parse::<Double>().ok()?.to_bits() as u64);
            (value.is_finite() && (value != 0.0 || is_zero)).then_some(value)?
        }
    };
    Some(if negative { -magnitude } else { magnitude })
}

/// An integer as a bulk string's bytes.
pub fn format_i64(value: i64) -> Bytes {
    Bytes::copy_from_slice(itoa::Buffer::new().format(value).as_bytes())
}

/// An unsigned integer as a bulk string's bytes.
pub fn format_u64(value: u64) -> Bytes {
    Bytes::copy_from_slice(itoa::Buffer::new().format(value).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_are_written_as_redis_7_2_writes_them() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (3.0, "3"),
            (-17.0, "-17"),
            (0.1, "0.1"),
            (0.1 + 0.2, "0.30000000000000004"),
            (1.5, "1.5"),
            (-1234.5678, "-1234.5678"),
            (1e17, "100000000000000000"),
            (1e20, "1e+20"),
            (1.5e300, "1.5e+300"),
            (0.000001, "0.000001"),
            (0.0000001, "1e-7"),
            (1.25e-7, "1.25e-7"),
            (0.0012345678901, "0.0012345678901"),
            (123456.0625, "123456.0625"),
            (12345.678901234567, "1.2345678901234567e+4"),
            (f64::MIN_POSITIVE, "2.2250738585072014e-308"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(format_f64(value), text);
            assert_eq!(parse_f64(text.as_bytes()), Some(value));
        }
    }

    #[test]
    fn doubles_are_read_as_strtod_reads_them() {
        for (text, value) in [
            (".5", 0.5),
            ("5.", 5.0),
            ("+5", 5.0),
            ("-1e3", -1000.0),
            ("1E+2", 100.0),
            ("INFinity", f64::INFINITY),
            ("-inf", f64::NEG_INFINITY),
            ("0x10", 16.0),
            ("0X1.8p1", 3.0),
            ("-0x.8", -0.5),
            ("0e999999999999999999999", 0.0),
            ("4.9e-324", f64::from_bits(1)),
            ("0000000000000000000000001", 1.0),
        ] {
            assert_eq!(parse_f64(text.as_bytes()), Some(value), "{text}");
        }
        let bad = "|.|e5|1e|1e+|nan|-nan| 1|1 |1a|0x|0x.p1|0x1p|1e400|-1e400|1e-400|+-1|--1|in|infinit|1_0|0x1p5000";
        for text in bad.split('|') {
            assert_eq!(parse_f64(text.as_bytes()), None, "{text}");
        }
    }
}
