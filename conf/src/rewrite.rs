//! Writes values into the text of a `cluster.conf` and leaves everything else in it, comments, order and blanks, as
//! it is.

use toml_edit::{Array, DocumentMut, Item, Table, TomlError, Value};

use crate::config::ClusterConfig;
use crate::options::{ConfigOption, Form};

/// Why a text cannot be written in.
#[derive(Debug, thiserror::Error)]
pub enum RewriteError {
    /// It is no TOML.
    #[error(transparent)]
    Syntax(#[from] TomlError),
    /// Something else has the name of a section.
    #[error("{0} is not a section")]
    NotASection(&'static str),
}

/// The text with the values that `options` have in `config`. An option that the text does not have comes at the end of
/// its section.
pub fn rewrite(
    text: &str,
    config: &ClusterConfig,
    options: &[&ConfigOption],
) -> Result<String, RewriteError> {
    let mut document: DocumentMut = text.parse()?;
    for option in options {
        let section = document.entry(option.section).or_insert_with(|| Item::Table(Table::new()));
        let section = section.as_table_like_mut().ok_or(RewriteError::NotASection(option.section))?;
        let mut value = toml(option, &(option.get)(config));
        match section.get_mut(option.key) {
            Some(Item::Value(old)) => {
                // The comment behind the value, and the blanks before it, are parts of the value.
                *value.decor_mut() = old.decor().clone();
                *old = value;
            }
            _ => {
                section.insert(option.key, Item::Value(value));
            }
        }
    }
    Ok(document.to_string())
}

fn toml(option: &ConfigOption, text: &str) -> Value {
    match option.form {
        Form::Text => text.into(),
        Form::List => text.split(',').filter(|item| !item.is_empty()).collect::<Array>().into(),
        Form::Bare => match (text.parse::<i64>(), text.parse::<bool>()) {
            (Ok(number), _) => number.into(),
            (_, Ok(boolean)) => boolean.into(),
            // A string is read as well, if it is a number beyond TOML's.
            _ => text.into(),
        },
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::options::{OPTIONS, by_name};

    fn options(names: &[&str]) -> Vec<&'static ConfigOption> {
        names.iter().map(|name| by_name(name).unwrap()).collect()
    }

    #[test]
    fn values_change_and_comments_order_and_blanks_stay() {
        let before =
            "# mine\n\n[limits] # bounds\nmax_clients   =  7  # few\n\n[raft]\nkeep_entries = 1\n# the end\n";
        let mut config = ClusterConfig::default();
        config.limits.max_clients = 50;
        config.raft.request_timeout = std::time::Duration::from_millis(1500);
        config.log.level = "warn \"x\"".to_owned();
        let names = ["limits.max_clients", "raft.request_timeout", "log.level"];
        let after = rewrite(before, &config, &options(&names)).unwrap();
        assert_eq!(
            after,
            "# mine\n\n[limits] # bounds\nmax_clients   =  50  # few\n\n[raft]\nkeep_entries = 1\n\
             request_timeout = \"1500ms\"\n\n[log]\nlevel = 'warn \"x\"'\n# the end\n"
        );
    }

    #[test]
    fn what_is_written_is_read_again_for_every_option() {
        let mut config = ClusterConfig::default();
        config.cluster.enabled = false;
        config.cluster.secret = "with \"quotes\" and \\".replace(' ', "_");
        let all: Vec<&ConfigOption> = OPTIONS.iter().collect();
        let text = rewrite("", &config, &all).unwrap();
        let read = crate::load(Some((std::path::Path::new("c"), &text)), |_| None, &[]).unwrap();
        assert_eq!(read.config, config);
    }

    #[test]
    fn a_section_that_is_written_in_one_line_is_written_in() {
        let mut config = ClusterConfig::default();
        config.raft.keep_entries = 5;
        let after =
            rewrite("raft = { keep_entries = 1 }\n", &config, &options(&["raft.keep_entries"])).unwrap();
        assert_eq!(after, "raft = { keep_entries = 5 }\n");
        let error = rewrite("raft = 1\n", &config, &options(&["raft.keep_entries"])).unwrap_err();
        assert_eq!(error.to_string(), "raft is not a section");
        assert!(rewrite("[raft\n", &config, &[]).is_err());
    }
}
