//! The commands that the proxy answers itself, one file for each family. They are declared in
//! [`adapter::command::server`].

mod client;
mod client_kill;
mod client_type;
mod cluster;
mod command;
mod command_entry;
mod config;
pub(crate) mod consistency;
mod context;
mod handshake;
mod help;
mod info;
mod info_raft;
mod nodes;
mod parameters;
mod redis_cluster;
mod snapshot;

use adapter::clock::unix_time;
use adapter::command::text::unknown_command;
use adapter::command::{Flags, arg};
use adapter::error::Outcome;
use adapter::{Reply, Stop};

use crate::lookup::Found;
use crate::protection;
pub(crate) use context::Context;
pub(crate) use info::is_loading;

/// Runs a command; `None` is no reply (`CLIENT REPLY OFF`).
pub(crate) async fn run(context: &mut Context<'_>, found: Found, args: &[&[u8]]) -> Outcome<Option<Reply>> {
    let (peer, local) = (context.client.address, context.client.local);
    if changes(found) && protection::denies_changes(&context.shared.config.load(), peer, local) {
        return Err(Stop::say(format!("DENIED {}", protection::CHANGES_DENIED)));
    }
    let reply = match (found.parent.map_or(found.spec.name, |parent| parent.name), found.parent.is_some()) {
        ("ping", _) => ping(args),
        ("echo", _) => Ok(Reply::bulk(args[1])),
        ("select", _) => select(args),
        ("time", _) => Ok(time()),
        ("quit", _) => {
            context.session.closing = true;
            Ok(Reply::OK)
        }
        ("auth", _) => handshake::auth(context, args),
        ("hello", _) => handshake::hello(context, args),
        ("reset", _) => Ok(handshake::reset(context)),
        ("multi", _) => {
            context.session.transaction = Some(Box::default());
            Ok(Reply::OK)
        }
        ("unwatch", _) => {
            context.session.watched.clear();
            Ok(Reply::OK)
        }
        // Behind MULTI the connection runs these itself.
        ("exec", _) => Err(Stop::text("ERR EXEC without MULTI")),
        ("discard", _) => Err(Stop::text("ERR DISCARD without MULTI")),
        ("client", true) => return client::run(context, found.spec.name, args),
        ("command", true) => command::run(found.spec.name, args),
        ("command", false) => Ok(command::all()),
        ("config", true) => config::run(context, found.spec.name, args).await,
        ("info", _) => Ok(info::info(context, &args[1..]).await),
        ("asking", _) => redis_cluster::asking(context),
        ("cluster", true) => redis_cluster::run(context, found.spec.name, args).await,
        ("raft.help", _) => Ok(help::raft()),
        ("raft.cluster", true) => cluster::run(context, found.spec.name, args).await,
        ("raft.node", true) => nodes::run(context, found.spec.name, args).await,
        ("raft.transfer_leader", _) => nodes::transfer(context, args).await,
        ("raft.status", _) => cluster::status(context).await,
        ("raft.backend", _) => Ok(cluster::backend(context)),
        ("raft.digest", _) => cluster::digest(context, args).await,
        ("raft.snapshot", true) => snapshot::run(context, found.spec.name, args).await,
        (
            name @ ("raft.consistency" | "raft.token" | "raft.wait" | "readonly" | "readwrite" | "wait"
            | "waitaof"),
            _,
        ) => consistency::run(context, name, args).await,
        _ => Err(unknown_command(args)),
    };
    reply.map(Some)
}

/// What an administrator's command may look at, or do to connections and to no more.
const LOOKS: &[(&str, &str)] = &[
    ("client", "kill"),
    ("client", "list"),
    ("client", "no-evict"),
    ("cluster", "replicas"),
    ("cluster", "slaves"),
    ("config", "get"),
    ("config", "resetstat"),
    ("raft.snapshot", "begin"),
    ("raft.snapshot", "create"),
    ("raft.snapshot", "end"),
    ("raft.snapshot", "read"),
];

/// Whether a command changes the cluster or its configuration. Of an administrator's commands, all that are not known
/// to change nothing.
fn changes(found: Found) -> bool {
    let parent = found.parent.map_or("", |parent| parent.name);
    found.spec.flags.has(Flags::ADMIN) && !LOOKS.contains(&(parent, found.spec.name))
}

/// Families of commands that administer a node, or are needed before one can.
const ADMINISTRATION: &[&str] = &[
    "auth",
    "cluster",
    "command",
    "config",
    "hello",
    "info",
    "ping",
    "quit",
    "raft.backend",
    "raft.cluster",
    "raft.digest",
    "raft.help",
    "raft.node",
    "raft.snapshot",
    "raft.status",
    "raft.transfer_leader",
];

/// Whether a command is for who administers the node: all that a connection may call that came when there were too
/// many.
pub(crate) fn is_administrative(found: &Found) -> bool {
    match found.parent {
        Some(parent) if parent.name == "client" => {
            ["help", "id", "info", "kill", "list", "no-evict"].contains(&found.spec.name)
        }
        parent => ADMINISTRATION.contains(&parent.map_or(found.spec.name, |parent| parent.name)),
    }
}

fn ping(args: &[&[u8]]) -> Outcome<Reply> {
    match args {
        [_] => Ok(Reply::status("PONG")),
        [_, text] => Ok(Reply::bulk(text)),
        _ => Err(adapter::command::text::wrong_arity("ping")),
    }
}

/// There is one database.
fn select(args: &[&[u8]]) -> Outcome<Reply> {
    // Redis reads a C int here.
    let index = arg::int(args[1])?;
    match i32::try_from(index) {
        Ok(0) => Ok(Reply::OK),
        Ok(_) => Err(Stop::text("ERR DB index is out of range")),
        Err(_) => Err(adapter::command::text::NOT_INTEGER),
    }
}

fn time() -> Reply {
    let now = unix_time();
    Reply::bulks([now.as_secs(), u64::from(now.subsec_micros())].map(|part| part.to_string().into()))
}
