//! Reads the three sources in their order of strength: flags, then environment, then `cluster.conf`.

use std::path::Path;

use toml::de::{DeTable, DeValue};

use crate::check;
use crate::error::ConfigError;
use crate::expected::Expected;
use crate::loaded::Loaded;
use crate::options::{self, ConfigOption, Form, OPTIONS, SECTIONS};
use crate::origin::Origin;
use crate::suggestion::unknown;

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
    let mut loaded = Loaded::defaults(path);
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
fn scalar(option: &ConfigOption, value: &DeValue<'_>) -> Result<String, Expected> {
    match (option.form, value) {
        (Form::List, DeValue::Array(items)) => {
            let items: Result<Vec<String>, Expected> = items
                .iter()
                .map(|item| match item.get_ref() {
                    DeValue::String(text) => Ok(text.to_string()),
                    _ => Err("an array of strings".into()),
                })
                .collect();
            Ok(items?.join(","))
        }
        (Form::List, _) => Err("an array of strings".into()),
        (_, DeValue::String(text)) => Ok(text.to_string()),
        (_, DeValue::Integer(number)) => Ok(number.to_string()),
        (_, DeValue::Float(number)) => Ok(number.to_string()),
        (_, DeValue::Boolean(value)) => Ok(value.to_string()),
        _ => Err("a single value".into()),
    }
}
