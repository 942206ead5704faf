//! The state of the connection to Kiwi.

use std::sync::{Arc, Mutex, PoisonError};

use super::compatibility::Capabilities;
use crate::embedded::offload::remote::ValueId;

/// The state of the connection to Kiwi.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ConnectionState {
    /// No usable connection.
    Down(String),
    /// Kiwi is reachable, owned by this node, and compatible.
    Up(Capabilities),
    /// Kiwi is reachable and must not be used; only an operator can change that.
    Refused(String),
    /// Kiwi has lost data.
    Lost(String),
}

impl ConnectionState {
    /// Its name in `INFO`.
    pub(super) const fn state(&self) -> &'static str {
        match self {
            Self::Down(_) => "down",
            Self::Up(_) => "up",
            Self::Refused(_) => "refused",
            Self::Lost(_) => "lost",
        }
    }

    /// Why the connection cannot be used; none if it can.
    pub(super) fn trouble(&self) -> Option<&str> {
        match self {
            Self::Up(_) => None,
            Self::Down(reason) | Self::Refused(reason) | Self::Lost(reason) => Some(reason),
        }
    }
}

/// The message for a value that should be on Kiwi and is not.
pub(super) fn missing_value_message(id: &ValueId) -> String {
    format!("a value of key '{}' is not there any more", id.key.escape_ascii())
}

/// Passes word of a value that a reader did not find on Kiwi, though it must be there, to the write-behind worker.
#[derive(Clone, Default)]
pub(super) struct LossReport(Arc<Mutex<Option<String>>>);

impl LossReport {
    /// Reports a missing value.
    pub(super) fn note(&self, reason: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
    }

    /// Takes the last report.
    pub(super) fn take(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
