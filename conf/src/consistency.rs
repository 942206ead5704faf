//! How recent a read must be: the five levels, as they are written and read.

use std::fmt;
use std::time::Duration;

use crate::expected::Expected;

/// The longest bound that a read may name.
pub const MAX_STALENESS: Duration = Duration::from_secs(24 * 3600);

/// What a read is promised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Consistency {
    /// It sees every write that was answered before it began.
    #[default]
    Linearizable,
    /// The same, while clocks drift apart by no more than `raft.max_clock_drift`.
    Lease,
    /// It sees its own connection's writes, and nothing older than what the connection has read before.
    Session,
    /// It sees every write that was answered this long before it began.
    Bounded(Duration),
    /// It sees what this node has, whatever its age.
    Eventual,
}

impl Consistency {
    /// The names of the levels, for people.
    pub const NAMES: &str = "linearizable, lease, session, bounded or eventual";

    /// The level of this name, in any case; `bound` goes with `bounded` and with nothing else.
    pub fn named(name: &str, bound: Option<Duration>) -> Result<Self, ConsistencyError> {
        let level = match (name.to_ascii_lowercase().as_str(), bound) {
            ("bounded", Some(bound)) if bound <= MAX_STALENESS => Self::Bounded(bound),
            ("bounded", Some(_)) => return Err(ConsistencyError::LongBound),
            ("bounded", None) => return Err(ConsistencyError::NoBound),
            ("linearizable", _) => Self::Linearizable,
            ("lease", _) => Self::Lease,
            ("session", _) => Self::Session,
            ("eventual", _) => Self::Eventual,
            _ => return Err(ConsistencyError::Unknown(name.chars().take(64).collect())),
        };
        match (level, bound) {
            (Self::Bounded(_), _) | (_, None) => Ok(level),
            (_, Some(_)) => Err(ConsistencyError::BoundOfAnother(level)),
        }
    }

    /// Reads what [`fmt::Display`] writes: `session`, `bounded 500`. The bound may have a unit, as in a
    /// configuration: `bounded 2s`.
    pub fn parse(text: &str) -> Result<Self, ConsistencyError> {
        let mut words = text.split_whitespace();
        let name = words.next().unwrap_or_default();
        let bound = words.next().map(|bound| crate::value::duration(bound, Duration::ZERO..=MAX_STALENESS));
        if words.next().is_some() {
            return Err(ConsistencyError::TooManyWords(text.to_owned()));
        }
        Self::named(name, bound.transpose()?)
    }

    /// Whether a read sees every write that was answered before it began, which takes the leader to know.
    pub fn is_linearizable(self) -> bool {
        matches!(self, Self::Linearizable | Self::Lease)
    }

    /// Whether a read at this level has the log remove what is due before it is answered, so that every later read
    /// at such a level agrees. Reads at other levels hide it and change nothing.
    pub fn removes_what_is_due(self) -> bool {
        self.is_linearizable()
    }
}

impl fmt::Display for Consistency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Linearizable => f.write_str("linearizable"),
            Self::Lease => f.write_str("lease"),
            Self::Session => f.write_str("session"),
            Self::Bounded(bound) => write!(f, "bounded {}", bound.as_millis()),
            Self::Eventual => f.write_str("eventual"),
        }
    }
}

/// Why a text names no level.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConsistencyError {
    /// There is no such level.
    #[error("unknown consistency level '{0}', it must be {names}", names = Consistency::NAMES)]
    Unknown(String),
    /// `bounded` without a bound.
    #[error("the level bounded needs a bound in milliseconds")]
    NoBound,
    /// A bound beyond [`MAX_STALENESS`].
    #[error("a bound is at most {} ms", MAX_STALENESS.as_millis())]
    LongBound,
    /// A bound with a level that has none.
    #[error("the level {0} has no bound, only bounded has")]
    BoundOfAnother(Consistency),
    /// The bound is no duration.
    #[error("the bound must be {0}")]
    Bound(#[from] Expected),
    /// There is more than a level and a bound.
    #[error("'{0}' has more than a level and a bound")]
    TooManyWords(String),
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn levels_read_what_they_write() {
        let bounded = Consistency::Bounded(Duration::from_millis(250));
        for level in [
            Consistency::Linearizable,
            Consistency::Lease,
            Consistency::Session,
            Consistency::Eventual,
            bounded,
        ] {
            assert_eq!(Consistency::parse(&level.to_string()).unwrap(), level);
        }
        assert_eq!(Consistency::parse("BOUNDED 2s").unwrap(), Consistency::Bounded(Duration::from_secs(2)));
    }

    #[test]
    fn what_is_no_level_is_an_error_and_never_another_level() {
        for (text, error) in [
            (
                "strong",
                "unknown consistency level 'strong', it must be linearizable, lease, session, bounded or eventual",
            ),
            (
                "",
                "unknown consistency level '', it must be linearizable, lease, session, bounded or eventual",
            ),
            ("bounded", "the level bounded needs a bound in milliseconds"),
            ("eventual 5", "the level eventual has no bound, only bounded has"),
            ("bounded 5 6", "'bounded 5 6' has more than a level and a bound"),
            ("bounded soon", "the bound must be a duration such as \"200ms\" or \"5s\", from 0s to 1440m"),
        ] {
            assert_eq!(Consistency::parse(text).unwrap_err().to_string(), error);
        }
    }
}
