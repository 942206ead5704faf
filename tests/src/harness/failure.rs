//! Why a run is no pass.

/// Why a run is no pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// A promise was broken.
    Broken(String),
    /// A checker ran out of its budget before it knew.
    Undecided(String),
    /// A fault did not take effect.
    NoFault(String),
    /// The machine, or the harness itself, could not do something.
    Machine(String),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (kind, text) = match self {
            Self::Broken(text) => ("BROKEN", text),
            Self::Undecided(text) => ("UNDECIDED", text),
            Self::NoFault(text) => ("THE FAULT DID NOT HAPPEN", text),
            Self::Machine(text) => ("THE MACHINE", text),
        };
        write!(f, "{kind}: {text}")
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Machine(error.to_string())
    }
}

/// What may be no pass.
pub type Result<T> = std::result::Result<T, Failure>;
