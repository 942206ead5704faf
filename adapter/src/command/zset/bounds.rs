//! The bounds of ranges over sorted sets: `(1.5`, `+inf`, `[a`, `(b`, `-`, `+`.

use crate::command::arg::parse_f64;
use crate::error::{Outcome, Stop};

const BAD_SCORE: Stop = Stop::text("ERR min or max is not a float");
const BAD_LEX: Stop = Stop::text("ERR min or max not valid string range item");

/// A range of scores.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct ScoreRange {
    /// The lowest score, after an open bound was moved to the next double.
    pub(super) min: f64,
    /// The highest score, likewise.
    pub(super) max: f64,
    /// Nothing is in it, whatever `min` and `max` say: an open bound beyond the last double.
    nothing: bool,
}

impl ScoreRange {
    /// Reads the bounds as Redis does.
    pub(super) fn parse(min: &[u8], max: &[u8]) -> Outcome<Self> {
        let ((min, min_open), (max, max_open)) = (parse_score(min)?, parse_score(max)?);
        // Scores are doubles: above x means from the next double after x on.
        let nothing = (min_open && min == f64::INFINITY) || (max_open && max == f64::NEG_INFINITY);
        Ok(Self {
            min: if min_open { min.next_up() } else { min },
            max: if max_open { max.next_down() } else { max },
            nothing,
        })
    }

    /// Whether no score is in the range.
    pub(super) fn is_empty(&self) -> bool {
        self.nothing || self.min > self.max
    }

    /// Whether every score is in the range.
    pub(super) fn is_everything(&self) -> bool {
        !self.nothing && self.min == f64::NEG_INFINITY && self.max == f64::INFINITY
    }
}

/// A score and whether it is excluded. Redis reads it with C's `strtod`, which is laxer than the reading of
/// scores that are stored: leading blanks are passed over, nothing at all is 0, and too large is infinite.
fn parse_score(bytes: &[u8]) -> Outcome<(f64, bool)> {
    let (text, open) = match bytes {
        [b'(', text @ ..] => (text, true),
        text => (text, false),
    };
    let trimmed = text.trim_ascii_start();
    let score = match text {
        [] => Some(0.0),
        _ => parse_f64(trimmed).or_else(|| parse_out_of_range(trimmed)),
    };
    Ok((score.ok_or(BAD_SCORE)?, open))
}

/// A decimal number whose nearest double is infinite or zero.
fn parse_out_of_range(text: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(text).ok()?;
    text.bytes().any(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// One bound of a range of members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LexBound<'a> {
    /// `-`: before every member.
    Lowest,
    /// `+`: behind every member.
    Highest,
    /// `[member`
    Closed(&'a [u8]),
    /// `(member`
    Open(&'a [u8]),
}

impl<'a> LexBound<'a> {
    fn parse(bytes: &'a [u8]) -> Outcome<Self> {
        match bytes {
            b"-" => Ok(Self::Lowest),
            b"+" => Ok(Self::Highest),
            [b'[', member @ ..] => Ok(Self::Closed(member)),
            [b'(', member @ ..] => Ok(Self::Open(member)),
            _ => Err(BAD_LEX),
        }
    }

    /// The member at the bound.
    pub(super) fn member(&self) -> Option<&'a [u8]> {
        match self {
            Self::Closed(member) | Self::Open(member) => Some(member),
            Self::Lowest | Self::Highest => None,
        }
    }
}

/// A range of members, which sorts as Redis sorts it if all scores are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LexRange<'a> {
    /// The lower bound.
    pub(super) min: LexBound<'a>,
    /// The upper bound.
    pub(super) max: LexBound<'a>,
}

impl<'a> LexRange<'a> {
    /// Reads the bounds.
    pub(super) fn parse(min: &'a [u8], max: &'a [u8]) -> Outcome<Self> {
        Ok(Self { min: LexBound::parse(min)?, max: LexBound::parse(max)? })
    }

    /// Whether a member is not below the range.
    pub(super) fn is_from(&self, member: &[u8]) -> bool {
        match self.min {
            LexBound::Lowest => true,
            LexBound::Highest => false,
            LexBound::Closed(min) => member >= min,
            LexBound::Open(min) => member > min,
        }
    }

    /// Whether a member is not above the range.
    pub(super) fn is_up_to(&self, member: &[u8]) -> bool {
        match self.max {
            LexBound::Lowest => false,
            LexBound::Highest => true,
            LexBound::Closed(max) => member <= max,
            LexBound::Open(max) => member < max,
        }
    }

    /// Whether no member can be in the range.
    pub(super) fn is_empty(&self) -> bool {
        match (self.min, self.max) {
            (LexBound::Highest, _) | (_, LexBound::Lowest) => true,
            (LexBound::Closed(min), LexBound::Closed(max)) => min > max,
            (LexBound::Closed(min) | LexBound::Open(min), LexBound::Closed(max) | LexBound::Open(max)) => {
                min >= max
            }
            _ => false,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test's panic is its failure")]
mod tests {
    use super::*;

    #[test]
    fn scores_are_read_as_strtod_reads_them() {
        for (text, score, open) in [
            ("1.5", 1.5, false),
            ("(1.5", 1.5, true),
            ("", 0.0, false),
            ("(", 0.0, true),
            (" 7", 7.0, false),
            ("-inf", f64::NEG_INFINITY, false),
            ("(+Infinity", f64::INFINITY, true),
            ("1e400", f64::INFINITY, false),
            ("-1e400", f64::NEG_INFINITY, false),
        ] {
            assert_eq!(parse_score(text.as_bytes()).unwrap(), (score, open), "{text:?}");
        }
        for text in ["nan", "a", "1 ", "1x", "[1", "((1", "1e400x"] {
            assert!(parse_score(text.as_bytes()).is_err(), "{text:?}");
        }
    }

    #[test]
    fn open_bounds_exclude_their_score_and_nothing_else() {
        let range = ScoreRange::parse(b"(1", b"(2").unwrap();
        assert!(range.min > 1.0 && range.min <= 1.0 + f64::EPSILON);
        assert!(range.max < 2.0 && range.max >= 2.0 - f64::EPSILON);
        assert!(ScoreRange::parse(b"(1", b"1").unwrap().is_empty());
        assert!(ScoreRange::parse(b"(inf", b"inf").unwrap().is_empty());
        assert!(ScoreRange::parse(b"-inf", b"(-inf").unwrap().is_empty());
        assert!(!ScoreRange::parse(b"inf", b"inf").unwrap().is_empty());
        assert!(ScoreRange::parse(b"(0", b"(5e-324").unwrap().is_empty());
    }
}
