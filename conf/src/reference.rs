//! The reference of all options, made from the table: a `cluster.conf` that sets every option to its default.

use std::fmt::Write;

use crate::options::{ConfigOption, Form, OPTIONS, SECTIONS};

/// The columns that a comment may take.
const WIDTH: usize = 100;

/// The whole reference, as a commented `cluster.conf`.
pub fn reference() -> String {
    let mut page = String::from(
        "# Every option of cluster.conf with its default. A flag is stronger than an environment variable, and\n\
         # that is stronger than this file.\n",
    );
    for (section, about) in SECTIONS {
        // Writing to a String cannot fail.
        let _ = write!(page, "\n# {about}\n[{section}]\n");
        for option in OPTIONS.iter().filter(|option| option.section == *section) {
            describe(&mut page, option);
        }
    }
    page
}

fn describe(page: &mut String, option: &ConfigOption) {
    comment(page, option.summary);
    let live = if option.live { "; can be changed at any time" } else { "" };
    comment(
        page,
        &format!("{}; {}{live}; --{}, {}", option.unit, option.range, option.flag(), option.variable()),
    );
    let value = match option.form {
        Form::Bare => option.default(),
        Form::Text => format!("{:?}", option.default()),
        Form::List => {
            format!("{:?}", option.default().split(',').filter(|item| !item.is_empty()).collect::<Vec<_>>())
        }
    };
    let _ = writeln!(page, "{} = {value}\n", option.key);
}

fn comment(page: &mut String, text: &str) {
    let mut line = String::from("#");
    for word in text.split(' ') {
        if line.len() + 1 + word.len() > WIDTH {
            page.push_str(&line);
            page.push('\n');
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    page.push_str(&line);
    page.push('\n');
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::ClusterConfig;
    use crate::load::load;

    #[test]
    fn the_reference_is_a_valid_file_that_changes_nothing() {
        let page = reference();
        let flags = [("cluster.enabled".to_owned(), "false".to_owned())];
        let loaded = load(Some((Path::new("reference"), &page)), |_| None, &flags).unwrap();
        let mut expected = ClusterConfig::default();
        expected.cluster.enabled = false;
        assert_eq!(loaded.config, expected);
    }

    #[test]
    fn every_option_reads_its_own_default_and_stands_in_a_known_section() {
        for option in OPTIONS {
            let mut config = ClusterConfig::default();
            (option.set)(&mut config, &option.default()).unwrap();
            assert_eq!(config, ClusterConfig::default(), "{}", option.name());
            assert!(SECTIONS.iter().any(|(section, _)| *section == option.section));
        }
    }
}
