//! Why a configuration must not be started with.

use std::path::Path;

use crate::origin::Origin;

/// A configuration that must not be started with: a sentence that names the place and the key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}{reason}")]
pub struct ConfigError {
    /// Where it is wrong, with `: ` behind it; empty if there is no such place.
    place: String,
    reason: String,
}

impl ConfigError {
    /// Something is wrong that was set there.
    pub(crate) fn at(origin: &Origin, reason: impl Into<String>) -> Self {
        Self { place: format!("{origin}: "), reason: reason.into() }
    }

    /// Something is missing from a file.
    pub(crate) fn in_file(path: &Path, reason: impl Into<String>) -> Self {
        Self { place: format!("{}: ", path.display()), reason: reason.into() }
    }

    /// Something is missing, and there is no file that it could be missing from.
    pub(crate) fn nowhere(reason: impl Into<String>) -> Self {
        Self { place: String::new(), reason: reason.into() }
    }
}
