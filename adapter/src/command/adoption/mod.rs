//! Adopting the data that a storage had before it belonged to a cluster: the internal commands by which the node beside
//! that storage brings the data into the log, and what they keep of it.
//!
//! | command | what it does |
//! |---|---|
//! | `raft.adopt begin token node` | the keyspace, which must be empty, is for the adoption alone from here on |
//! | `raft.adopt load token number op…` | applies pieces of data ([`Op`]) |
//! | `raft.adopt end token number` | all pieces have come |
//! | `raft.adopt open token` | the data is the clients' |
//! | `raft.adopt abort token` | gives it up: the keyspace is empty again |
//! | `raft.adoption` | answers how it stands |
//!
//! While there is an adoption, clients are told that data is loading ([`LOADING`]), wherever a command is decided: a
//! write where it is applied, a read where it is run. Loads are numbered, so a repeated one does nothing, and every
//! command may be sent again when its outcome is unknown. A token stands for one attempt.
//!
//! How it stands is kept under a reserved key ([`KEY`]), so that it is in every snapshot and on every storage. It is a
//! sorted set, whose members and scores every storage has at hand.

mod op;

use std::borrow::Cow;

pub use op::Op;

use super::{Call, Flags, Group, Keys, Spec, arg};
use crate::batch::CommandBuffer;
use crate::error::{Outcome, Stop};
use crate::keyspace::{Keyspace, KeyspaceMut};
use crate::reply::Reply;

/// Where it is kept how an adoption stands.
pub const KEY: &[u8] = crate::reserved::ADOPTION;
/// What clients are answered meanwhile.
pub const LOADING: Stop = Stop::text("LOADING Raft module is loading data");

const NAME: &str = "raft.adopt";
const NOT_EMPTY: Stop = Stop::text(
    "ERR the cluster has data already, and data can only be adopted into an empty one; FLUSHALL removes what it has",
);
const ANOTHER: Stop = Stop::text("ERR another attempt to adopt data has taken the place of this one");
const OUT_OF_TURN: Stop = Stop::text("ERR a part of the data that is adopted has not arrived");
const COMPLETE: Stop = Stop::text("ERR the data is complete already");

/// The commands of this group.
pub(super) static COMMANDS: &[Spec] = &[
    Spec::write(NAME, -3, Group::Server, adopt).keys(Keys::None).with(
        Flags::INTERNAL,
        "7.2.0",
        "O(N) where N is the size of the data that it carries",
        "Makes data the cluster's that a storage had before",
    ),
    Spec::read("raft.adoption", 1, Group::Server, adoption).keys(Keys::None).with(
        Flags::INTERNAL.or(Flags::FAST),
        "7.2.0",
        "O(1)",
        "Answers how the adoption of data stands: token, node, number of the next load, whether it is complete",
    ),
];

/// How an adoption stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// The attempt.
    pub token: u64,
    /// Whose storage's data it is.
    pub node: u64,
    /// The number of the next load.
    pub next: u64,
    /// Whether all data has come.
    pub complete: bool,
}

const FIELDS: [&[u8]; 4] = [b"token", b"node", b"next", b"complete"];

impl State {
    fn read(keyspace: &dyn Keyspace) -> Outcome<Option<Self>> {
        let mut found = [0; 4];
        for (field, found) in FIELDS.iter().zip(&mut found) {
            let Some(score) = keyspace.zset_score(KEY, field)? else { return Ok(None) };
            *found = score as u64;
        }
        let [token, node, next, complete] = found;
        Ok(Some(Self { token, node, next, complete: complete != 0 }))
    }

    fn write(self, keyspace: &mut dyn KeyspaceMut) -> Outcome<()> {
        let values = [self.token, self.node, self.next, u64::from(self.complete)];
        for (field, value) in FIELDS.iter().zip(values) {
            // All of them are below 2^53.
            keyspace.zset_put(KEY, field, value as f64)?;
        }
        Ok(())
    }

    /// What `raft.adoption` has answered; none if there is no adoption.
    pub fn from_reply(reply: &Reply) -> Option<Self> {
        let Reply::Array(parts) = reply else { return None };
        let [Reply::Integer(token), Reply::Integer(node), Reply::Integer(next), Reply::Integer(complete)] =
            parts[..]
        else {
            return None;
        };
        let number = |value: i64| u64::try_from(value).ok();
        Some(Self {
            token: number(token)?,
            node: number(node)?,
            next: number(next)?,
            complete: complete != 0,
        })
    }
}

/// Has the keyspace be for the adoption alone.
pub fn begin(token: u64, node: u64) -> CommandBuffer {
    command(&[b"begin", token.to_string().as_bytes(), node.to_string().as_bytes()])
}

/// Has pieces of data applied.
pub fn load(token: u64, number: u64, ops: &[Op]) -> CommandBuffer {
    let (token, number) = (token.to_string(), number.to_string());
    let mut args: Vec<Cow<'_, [u8]>> = Vec::new();
    ops.iter().for_each(|op| op.push(&mut args));
    let mut all: Vec<&[u8]> = vec![b"load", token.as_bytes(), number.as_bytes()];
    all.extend(args.iter().map(|arg| &arg[..]));
    command(&all)
}

/// Says that all data has come, in so many loads.
pub fn end(token: u64, loads: u64) -> CommandBuffer {
    command(&[b"end", token.to_string().as_bytes(), loads.to_string().as_bytes()])
}

/// Gives the data to the clients.
pub fn open(token: u64) -> CommandBuffer {
    command(&[b"open", token.to_string().as_bytes()])
}

/// Gives the adoption up. One whose data is complete is opened instead.
pub fn abort(token: u64) -> CommandBuffer {
    command(&[b"abort", token.to_string().as_bytes()])
}

fn command(args: &[&[u8]]) -> CommandBuffer {
    let mut commands = CommandBuffer::default();
    commands.push(&[&[NAME.as_bytes()], args].concat());
    commands
}

fn adoption(keyspace: &dyn Keyspace, _call: &Call<'_>) -> Outcome<Reply> {
    Ok(State::read(keyspace)?.map_or(Reply::Null, |state| {
        let parts = [state.token, state.node, state.next, u64::from(state.complete)];
        Reply::Array(parts.into_iter().map(Reply::count).collect())
    }))
}

fn adopt(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>) -> Outcome<Reply> {
    let number = |index: usize| {
        let text = call.args.get(index).ok_or_else(malformed)?;
        arg::parse_i64(text).and_then(|number| u64::try_from(number).ok()).ok_or_else(malformed)
    };
    let token = number(2)?;
    let state = State::read(keyspace)?;
    match call.args[1] {
        b"begin" => begins(keyspace, state, token, number(3)?)?,
        b"load" => loads(keyspace, state, token, number(3)?, &call.args[4..])?,
        b"end" => ends(keyspace, state, token, number(3)?)?,
        b"open" => opens(keyspace, state, token)?,
        b"abort" => aborts(keyspace, state, token)?,
        _ => return Err(malformed()),
    }
    Ok(Reply::OK)
}

fn begins(keyspace: &mut dyn KeyspaceMut, state: Option<State>, token: u64, node: u64) -> Outcome<()> {
    match state {
        Some(state) if state.token == token => return Ok(()),
        Some(state) if state.node != node => {
            return Err(Stop::say(format!("ERR the data of node {} is being adopted already", state.node)));
        }
        Some(state) if state.complete => return Err(COMPLETE),
        // An earlier attempt of the same node.
        Some(_) => keyspace.clear()?,
        None if keyspace.key_count()? > 0 => return Err(NOT_EMPTY),
        None => {}
    }
    State { token, node, next: 0, complete: false }.write(keyspace)
}

/// The state, if it is that of this attempt.
fn mine(state: Option<State>, token: u64) -> Outcome<State> {
    state.filter(|state| state.token == token).ok_or(ANOTHER)
}

fn loads(
    keyspace: &mut dyn KeyspaceMut,
    state: Option<State>,
    token: u64,
    number: u64,
    args: &[&[u8]],
) -> Outcome<()> {
    let state = mine(state, token)?;
    if number < state.next {
        return Ok(());
    }
    if number > state.next || state.complete {
        return Err(OUT_OF_TURN);
    }
    for piece in op::parse(args)? {
        piece.apply(keyspace)?;
    }
    State { next: number + 1, ..state }.write(keyspace)
}

fn ends(keyspace: &mut dyn KeyspaceMut, state: Option<State>, token: u64, loads: u64) -> Outcome<()> {
    let state = mine(state, token)?;
    if state.next != loads {
        return Err(OUT_OF_TURN);
    }
    State { complete: true, ..state }.write(keyspace)
}

fn opens(keyspace: &mut dyn KeyspaceMut, state: Option<State>, token: u64) -> Outcome<()> {
    // It has been opened before.
    let Some(state) = state else { return Ok(()) };
    if !mine(Some(state), token)?.complete {
        return Err(OUT_OF_TURN);
    }
    keyspace.remove(KEY).map(drop)
}

fn aborts(keyspace: &mut dyn KeyspaceMut, state: Option<State>, token: u64) -> Outcome<()> {
    let Some(state) = state else { return Ok(()) };
    // The storage that it came from may have been emptied already.
    if mine(Some(state), token)?.complete { keyspace.remove(KEY).map(drop) } else { keyspace.clear() }
}

fn malformed() -> Stop {
    Stop::text("ERR malformed data to be adopted")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests;
