//! The command line: `serve`, `check`, `config reference`, `status`, `ctl`, `backup`, `restore`, `recover`,
//! `snapshot inspect`, `demo`.
//!
//! Exit codes: 0 done; 1 it went wrong; 2 what was looked at is not well; 64 the command line or the configuration is
//! wrong (`EX_USAGE`), and nothing was bound or written.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line speaks on its terminal")]

mod backup;
mod client;
mod ctl;
mod demo;
mod failure;
mod flags;
mod inspect;
mod private;
mod recover;
mod reload;
mod restore;
mod serve;
mod settings;
mod status;
mod stop;
mod stream;

use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

pub use failure::{Failure, USAGE};
use flags::{json, password};

/// Runs the command line.
pub fn main() -> ExitCode {
    let matches = match command().try_get_matches() {
        Ok(matches) => matches,
        Err(error) if error.use_stderr() && wants_json() => {
            print_error(&error.render().to_string(), USAGE);
            return ExitCode::from(USAGE);
        }
        Err(error) => {
            let code = if error.use_stderr() { USAGE } else { 0 };
            // Nobody is left to tell if standard error is gone.
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let ended = run(&matches);
    crate::telemetry::flush();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            print_error(&failure.to_string(), failure.exit_code());
            ExitCode::from(failure.exit_code())
        }
    }
}

/// Whether whoever reads the answer is a program. The command line may be wrong, so it is looked at as it is.
fn wants_json() -> bool {
    std::env::args_os().any(|arg| arg == "--json")
}

/// Says on standard error what has gone wrong, as a line or as JSON.
fn print_error(text: &str, code: u8) {
    if wants_json() {
        eprintln!("{}", serde_json::json!({ "error": text.trim(), "exit_code": code }));
    } else {
        eprintln!("raft-proxy: {text}");
    }
}

fn run(matches: &ArgMatches) -> Result<(), Failure> {
    match matches.subcommand() {
        Some(("serve", args)) => serve::run(args),
        Some(("check", args)) => check(args),
        Some(("config", args)) => {
            match args.subcommand_name() {
                Some("metrics") => print!("{}", crate::metrics::catalog::table()),
                _ => print!("{}", conf::reference::reference()),
            }
            Ok(())
        }
        Some(("status", args)) => status::run(args, status::PATIENCE),
        Some(("ctl", args)) => ctl::run(args),
        Some(("backup", args)) => backup::run(args),
        Some(("recover", args)) => recover::run(args),
        Some(("restore", args)) => restore::run(args),
        Some(("snapshot", args)) => match args.subcommand() {
            Some(("inspect", args)) => inspect::run(args),
            _ => Err(Failure::Usage("no command; see raft-proxy snapshot --help".to_owned())),
        },
        Some(("demo", args)) => demo::run(args),
        _ => Err(Failure::Usage("no command; see raft-proxy --help".to_owned())),
    }
}

fn check(args: &ArgMatches) -> Result<(), Failure> {
    let config = settings::load(args)?.config;
    let dangers = conf::check::dangers(&config);
    let mode = match config.cluster.members.len() {
        _ if !config.cluster.enabled => "stand-alone".to_owned(),
        0 if config.cluster.join.is_empty() => "no cluster yet".to_owned(),
        0 => "a cluster that it joins".to_owned(),
        1 => "a cluster of one".to_owned(),
        n => format!("a cluster of {n}"),
    };
    let verdict = if dangers.is_empty() { "is good" } else { "can be used, but is not safe" };
    println!(
        "The configuration {verdict}: node {} of {mode}, clients on {}.",
        config.own_id().max(1),
        config.listen.resp
    );
    for danger in dangers {
        println!("Warning: {danger}.");
    }
    Ok(())
}

fn command() -> Command {
    Command::new("raft-proxy")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Strong consistency and automatic failover for Redis-protocol storage")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(settings::add(
            Command::new("serve").about("Run a node").arg(
                Arg::new("until-stdin-closes")
                    .long("until-stdin-closes")
                    .action(ArgAction::SetTrue)
                    .help("Stop when standard input is closed, as when the parent process has died"),
            ),
        ))
        .subcommand(settings::add(Command::new("check").about("Check a configuration and do nothing else")))
        .subcommand(
            Command::new("config")
                .about("About the configuration")
                .subcommand_required(true)
                .subcommand(Command::new("reference").about("Print every option with its default"))
                .subcommand(Command::new("metrics").about("Print every metric")),
        )
        .subcommand(
            Command::new("status")
                .about("Show the nodes of a cluster; exits with 2 if none leads")
                .arg(
                    Arg::new("addr")
                        .long("addr")
                        .value_name("HOST:PORT")
                        .default_value("127.0.0.1:6400")
                        .help("Any node's client port"),
                )
                .arg(password())
                .arg(json()),
        )
        .subcommand(ctl::command())
        .subcommand(
            Command::new("backup")
                .about("Write a snapshot of a running cluster to a file")
                .arg(
                    Arg::new("from")
                        .long("from")
                        .value_name("HOST:PORT")
                        .default_value("127.0.0.1:6400")
                        .help("Any node's client port"),
                )
                .arg(password())
                .arg(
                    Arg::new("force")
                        .long("force")
                        .action(ArgAction::SetTrue)
                        .help("Replace FILE if it exists"),
                )
                .arg(
                    Arg::new("file")
                        .value_name("FILE")
                        .required(true)
                        .help("The file to write; - for standard output"),
                )
                .arg(json()),
        )
        .subcommand(settings::add(
            Command::new("restore")
                .about("Make the data directory of a node of a new cluster from a backup")
                .arg(Arg::new("file").value_name("FILE").required(true).help("The backup"))
                .arg(
                    Arg::new("dir")
                        .long("dir")
                        .value_name("DIR")
                        .conflicts_with("node.data_dir")
                        .help("The directory to make, if it is not node.data_dir"),
                ),
        ))
        .subcommand(settings::add(
            Command::new("recover")
                .about("Make this node, which must not run, a cluster of its own: for a cluster that lost its majority")
                .arg(
                    Arg::new("unsafe")
                        .long("unsafe")
                        .action(ArgAction::SetTrue)
                        .help("Confirm that what only the other members have is given up"),
                ),
        ))
        .subcommand(
            Command::new("snapshot").about("About snapshot files").subcommand_required(true).subcommand(
                Command::new("inspect")
                    .about("Check a snapshot or backup file whole, and show what it holds")
                    .arg(Arg::new("file").value_name("FILE").required(true).help("The file"))
                    .arg(json()),
            ),
        )
        .subcommand(
            Command::new("demo")
                .about("Run a whole cluster on this machine, to try things out")
                .arg(
                    number("nodes", "N", "3", "How many nodes, 1 to 7; as many as DIR holds if not given")
                        .value_parser(value_parser!(u16).range(1..=7)),
                )
                .arg(
                    number(
                        "port",
                        "PORT",
                        "6400",
                        "The first node's client port; the others follow, the Raft ports 10000 above, those of Kiwis 1000",
                    )
                    .value_parser(value_parser!(u16).range(1024..=55000)),
                )
                .arg(
                    Arg::new("dir")
                        .long("dir")
                        .value_name("DIR")
                        .help("Keep everything in this directory; a temporary one if not given"),
                )
                .arg(
                    Arg::new("backend")
                        .long("backend")
                        .value_name("KIND")
                        .default_value("embedded")
                        .value_parser(["embedded", "kiwi", "memory"])
                        .help("The storage; that of DIR if not given"),
                )
                .arg(
                    Arg::new("kiwi-bin")
                        .long("kiwi-bin")
                        .value_name("PATH")
                        .value_parser(value_parser!(std::path::PathBuf))
                        .help("The Kiwi of --backend kiwi, started once for each node; the one in PATH if not given"),
                ),
        )
}

fn number(name: &'static str, value: &'static str, default: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value).default_value(default).help(help)
}
