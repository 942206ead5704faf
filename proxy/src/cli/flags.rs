//! Flags that more than one command has.

use clap::{Arg, ArgAction};

/// `--json`
pub(super) fn json() -> Arg {
    Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print JSON")
}

/// `--password`
pub(super) fn password() -> Arg {
    Arg::new("password")
        .long("password")
        .env("RAFT_PROXY_LISTEN_PASSWORD")
        .hide_env_values(true)
        .value_name("PASSWORD")
        .help("The clients' password, if one is set")
}
