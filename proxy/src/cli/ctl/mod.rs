//! `raft-proxy ctl`: what an operator asks of a cluster, from the shell.
//!
//! Every subcommand is one or a few commands on a node's client port (`RAFT.HELP` lists them), shown as a table or a
//! line, or as JSON. Exit codes: 0 done; 1 it failed or was refused; 2 what was looked at is not well (`status`,
//! `health`, `digest --all`); 64 the command line is wrong.

mod call;
mod digest;
mod health;
mod members;
mod version;

use std::time::{Duration, Instant};

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use redis_protocol::resp2::types::BytesFrame;
use serde_json::json;

use super::failure::Failure;
use super::flags::{json as json_flag, password};
use super::status;
use call::{Call, plain};

/// How often is looked whether a snapshot is there.
const POLL: Duration = Duration::from_millis(100);

/// The subcommands.
pub(super) fn command() -> Command {
    let id = || Arg::new("id").value_name("ID").required(true).value_parser(value_parser!(u64).range(1..));
    let force = || {
        Arg::new("force")
            .long("force")
            .action(ArgAction::SetTrue)
            .help("Also where the cluster could lose its majority by it")
    };
    let absent = || force().help("Also where no node that knows the cluster's secret is there yet");
    Command::new("ctl")
        .about("Look at a cluster and change it")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .arg(
            Arg::new("addr")
                .long("addr")
                .value_name("HOST:PORT")
                .default_value("127.0.0.1:6400")
                .global(true)
                .help("A node's client port"),
        )
        .arg(password().global(true))
        .arg(json_flag().global(true))
        .arg(
            Arg::new("timeout")
                .long("timeout")
                .value_name("SECONDS")
                .default_value("60")
                .value_parser(value_parser!(u64).range(1..=86_400))
                .global(true)
                .help("How long it may take"),
        )
        .subcommand(
            Command::new("status").about("Show how the nodes are; exits with 2 if none of them leads"),
        )
        .subcommand(Command::new("members").about("Show who belongs to the cluster"))
        .subcommand(Command::new("health").about("Check that every node is well; exits with 2 if one is not"))
        .subcommand(
            Command::new("digest")
                .about("Show the digest of a node's data")
                .arg(
                    Arg::new("at")
                        .long("at")
                        .value_name("INDEX")
                        .value_parser(value_parser!(u64).range(1..=i64::MAX as u64))
                        .help("At this log index, which is waited for"),
                )
                .arg(
                    Arg::new("all")
                        .long("all")
                        .action(ArgAction::SetTrue)
                        .conflicts_with("at")
                        .help("Compare all nodes at one index; exits with 2 if they differ"),
                ),
        )
        .subcommand(Command::new("snapshot").about("Have a node make a snapshot, and wait for it"))
        .subcommand(Command::new("logs-level").about("Show or change what a node logs").arg(
            Arg::new("level").value_name("LEVELS").help("A level, or levels by target (info,openraft=warn)"),
        ))
        .subcommand(
            Command::new("join").about("Have a node without a cluster join one").arg(
                Arg::new("seeds")
                    .value_name("HOST:PORT")
                    .required(true)
                    .num_args(1..)
                    .help("Members of the cluster, tried in turn; or the name of SRV records"),
            ),
        )
        .subcommand(
            Command::new("version")
                .about("Show the cluster version, and what each node's program knows")
                .arg(
                    Arg::new("finalize")
                        .long("finalize")
                        .action(ArgAction::SetTrue)
                        .help("Raise it to the newest that all nodes know; there is no way back"),
                ),
        )
        .subcommand(Command::new("leave").about("Have a node leave its cluster"))
        .subcommand(
            Command::new("add")
                .about("Add a node to the cluster")
                .arg(
                    Arg::new("id")
                        .value_name("ID")
                        .required(true)
                        .value_parser(value_parser!(u64))
                        .help("Its id; 0 for one that is not used yet"),
                )
                .arg(Arg::new("node").value_name("HOST:PORT").required(true).help("Its Raft port"))
                .arg(absent()),
        )
        .subcommand(Command::new("remove").about("Remove a node from the cluster").arg(id()).arg(force()))
        .subcommand(
            Command::new("replace")
                .about("Put another node in the place of one")
                .arg(id())
                .arg(
                    Arg::new("new")
                        .value_name("NEW-ID")
                        .required(true)
                        .value_parser(value_parser!(u64))
                        .help("The other's id; 0 for one that is not used yet"),
                )
                .arg(Arg::new("node").value_name("HOST:PORT").required(true).help("The other's Raft port"))
                .arg(absent()),
        )
        .subcommand(Command::new("promote").about("Make a learner a voter").arg(id()))
        .subcommand(Command::new("demote").about("Make a voter a learner").arg(id()).arg(force()))
        .subcommand(
            Command::new("transfer")
                .about("Have another node lead")
                .arg(id().required(false).help("Which; the one that is furthest if not given")),
        )
}

/// Runs a subcommand.
pub(super) fn run(args: &ArgMatches) -> Result<(), Failure> {
    let Some((name, args)) = args.subcommand() else {
        return Err(Failure::Usage("no command; see raft-proxy ctl --help".to_owned()));
    };
    let call = Call {
        args,
        address: args.get_one::<String>("addr").map_or("127.0.0.1:6400", String::as_str),
        password: args.get_one::<String>("password").map(String::as_str),
        patience: Duration::from_secs(args.get_one::<u64>("timeout").copied().unwrap_or(60)),
    };
    let id = call.id();
    match name {
        "status" => status::run(args, call.patience),
        "members" => members::run(&call),
        "health" => health::run(&call),
        "digest" => digest::run(&call),
        "snapshot" => snapshot(&call),
        "logs-level" => logs_level(&call),
        "join" => {
            let seeds: Vec<&str> =
                args.get_many::<String>("seeds").into_iter().flatten().map(String::as_str).collect();
            call.change(
                &[&["RAFT.CLUSTER", "JOIN"], &seeds[..]].concat(),
                "the node has joined, or is joining",
            )
        }
        "version" => version::run(&call),
        "leave" => call.change(&["RAFT.CLUSTER", "LEAVE"], "the node has left its cluster"),
        "add" => add(&call, &["RAFT.NODE", "ADD", &id, call.text("node")]),
        "remove" => {
            call.change_by_force(&["RAFT.NODE", "REMOVE", &id], format_args!("node {id} was removed"))
        }
        "replace" => {
            let new = args.get_one::<u64>("new").map(u64::to_string).unwrap_or_default();
            add(&call, &["RAFT.NODE", "REPLACE", &id, &new, call.text("node")])
        }
        "promote" => call.change(&["RAFT.NODE", "PROMOTE", &id], format_args!("node {id} is a voter")),
        "demote" => {
            call.change_by_force(&["RAFT.NODE", "DEMOTE", &id], format_args!("node {id} is a learner"))
        }
        "transfer" if id.is_empty() => call.change(&["RAFT.TRANSFER_LEADER"], "another node leads"),
        "transfer" => call.change(&["RAFT.TRANSFER_LEADER", &id], format_args!("node {id} leads")),
        _ => Err(Failure::Usage("no such command; see raft-proxy ctl --help".to_owned())),
    }
}

/// `add` and `replace`: the reply names the new node's id, which the cluster may have chosen, and the cluster.
fn add(call: &Call<'_>, command: &[&str]) -> Result<(), Failure> {
    let reply = plain(&call.ask(&call.forced(command))?);
    let (id, cluster) = (&reply[0], &reply[1]);
    let cluster_id = cluster.as_str().unwrap_or_default();
    let value = json!({ "id": id, "cluster_id": cluster });
    call.show(&format!("node {id} was added to the cluster {cluster_id}"), value)
}

/// `snapshot`: asks for one, and waits until the node has one that is as new.
fn snapshot(call: &Call<'_>) -> Result<(), Failure> {
    let deadline = Instant::now() + call.patience;
    let mut client = call.client()?;
    let BytesFrame::Integer(wanted) = client.call(&["RAFT.SNAPSHOT", "CREATE"])? else {
        return Err(Failure::Failed("RAFT.SNAPSHOT CREATE: not an index".to_owned()));
    };
    loop {
        let info = client.text(&["INFO", "raft"])?;
        let index = info.lines().find_map(|line| line.strip_prefix("raft_snapshot_index:"));
        let index: i64 = index.and_then(|index| index.trim().parse().ok()).unwrap_or(0);
        if index >= wanted {
            return call.show(
                &format!("there is a snapshot up to index {index}"),
                json!({ "snapshot_index": index }),
            );
        }
        if Instant::now() >= deadline {
            let patience = conf::value::write_duration(call.patience);
            return Err(Failure::Failed(format!(
                "timed out after {patience}: the snapshot is not there yet, and is still being made"
            )));
        }
        std::thread::sleep(POLL);
    }
}

/// `logs-level`
fn logs_level(call: &Call<'_>) -> Result<(), Failure> {
    if let Some(level) = call.args.get_one::<String>("level") {
        return call
            .change(&["CONFIG", "SET", "log.level", level], format_args!("the log's level is {level}"));
    }
    let reply = plain(&call.ask(&["CONFIG", "GET", "log.level"])?);
    let level = reply[1].as_str().unwrap_or_default();
    call.show(level, json!({ "level": level }))
}
