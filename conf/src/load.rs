//! Reads the three sources in their order of strength (flags, then environment, then `cluster.conf`), and knows
//! where each value came from, so that an error can name the place.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use crate::change::{Changes, take_over};
use crate::check;
use crate::config::ClusterConfig;
use crate::options::{self, ConfigOption, Form, OPTIONS, SECTIONS};

/// A configuration that must not be started with: a sentence that names the place and the key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}{reason}")]
pub struct ConfigError {
    place: String,
    reason: String,
}

impl ConfigError {
    pub(crate) fn at(origin: &Origin, reason: impl Into<String>) -> Self {
        Self { place: format!("{origin}: "), reason: reason.into() }
    }
}

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

/// A checked configuration with the origin of each value.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: ClusterConfig,
    file: Option<PathBuf>,
    origins: HashMap<String, Origin>,
}

impl Loaded {
    /// Where the value of an option (`listen.resp`) came from.
    pub fn origin(&self, name: &str) -> &Origin {
        self.origins.get(name).unwrap_or(&Origin::Default)
    }

    /// An error about the value of an option, at the place where it was set, or where it should have been.
    pub fn error(&self, name: &str, reason: impl fmt::Display) -> ConfigError {
        let reason = format!("{name}: {reason}");
        match (self.origin(name), &self.file) {
            (Origin::Default, Some(path)) => ConfigError { place: format!("{}: ", path.display()), reason },
            (Origin::Default, None) => ConfigError { place: String::new(), reason },
            (origin, _) => ConfigError::at(origin, reason),
        }
    }

    /// Changes a value while the node runs; the error is a phrase that follows "must be".
    pub fn change(&mut self, option: &ConfigOption, text: &str) -> Result<(), String> {
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

    fn set(&mut self, option: &ConfigOption, text: &str, origin: Origin) -> Result<(), ConfigError> {
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

/// Loads and checks a configuration.
///
/// `file` is the path and the text of `cluster.conf`; `variable` looks an environment variable up; `flags` are the
/// values given on the command line, by the option's name (`listen.resp`).
pub fn load(
    file: Option<(&Path, &str)>,
    variable: impl Fn(&str) -> Option<String>,
    flags: &[(String, String)],
) -> Result<Loaded, ConfigError> {
    let path = file.map(|(path, _)| path.to_path_buf());
    let mut loaded = Loaded { config: ClusterConfig::default(), file: path, origins: HashMap::new() };
    if let Some((path, text)) = file {
        read_file(&mut loaded, path, text)?;
    }
    for option in OPTIONS {
        let name = option.variable();
        if let Some(text) = variable(&name) {
            loaded.set(option, &text, Origin::Variable(name))?;
        }
    }
    for option in OPTIONS {
        let name = option.name();
        if let Some((_, text)) = flags.iter().find(|(flag, _)| *flag == name) {
            loaded.set(option, text, Origin::Flag(option.flag()))?;
        }
    }
    check::check(&loaded)?;
    Ok(loaded)
}

fn read_file(loaded: &mut Loaded, path: &Path, text: &str) -> Result<(), ConfigError> {
    let at = |offset: usize| {
        let line =
            1 + text.as_bytes()[..offset.min(text.len())].iter().filter(|byte| **byte == b'\n').count();
        Origin::File(path.to_path_buf(), line)
    };
    let document = DeTable::parse(text).map_err(|error| {
        ConfigError::at(&at(error.span().map_or(0, |span| span.start)), error.message().trim().to_owned())
    })?;
    for (section, value) in document.get_ref() {
        let origin = at(section.span().start);
        let name: &str = section.get_ref();
        if !SECTIONS.iter().any(|(known, _)| *known == name) {
            return Err(ConfigError::at(
                &origin,
                unknown("section", name, SECTIONS.iter().map(|(known, _)| *known)),
            ));
        }
        let DeValue::Table(keys) = value.get_ref() else {
            return Err(ConfigError::at(&origin, format!("{name}: must be a section: [{name}]")));
        };
        for (key, value) in keys {
            let origin = at(key.span().start);
            let Some(option) = options::find(name, key.get_ref()) else {
                let known = OPTIONS.iter().filter(|option| option.section == name).map(|option| option.key);
                return Err(ConfigError::at(
                    &origin,
                    format!("{name}.{}: {}", key.get_ref(), unknown("key", key.get_ref(), known)),
                ));
            };
            let text = scalar(option, value.get_ref())
                .map_err(|wanted| ConfigError::at(&origin, format!("{}: must be {wanted}", option.name())))?;
            loaded.set(option, &text, origin)?;
        }
    }
    Ok(())
}

/// The text of a TOML value of the form that the option has.
fn scalar(option: &ConfigOption, value: &DeValue<'_>) -> Result<String, String> {
    match (option.form, value) {
        (Form::List, DeValue::Array(items)) => {
            let items: Result<Vec<String>, String> = items
                .iter()
                .map(|item| match item.get_ref() {
                    DeValue::String(text) => Ok(text.to_string()),
                    _ => Err("an array of strings".to_owned()),
                })
                .collect();
            Ok(items?.join(","))
        }
        (Form::List, _) => Err("an array of strings".to_owned()),
        (_, DeValue::String(text)) => Ok(text.to_string()),
        (_, DeValue::Integer(number)) => Ok(number.to_string()),
        (_, DeValue::Float(number)) => Ok(number.to_string()),
        (_, DeValue::Boolean(value)) => Ok(value.to_string()),
        _ => Err("a single value".to_owned()),
    }
}

/// Says that a name is unknown and which known one it resembles.
pub(crate) fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let near = known.map(|candidate| (distance(name, candidate), candidate)).min();
    match near {
        Some((edits, candidate)) if edits <= 3 && edits * 2 <= name.len() => {
            format!("unknown {what} {name:?}; did you mean {candidate:?}?")
        }
        _ => format!("unknown {what} {name:?}; `raft-proxy config reference` lists all"),
    }
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
