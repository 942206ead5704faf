//! A configuration together with the place that each value came from, so that an error can name it.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::change::{Changes, take_over};
use crate::config::ClusterConfig;
use crate::error::ConfigError;
use crate::expected::Expected;
use crate::options::{ConfigOption, OPTIONS};
use crate::origin::Origin;

/// A checked configuration with the origin of each value.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: ClusterConfig,
    file: Option<PathBuf>,
    origins: HashMap<String, Origin>,
}

impl Loaded {
    /// All defaults, with the file that the first source is.
    pub(crate) fn defaults(file: Option<PathBuf>) -> Self {
        Self { config: ClusterConfig::default(), file, origins: HashMap::new() }
    }

    /// Where the value of an option (`listen.resp`) came from.
    pub fn origin(&self, name: &str) -> &Origin {
        self.origins.get(name).unwrap_or(&Origin::Default)
    }

    /// An error about the value of an option, at the place where it was set, or where it should have been.
    pub fn error(&self, name: &str, reason: impl fmt::Display) -> ConfigError {
        let reason = format!("{name}: {reason}");
        match (self.origin(name), &self.file) {
            (Origin::Default, Some(path)) => ConfigError::in_file(path, reason),
            (Origin::Default, None) => ConfigError::nowhere(reason),
            (origin, _) => ConfigError::at(origin, reason),
        }
    }

    /// Changes a value while the node runs.
    pub fn change(&mut self, option: &ConfigOption, text: &str) -> Result<(), Expected> {
        (option.set)(&mut self.config, text)?;
        self.origins.insert(option.name(), Origin::Command);
        Ok(())
    }

    /// The options that were changed while the node runs and would be forgotten at its end.
    pub fn changed(&self) -> Vec<&'static ConfigOption> {
        OPTIONS.iter().filter(|option| *self.origin(&option.name()) == Origin::Command).collect()
    }

    /// What was changed while the node runs is in this file now.
    pub fn written(&mut self, file: &Path) {
        for origin in self.origins.values_mut().filter(|origin| **origin == Origin::Command) {
            *origin = Origin::Written(file.to_path_buf());
        }
    }

    /// Takes over what another one, loaded since, says and can be put in force; see [`take_over`].
    pub fn reload(&mut self, newer: Self) -> Changes {
        let changes = take_over(&mut self.config, &newer.config);
        (self.file, self.origins) = (newer.file, newer.origins);
        changes
    }

    /// Sets a value that a source gives.
    pub(crate) fn set(
        &mut self,
        option: &ConfigOption,
        text: &str,
        origin: Origin,
    ) -> Result<(), ConfigError> {
        (option.set)(&mut self.config, text).map_err(|wanted| {
            let found = if option.secret { String::new() } else { format!(", not {text:?}") };
            ConfigError::at(&origin, format!("{}: must be {wanted}{found}", option.name()))
        })?;
        self.origins.insert(option.name(), origin);
        Ok(())
    }
}

impl From<ClusterConfig> for Loaded {
    /// A configuration that came from nowhere.
    fn from(config: ClusterConfig) -> Self {
        Self { config, file: None, origins: HashMap::new() }
    }
}
