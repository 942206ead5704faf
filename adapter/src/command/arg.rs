//! Reading arguments as Redis reads them: strictly, with its error texts.

pub use crate::command::number::parse_f64;
use crate::command::{Call, text};
use crate::error::{Outcome, Stop};
use crate::keyspace::{Keyspace, Kind, Meta};

/// The longest string value, bytes (Redis's `proto-max-bulk-len`).
pub const MAX_STRING: u64 = 512 * 1024 * 1024;

/// Reads a 64-bit integer in Redis's strict form: no sign but `-`, no leading zero, no blank.
pub fn parse_i64(bytes: &[u8]) -> Option<i64> {
    let digits = bytes.strip_prefix(b"-").unwrap_or(bytes);
    let well_formed = match digits {
        [b'0'] => bytes.len() == 1,
        [b'1'..=b'9', rest @ ..] => rest.len() < 20 && rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    if !well_formed {
        return None;
    }
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

impl<'a> Call<'a> {
    /// The key of a command with one key: the first argument.
    pub fn key(&self) -> &'a [u8] {
        self.args[1]
    }

    /// The argument at an index that the arity guarantees.
    pub fn arg(&self, index: usize) -> &'a [u8] {
        self.args[index]
    }

    /// The arguments from an index on; none if there are fewer.
    pub fn from(&self, index: usize) -> &'a [&'a [u8]] {
        self.args.get(index..).unwrap_or_default()
    }

    /// The argument at an index as a 64-bit integer.
    pub fn int(&self, index: usize) -> Outcome<i64> {
        int(self.args[index])
    }
}

/// An argument as a 64-bit integer, or `ERR value is not an integer or out of range`.
pub fn int(bytes: &[u8]) -> Outcome<i64> {
    parse_i64(bytes).ok_or(text::NOT_INTEGER)
}

/// An argument as a double, or `ERR value is not a valid float`.
pub fn float(bytes: &[u8]) -> Outcome<f64> {
    parse_f64(bytes).ok_or(text::NOT_FLOAT)
}

/// An argument as an integer that is at least `least`, or the given text.
pub fn int_at_least(bytes: &[u8], least: i64, text: &'static str) -> Outcome<i64> {
    parse_i64(bytes).filter(|value| *value >= least).ok_or(Stop::text(text))
}

/// Whether an argument is the given option, in any case. `option` is written in upper or lower case.
pub fn is(bytes: &[u8], option: &str) -> bool {
    bytes.eq_ignore_ascii_case(option.as_bytes())
}

/// The meta of a key that must be of `kind` if it is there.
pub fn meta_of(keyspace: &(impl Keyspace + ?Sized), key: &[u8], kind: Kind) -> Outcome<Option<Meta>> {
    let meta = keyspace.meta(key)?;
    match meta {
        Some(found) if found.kind != kind => Err(text::WRONG_TYPE),
        _ => Ok(meta),
    }
}

/// Redis's reading of a `start stop` pair of indices, negative ones from the end: the half-open range inside
/// `len`, or none if it is empty.
pub fn index_range(start: i64, stop: i64, len: u64) -> Option<(u64, u64)> {
    let len = i64::try_from(len).ok()?;
    let from_end = |index: i64| if index < 0 { index.saturating_add(len) } else { index };
    let start = from_end(start).max(0);
    let stop = from_end(stop).min(len - 1);
    (start <= stop && start < len).then(|| (start as u64, stop as u64 + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_read_strictly() {
        assert_eq!(parse_i64(b"-9223372036854775808"), Some(i64::MIN));
        assert_eq!(parse_i64(b"0"), Some(0));
        for bad in [&b""[..], b"-", b"-0", b"007", b"+1", b" 1", b"1 ", b"9223372036854775808", b"1.0"] {
            assert_eq!(parse_i64(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn ranges_are_clipped_as_redis_clips_them() {
        assert_eq!(index_range(0, -1, 3), Some((0, 3)));
        assert_eq!(index_range(-100, 100, 3), Some((0, 3)));
        assert_eq!(index_range(2, 1, 3), None);
        assert_eq!(index_range(3, 5, 3), None);
        assert_eq!(index_range(0, -4, 3), None);
        assert_eq!(index_range(0, 0, 0), None);
    }
}
