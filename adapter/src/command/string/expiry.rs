//! The options that give a value a deadline: EX, PX, EXAT, PXAT, and SETEX's and PSETEX's argument.

use crate::command::arg;
use crate::error::{Outcome, Stop};

/// A time as a client gave it, not yet read: Redis reports unknown options before bad times.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expiry<'a> {
    /// The number.
    pub(super) text: &'a [u8],
    /// Whether it counts seconds; milliseconds if not.
    pub(super) seconds: bool,
    /// Whether it is Unix time; from now on if not.
    pub(super) absolute: bool,
}

impl<'a> Expiry<'a> {
    /// The form of the option of this name.
    pub(super) fn option(name: &[u8], text: &'a [u8]) -> Option<Self> {
        [("ex", true, false), ("px", false, false), ("exat", true, true), ("pxat", false, true)]
            .into_iter()
            .find(|(option, ..)| arg::is(name, option))
            .map(|(_, seconds, absolute)| Self { text, seconds, absolute })
    }

    /// The deadline, Unix milliseconds. `command` is the name in the error's text.
    pub(super) fn deadline(&self, now_ms: u64, command: &str) -> Outcome<u64> {
        let number = arg::int(self.text)?;
        let invalid = || Stop::say(format!("ERR invalid expire time in '{command}' command"));
        if number <= 0 {
            return Err(invalid());
        }
        let unit = if self.seconds { 1000 } else { 1 };
        let base = if self.absolute { 0 } else { i64::try_from(now_ms).map_err(|_| invalid())? };
        let deadline =
            number.checked_mul(unit).and_then(|span| span.checked_add(base)).ok_or_else(invalid)?;
        Ok(deadline.unsigned_abs())
    }
}
