//! The one command table, and what every command does.
//!
//! A command is declared once, as a [`Spec`] in the table of its group ([`string`], [`hash`], …). From the table
//! come arity checks, routing, `COMMAND`'s replies and the compatibility page.

pub mod adoption;
pub mod arg;
pub mod bitmap;
pub mod cluster;
pub mod generic;
pub mod glob;
pub mod hash;
pub mod list;
mod mpop;
pub mod number;
pub mod random;
pub mod revision;
pub mod scan;
pub mod server;
pub mod set;
pub mod slot;
pub mod spec;
pub mod string;
pub mod text;
pub mod zset;

use std::collections::HashMap;
use std::sync::LazyLock;

pub use spec::{Flags, Group, Handler, Keys, Spec};

use bytes::Bytes;

use crate::batch::CommandBuffer;
use crate::bytes_hash::BytesHash;
use crate::error::{Outcome, Stop};
use crate::keyspace::{Keyspace, KeyspaceMut};
use crate::reply::Reply;

/// One call of a command.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The name and the arguments; the number of them satisfies the arity.
    pub args: &'a [&'a [u8]],
    /// Decides everything random in this call; the same on every replica.
    pub seed: u64,
}

/// All groups of the table.
pub static GROUPS: &[&[Spec]] = &[
    server::COMMANDS,
    cluster::COMMANDS,
    string::COMMANDS,
    bitmap::COMMANDS,
    generic::COMMANDS,
    hash::COMMANDS,
    list::COMMANDS,
    set::COMMANDS,
    zset::COMMANDS,
    adoption::COMMANDS,
    revision::COMMANDS,
];

static BY_NAME: LazyLock<HashMap<&'static [u8], &'static Spec, BytesHash>> =
    LazyLock::new(|| all().map(|spec| (spec.name.as_bytes(), spec)).collect());

/// The longest name that the table may hold.
const LONGEST_NAME: usize = 32;

/// All commands, internal ones included.
pub fn all() -> impl Iterator<Item = &'static Spec> {
    GROUPS.iter().flat_map(|group| group.iter())
}

/// Finds a command by its name in any case. Internal commands are found too: the front refuses them.
pub fn lookup(name: &[u8]) -> Option<&'static Spec> {
    let mut lower = [0; LONGEST_NAME];
    let lower = lower.get_mut(..name.len())?;
    lower.copy_from_slice(name);
    lower.make_ascii_lowercase();
    BY_NAME.get(&*lower).copied()
}

/// Finds the command, or the subcommand, that `args` calls, and checks the number of arguments.
pub fn resolve(args: &[&[u8]]) -> Outcome<&'static Spec> {
    let Some(spec) = args.first().and_then(|name| lookup(name)) else {
        return Err(text::unknown_command(args));
    };
    if !spec.arity_allows(args.len()) {
        return Err(text::wrong_arity(spec.name));
    }
    if spec.subcommands.is_empty() || args.len() < 2 {
        return Ok(spec);
    }
    let sub = spec.subcommand(args[1]).ok_or_else(|| text::unknown_subcommand(spec.name, args[1]))?;
    if sub.arity_allows(args.len()) { Ok(sub) } else { Err(text::wrong_arity(&sub.full_name(spec))) }
}

/// The internal command that removes those of the keys that are due by the log's time.
pub fn expire_due(keys: &[Bytes]) -> CommandBuffer {
    let mut args = vec![generic::EXPIRE_DUE.as_bytes()];
    args.extend(keys.iter().map(|key| &key[..]));
    let mut commands = CommandBuffer::default();
    commands.push(&args);
    commands
}

/// Refuses what is for clients while data is being adopted.
fn admit(keyspace: &dyn Keyspace, spec: &Spec) -> Outcome<()> {
    let is_exempt = || spec.flags.has(Flags::INTERNAL) || spec.flags.has(Flags::LOADING);
    if keyspace.is_loading()? && !is_exempt() { Err(adoption::LOADING) } else { Ok(()) }
}

/// Runs a reading command.
pub fn read(keyspace: &dyn Keyspace, args: &[&[u8]], seed: u64) -> Outcome<Reply> {
    let spec = resolve(args)?;
    match spec.handler {
        Handler::Read(run) => {
            admit(keyspace, spec)?;
            let reply = run(keyspace, &Call { args, seed })?;
            // It may have begun meanwhile.
            admit(keyspace, spec)?;
            Ok(reply)
        }
        Handler::Write(_) | Handler::Nested(_) => {
            Err(Stop::text("ERR a writing command was sent to be read"))
        }
        Handler::Front => {
            Err(Stop::text("ERR this command is answered by the server and not by the storage"))
        }
    }
}

/// Bytes that the replies to reading commands may have which run together: those of one log entry, or of one transaction. All
/// are in memory before the first is written.
const MOST_READ_BYTES: usize = 512 << 20;

/// Room for the replies to reading commands that run together.
#[derive(Debug)]
pub struct ReadRoom(usize);

impl Default for ReadRoom {
    fn default() -> Self {
        Self(MOST_READ_BYTES)
    }
}

impl ReadRoom {
    /// The reply, if there is room for it; else an error in its place.
    pub fn take(&mut self, reply: Reply) -> Outcome<Reply> {
        let left = self.0.checked_sub(reply.size());
        self.0 = left.ok_or(Stop::text("ERR transactions read more than 512 MB at once"))?;
        Ok(reply)
    }
}

/// Runs a command of a log entry, reading or writing; the replies to those that read share a room.
pub fn run_in_entry(
    keyspace: &mut dyn KeyspaceMut,
    args: &[&[u8]],
    seed: u64,
    room: &mut ReadRoom,
) -> Outcome<Reply> {
    let spec = resolve(args)?;
    if spec.flags.has(Flags::VIEW_ONLY) {
        return Err(Stop::say(format!(
            "ERR {} has no place among writes: a later one could change what it says",
            spec.name
        )));
    }
    let reply = run(keyspace, spec, args, seed, room)?;
    if matches!(spec.handler, Handler::Read(_)) { room.take(reply) } else { Ok(reply) }
}

/// Runs a reading or a writing command.
pub fn write(keyspace: &mut dyn KeyspaceMut, args: &[&[u8]], seed: u64) -> Outcome<Reply> {
    run(keyspace, resolve(args)?, args, seed, &mut ReadRoom::default())
}

/// Runs a command; those that it runs itself share the room.
fn run(
    keyspace: &mut dyn KeyspaceMut,
    spec: &Spec,
    args: &[&[u8]],
    seed: u64,
    room: &mut ReadRoom,
) -> Outcome<Reply> {
    if !matches!(spec.handler, Handler::Front) {
        admit(keyspace, spec)?;
    }
    match spec.handler {
        Handler::Read(run) => run(keyspace, &Call { args, seed }),
        Handler::Write(run) => run(keyspace, &Call { args, seed }),
        Handler::Nested(run) => run(keyspace, &Call { args, seed }, room),
        Handler::Front => {
            Err(Stop::text("ERR this command is answered by the server and not by the storage"))
        }
    }
}
