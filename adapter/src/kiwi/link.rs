//! How it stands with Kiwi.

/// How it stands with Kiwi.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Link {
    /// There is no connection that may be used.
    Down(String),
    /// Kiwi is there and is ours.
    Up,
    /// Kiwi is there and must not be used; only a person can change that.
    Unsafe(String),
    /// Kiwi has lost what it had.
    Lost(String),
}

impl Link {
    /// Why it cannot be used now.
    pub(super) fn check(&self) -> Result<(), String> {
        match self {
            Self::Up => Ok(()),
            Self::Down(reason) | Self::Unsafe(reason) | Self::Lost(reason) => Err(reason.clone()),
        }
    }
}
