//! How it stands with Kiwi.

use std::sync::{Arc, Mutex, PoisonError};

use super::probe::Probed;
use crate::embedded::source::Place;

/// How it stands with Kiwi.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Link {
    /// There is no connection that may be used.
    Down(String),
    /// Kiwi is there, is ours, and does what it must.
    Up(Probed),
    /// Kiwi is there and must not be used; only a person can change that.
    Refused(String),
    /// Kiwi has lost what it had.
    Lost(String),
}

impl Link {
    /// The word for it.
    pub(super) const fn state(&self) -> &'static str {
        match self {
            Self::Down(_) => "down",
            Self::Up(_) => "up",
            Self::Refused(_) => "refused",
            Self::Lost(_) => "lost",
        }
    }

    /// Why it cannot be used now.
    pub(super) fn check(&self) -> Result<(), String> {
        match self {
            Self::Up(_) => Ok(()),
            Self::Down(reason) | Self::Refused(reason) | Self::Lost(reason) => Err(reason.clone()),
        }
    }
}

/// Says of a value that is not on Kiwi that it should be.
pub(super) fn missing(place: &Place) -> String {
    format!("a value of key '{}' is not there any more", place.key.escape_ascii())
}

/// What a reader did not find on Kiwi though it must be there, until whoever carries changes over hears of it.
#[derive(Clone, Default)]
pub(super) struct Missed(Arc<Mutex<Option<String>>>);

impl Missed {
    /// Says what is missing.
    pub(super) fn note(&self, reason: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
    }

    /// What was said last.
    pub(super) fn take(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
