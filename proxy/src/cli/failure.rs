//! Why a command ended without success, and the exit code that says so.

/// The exit code for a wrong command line or configuration (`EX_USAGE` of sysexits.h).
pub const USAGE: u8 = 64;

/// The exit code for what was looked at and is not well.
const UNHEALTHY: u8 = 2;

/// Why a command ended without success.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The configuration is wrong.
    #[error("{0}")]
    Config(#[from] conf::ConfigError),
    /// There is no configuration.
    #[error("{0}")]
    Source(#[from] crate::sources::SourceError),
    /// The command line is wrong.
    #[error("{0}")]
    Usage(String),
    /// It went wrong.
    #[error("{0}")]
    Failed(String),
    /// What was looked at is not well.
    #[error("{0}")]
    Unhealthy(String),
}

impl Failure {
    /// A failure with a cause.
    pub fn because<E: std::fmt::Display>(what: impl std::fmt::Display) -> impl FnOnce(E) -> Self {
        move |error| Self::Failed(format!("{what}: {error}"))
    }

    /// The exit code that says so.
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::Source(_) | Self::Usage(_) => USAGE,
            Self::Failed(_) => 1,
            Self::Unhealthy(_) => UNHEALTHY,
        }
    }
}
