//! Where the configuration comes from: the file, the environment and the flags that the process was started with. They
//! can be read again while it runs.

use std::io;
use std::path::{Path, PathBuf};

use conf::{ConfigError, Loaded};

use crate::telemetry::log_level;

/// The three sources.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The `cluster.conf`, if one was named.
    pub file: Option<PathBuf>,
    /// The values given as flags, by the option's name.
    pub flags: Vec<(String, String)>,
}

/// Why there is no configuration. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The file cannot be read.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

impl Sources {
    /// Reads and checks all three.
    pub fn load(&self) -> Result<Loaded, SourceError> {
        conf::variables::check(std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()))?;
        let text = self.file.as_deref().map(read).transpose()?;
        let file = self.file.as_deref().zip(text.as_deref());
        let loaded = conf::load(file, |name| std::env::var(name).ok(), &self.flags)?;
        let level = &loaded.config.log.level;
        log_level::check(level)
            .map_err(|wanted| loaded.error("log.level", format!("must be {wanted}, not {level:?}")))?;
        Ok(loaded)
    }
}

/// The text of a file.
pub(crate) fn read(path: &Path) -> Result<String, SourceError> {
    std::fs::read_to_string(path).map_err(|source| SourceError::File { path: path.to_owned(), source })
}
