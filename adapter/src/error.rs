//! Why a command or a storage stopped.

use std::borrow::Cow;

/// A storage could not do what it was asked to. While applying, this stops the node: it must not guess.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StorageError {
    /// The engine or the file system below it failed.
    #[error("storage failed to {what}: {reason}")]
    Engine {
        /// What was being done, as a verb phrase: `write a batch`.
        what: &'static str,
        /// What the engine said.
        reason: String,
    },
    /// What is stored does not have the form it was written in.
    #[error("storage holds damaged data: {0}")]
    Corrupt(String),
    /// A log entry, a snapshot or a file from a peer does not have the form it must have.
    #[error("malformed {what}: {reason}")]
    Malformed {
        /// What was read: `batch`, `snapshot`.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A storage that is a process of its own cannot be reached now. What was asked for may work later.
    #[error("the storage cannot be reached: {0}")]
    Away(String),
    /// A storage that is a process of its own has lost data that it had. It has to be given all of it again.
    #[error("the storage has lost data: {0}")]
    Lost(String),
}

impl StorageError {
    /// Returns a converter for `map_err` that names what was being done.
    pub fn engine<E: std::fmt::Display>(what: &'static str) -> impl FnOnce(E) -> Self {
        move |error| Self::Engine { what, reason: error.to_string() }
    }
}

/// Why a command gave no ordinary reply.
///
/// Commands use `?` on every primitive; whoever runs the command tells these three apart.
#[derive(Clone, Debug)]
pub enum Stop {
    /// The command answers an error: the whole text, code first (`ERR syntax error`). Nothing was changed.
    Error(Cow<'static, str>),
    /// A value is missing and has been recorded as such. The command runs again from its beginning once the value
    /// has been fetched. Keyspaces that hold all values never return this.
    Pending,
    /// The storage failed.
    Storage(StorageError),
}

impl Stop {
    /// An error reply with a fixed text.
    pub const fn text(text: &'static str) -> Self {
        Self::Error(Cow::Borrowed(text))
    }

    /// An error reply with a text made for this case.
    pub fn say(text: impl Into<String>) -> Self {
        Self::Error(Cow::Owned(text.into()))
    }
}

impl From<StorageError> for Stop {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

/// What primitives and commands answer.
pub type Outcome<T> = Result<T, Stop>;
