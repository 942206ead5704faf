//! Which data directory: a random number that is made with a node's Raft log.
//!
//! It stands in the identity file, in the log, in the file that says how far the log has been, and in the membership.
//! So a log that was exchanged or lost is noticed on the node itself, and a directory that was made anew by every
//! other member.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// See the module. Written as 32 hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DataId(pub(crate) u128);

impl DataId {
    /// One that nobody else has.
    pub(crate) fn random() -> Self {
        Self(rand::random())
    }
}

impl fmt::Display for DataId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// A text that is no data id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no data id: it has 32 hex digits")]
pub struct NoDataId(String);

impl FromStr for DataId {
    type Err = NoDataId;

    fn from_str(text: &str) -> Result<Self, NoDataId> {
        let is_hex = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = is_hex.then(|| u128::from_str_radix(text, 16).ok()).flatten();
        number.map(Self).ok_or_else(|| NoDataId(text.to_owned()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_data_id_is_read_as_it_is_written_and_nothing_else_is_one() {
        let id = DataId(0xab);
        assert_eq!(id.to_string(), "000000000000000000000000000000ab");
        assert_eq!(id.to_string().parse::<DataId>().unwrap(), id);
        for bad in ["", "ab", "+00000000000000000000000000000ab", "000000000000000000000000000000abc"] {
            assert!(bad.parse::<DataId>().is_err(), "{bad}");
        }
    }
}
