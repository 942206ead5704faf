//! Integers of any width: their names (`i16`, `u8`), their place among bits, and what happens when they
//! overflow.

use std::collections::BTreeMap;

use crate::error::{Outcome, Stop};

const TYPE: Stop = Stop::text(
    "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.",
);

/// What happens to a value that does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overflow {
    /// The high bits are lost.
    Wrap,
    /// The nearest value that fits is taken.
    Saturate,
    /// Nothing is done, and null answered.
    Fail,
}

/// A type of integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct IntegerType {
    signed: bool,
    /// 1 to 64; to 63 if unsigned.
    pub(super) bits: u32,
}

impl IntegerType {
    /// Reads `i<bits>` or `u<bits>`.
    pub(super) fn parse(bytes: &[u8]) -> Outcome<Self> {
        let (signed, digits, most) = match bytes {
            [b'i', digits @ ..] => (true, digits, 64),
            [b'u', digits @ ..] => (false, digits, 63),
            _ => return Err(TYPE),
        };
        let bits =
            crate::command::arg::parse_i64(digits).filter(|bits| (1..=most).contains(bits)).ok_or(TYPE)?;
        Ok(Self { signed, bits: bits as u32 })
    }

    fn max(self) -> i128 {
        (1 << (self.bits - u32::from(self.signed))) - 1
    }

    fn min(self) -> i128 {
        if self.signed { -(1 << (self.bits - 1)) } else { 0 }
    }

    /// Fits `value + increment`; none if it does not fit and overflow fails. To SET, the increment is 0.
    pub(super) fn fit(self, value: i64, increment: i64, overflow: Overflow) -> Option<i64> {
        // A value to SET in an unsigned field is read as unsigned, so that a negative one is too large.
        let value = if self.signed { i128::from(value) } else { i128::from(value as u64) };
        let sum = value + i128::from(increment);
        let fitted = if (self.min()..=self.max()).contains(&sum) {
            sum
        } else {
            match overflow {
                Overflow::Fail => return None,
                // Redis computes `max - value` in 64 bits: a value to SET near the least integer wraps around
                // there and counts as too large.
                Overflow::Saturate if self.wraps_around(value) => self.max(),
                Overflow::Saturate => sum.clamp(self.min(), self.max()),
                Overflow::Wrap => self.wrap(sum),
            }
        };
        Some(fitted as i64)
    }

    fn wraps_around(self, value: i128) -> bool {
        self.signed && self.bits < 64 && value < self.max() - i128::from(i64::MAX)
    }

    fn wrap(self, value: i128) -> i128 {
        let low = value & ((1 << self.bits) - 1);
        if self.signed && low > self.max() { low - (1 << self.bits) } else { low }
    }
}

/// Bytes of a string by offset, those that a call touches. Behind the string's end they are 0.
#[derive(Debug, Default)]
pub(super) struct Bytemap(pub(super) BTreeMap<u64, u8>);

impl Bytemap {
    /// The integer whose first bit is at this offset.
    pub(super) fn get(&self, at: u64, kind: IntegerType) -> i64 {
        let low = (at..at + u64::from(kind.bits)).fold(0_i128, |value, bit| {
            let byte = self.0.get(&(bit / 8)).copied().unwrap_or(0);
            value << 1 | i128::from(byte >> (7 - bit % 8) & 1)
        });
        kind.wrap(low) as i64
    }

    /// Puts an integer that fits.
    pub(super) fn set(&mut self, at: u64, kind: IntegerType, value: i64) {
        for (index, bit) in (at..at + u64::from(kind.bits)).enumerate() {
            let one = (value >> (kind.bits as usize - 1 - index) & 1) as u8;
            let (byte, shift) = (self.0.entry(bit / 8).or_default(), 7 - bit % 8);
            *byte = *byte & !(1 << shift) | one << shift;
        }
    }
}
