//! The flags of `serve` and `check`, made from the table of options, and the loading of the three sources.

use std::path::{Path, PathBuf};

use clap::{Arg, ArgMatches, Command};
use conf::Loaded;
use conf::options::OPTIONS;

use super::Failure;

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

/// Loads and checks what the arguments, the environment and the file say.
pub(super) fn load(args: &ArgMatches) -> Result<Loaded, Failure> {
    let path = args.get_one::<String>("config").map(PathBuf::from);
    let text = match &path {
        Some(path) => Some(read(path)?),
        None => None,
    };
    let flags: Vec<(String, String)> = OPTIONS
        .iter()
        .filter_map(|option| args.get_one::<String>(&option.name()).map(|text| (option.name(), text.clone())))
        .collect();
    let file = path.as_deref().zip(text.as_deref());
    Ok(conf::load(file, |name| std::env::var(name).ok(), &flags)?)
}

fn read(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| Failure::Usage(format!("{}: {error}", path.display())))
}
