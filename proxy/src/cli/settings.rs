//! The flags of `serve` and `check`, made from the table of options, and the loading of the three sources.

use std::path::PathBuf;

use clap::{Arg, ArgMatches, Command};
use conf::Loaded;
use conf::options::{ConfigOption, OPTIONS};

use super::failure::Failure;
use crate::sources::Sources;

/// Adds `--config` and one flag for each option.
pub(super) fn add(command: Command) -> Command {
    let command = command.arg(
        Arg::new("config")
            .long("config")
            .short('c')
            .env("RAFT_PROXY_CONFIG")
            .value_name("FILE")
            .help("The cluster.conf to read"),
    );
    OPTIONS.iter().fold(command, |command, option| {
        let default = option.default();
        let default = if default.is_empty() { String::new() } else { format!(" [default: {default}]") };
        command.arg(
            Arg::new(option.name())
                .long(option.flag())
                .value_name(option.unit)
                .help(format!("{}{default}", option.summary))
                .help_heading(format!("[{}]", option.section)),
        )
    })
}

/// Where the arguments say that the configuration comes from.
pub(super) fn sources(args: &ArgMatches) -> Sources {
    let value = |name: &str| args.get_one::<String>(name).cloned();
    let flag = |option: &ConfigOption| value(&option.name()).map(|text| (option.name(), text));
    Sources { file: value("config").map(PathBuf::from), flags: OPTIONS.iter().filter_map(flag).collect() }
}

/// Loads and checks what the arguments, the environment and the file say.
pub(super) fn load(args: &ArgMatches) -> Result<Loaded, Failure> {
    Ok(sources(args).load()?)
}
