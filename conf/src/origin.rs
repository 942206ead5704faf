//! Where the value of an option came from.

use std::fmt;
use std::path::PathBuf;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// A line of a file, counted from 1.
    File(PathBuf, usize),
    /// An environment variable.
    Variable(String),
    /// A command-line flag, without the dashes.
    Flag(String),
    /// It was changed while the node runs.
    Command,
    /// It was changed while the node runs, and then written into a file.
    Written(PathBuf),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => write!(f, "default value"),
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::Flag(name) => write!(f, "flag --{name}"),
            Self::Command => write!(f, "CONFIG SET"),
            Self::Written(path) => write!(f, "{}", path.display()),
        }
    }
}
