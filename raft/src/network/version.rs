//! The version of what nodes say to each other.
//!
//! | version | since | what |
//! |---|---|---|
//! | 1 | 0.1 | the first one |
//! | 2 | unreleased | an append says how far the leader knows the follower's log to match its own |
//!
//! Each node speaks a range of them. A connection begins with both ranges, and has the newest version that is in both
//! for as long as it lasts; if there is none it ends, and both nodes say so. So a cluster can be upgraded node by node,
//! as long as each step's range meets the one before.
//!
//! A later version's form of a body is chosen in [`wire`](super::wire), by [`Version::bodies`]: whoever encodes or
//! decodes a body whose form has changed is given the connection's version. A node of the version before is imitated
//! by the range `SPEAK_PEER_VERSIONS=1-1` in the environment, with debug assertions only.

use std::fmt;

/// The oldest and the newest version that this program speaks.
const SPOKEN: Versions = Versions { oldest: 1, newest: 2 };

/// The version that a connection has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version(u16);

/// The form of the bodies that depend on the version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bodies {
    /// The one of the first version.
    V1,
    /// An append says how far the follower's log is known to match.
    V2,
}

impl Version {
    /// The number.
    pub(crate) fn number(self) -> u16 {
        self.0
    }

    /// Which form the bodies have on a connection of this version.
    pub(crate) fn bodies(self) -> Bodies {
        if self.0 == 1 { Bodies::V1 } else { Bodies::V2 }
    }

    /// The version with this number, for tests of the encodings.
    pub(crate) const fn of(number: u16) -> Self {
        Self(number)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The versions that a node speaks, with both ends. 0 is no version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Versions {
    pub(crate) oldest: u16,
    pub(crate) newest: u16,
}

impl Versions {
    /// What this program speaks.
    pub(crate) fn spoken() -> Self {
        #[cfg(debug_assertions)]
        if let Ok(range) = std::env::var("SPEAK_PEER_VERSIONS")
            && let Some((oldest, newest)) = range.split_once('-')
            && let (Ok(oldest), Ok(newest)) = (oldest.parse(), newest.parse())
        {
            return Self { oldest, newest };
        }
        SPOKEN
    }

    /// The newest version that both speak.
    pub(crate) fn common(self, other: Self) -> Option<Version> {
        let newest = self.newest.min(other.newest);
        let oldest = self.oldest.max(other.oldest).max(1);
        (oldest <= newest).then_some(Version(newest))
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { oldest, newest } = self;
        if oldest == newest {
            write!(f, "version {newest}")
        } else {
            write!(f, "versions {oldest} to {newest}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn range(oldest: u16, newest: u16) -> Versions {
        Versions { oldest, newest }
    }

    #[test]
    fn two_nodes_speak_the_newest_version_that_both_know() {
        let common = |one: Versions, other: Versions| {
            assert_eq!(one.common(other), other.common(one));
            one.common(other).map(Version::number)
        };
        assert_eq!(common(range(1, 1), range(1, 1)), Some(1));
        assert_eq!(common(range(1, 2), range(2, 3)), Some(2));
        assert_eq!(common(range(1, 9), range(2, 3)), Some(3));
        assert_eq!(common(range(1, 2), range(3, 4)), None);
        assert_eq!(common(range(0, 0), range(0, 5)), None, "0 is no version");
        assert_eq!(common(range(5, 1), range(1, 5)), None, "an empty range");
    }

    #[test]
    fn a_range_is_said_in_words() {
        assert_eq!(range(2, 2).to_string(), "version 2");
        assert_eq!(range(1, 3).to_string(), "versions 1 to 3");
    }
}
