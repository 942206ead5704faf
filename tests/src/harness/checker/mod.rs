//! Whether a history keeps what was promised.
//!
//! | module | what it checks |
//! |---|---|
//! | [`register`] | linearizability of each key, by search for an order that explains all replies |
//! | [`collections`] | lists, sets and counters: nothing acknowledged is lost, nothing is done twice |
//! | [`levels`] | the promise of each level of reads |
//! | [`expiry`] | keys live as long as they were told to |

pub mod collections;
pub mod expiry;
pub mod levels;
pub mod register;

use super::failure::Failure;

/// What a checker says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The history keeps the promise.
    Holds,
    /// It does not, and why.
    Broken(String),
    /// The budget ran out before it was known. This is no pass.
    Unknown(String),
}

impl Verdict {
    /// A pass, or why it is none.
    pub fn into_result(self) -> Result<(), Failure> {
        match self {
            Self::Holds => Ok(()),
            Self::Broken(why) => Err(Failure::Broken(why)),
            Self::Unknown(why) => Err(Failure::Undecided(why)),
        }
    }
}

impl From<Result<(), String>> for Verdict {
    fn from(result: Result<(), String>) -> Self {
        match result {
            Ok(()) => Self::Holds,
            Err(why) => Self::Broken(why),
        }
    }
}
