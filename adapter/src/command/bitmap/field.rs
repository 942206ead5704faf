//! BITFIELD and BITFIELD_RO.
//!
//! The bytes that a call touches are read first, all operations work on those, and what has changed is written
//! back: the string itself may be large.

use std::collections::BTreeMap;

use super::bit;
use super::integer::{Bytemap, IntegerType, Overflow};
use crate::command::arg::{MAX_STRING, int, is, meta_of};
use crate::command::{Call, text};
use crate::error::{Outcome, Stop};
use crate::keyspace::{Keyspace, KeyspaceMut, Kind, gather};
use crate::reply::Reply;

/// What is done to an integer.
#[derive(Clone, Copy, Debug)]
enum Action {
    Get,
    Set(i64),
    Increment(i64),
}

/// One operation of a call.
#[derive(Clone, Copy, Debug)]
struct Operation {
    action: Action,
    kind: IntegerType,
    /// The offset of the first bit.
    at: u64,
    overflow: Overflow,
}

impl Operation {
    fn writes(&self) -> bool {
        !matches!(self.action, Action::Get)
    }

    /// The offset of the last byte that it touches.
    fn last_byte(&self) -> u64 {
        (self.at + u64::from(self.kind.bits) - 1) / 8
    }
}

/// `BITFIELD key [GET type offset | [OVERFLOW …] SET type offset value | INCRBY type offset increment] …`
pub(super) fn bitfield(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>) -> Outcome<Reply> {
    let key = call.key();
    let operations = parse(call.from(2))?;
    let len = meta_of(keyspace, key, Kind::String)?.map_or(0, |meta| meta.len);
    let mut bytes = touched(keyspace, key, len, &operations)?;
    let before = bytes.0.clone();
    let replies = operations.iter().map(|operation| run(operation, &mut bytes)).collect();
    // The string grows to hold every operation that writes, even one that fails.
    let Some(last) = operations.iter().filter(|operation| operation.writes()).map(Operation::last_byte).max()
    else {
        return Ok(Reply::Array(replies));
    };
    write_back(keyspace, key, len, last, (&before, &bytes.0))?;
    Ok(Reply::Array(replies))
}

/// Writes the bytes up to `last` that have changed, neighbours together, and `last` if the string is shorter.
fn write_back(
    keyspace: &mut dyn KeyspaceMut,
    key: &[u8],
    len: u64,
    last: u64,
    (before, after): (&BTreeMap<u64, u8>, &BTreeMap<u64, u8>),
) -> Outcome<()> {
    let mut runs: Vec<(u64, Vec<u8>)> = Vec::new();
    for (at, byte) in after.range(..=last) {
        let grows = *at == last && last >= len;
        if before.get(at) == Some(byte) && !grows {
            continue;
        }
        match runs.last_mut() {
            Some((start, run)) if *start + run.len() as u64 == *at => run.push(*byte),
            _ => runs.push((*at, vec![*byte])),
        }
    }
    runs.iter().try_for_each(|(start, run)| keyspace.string_write(key, *start, run))
}

/// `BITFIELD_RO key [GET type offset] …`
pub(super) fn bitfield_ro(keyspace: &dyn Keyspace, call: &Call<'_>) -> Outcome<Reply> {
    let operations = parse(call.from(2))?;
    if operations.iter().any(Operation::writes) {
        return Err(Stop::text("ERR BITFIELD_RO only supports the GET subcommand"));
    }
    let len = meta_of(keyspace, call.key(), Kind::String)?.map_or(0, |meta| meta.len);
    let mut bytes = touched(keyspace, call.key(), len, &operations)?;
    Ok(Reply::Array(operations.iter().map(|operation| run(operation, &mut bytes)).collect()))
}

fn parse(mut args: &[&[u8]]) -> Outcome<Vec<Operation>> {
    let mut overflow = Overflow::Wrap;
    let mut operations = Vec::new();
    loop {
        let (name, kind, at, value, rest) = match args {
            [] => return Ok(operations),
            [name, mode, rest @ ..] if is(name, "overflow") => {
                overflow = parse_overflow(mode)?;
                args = rest;
                continue;
            }
            [name, kind, at, rest @ ..] if is(name, "get") => (name, kind, at, None, rest),
            [name, kind, at, value, rest @ ..] if is(name, "set") || is(name, "incrby") => {
                (name, kind, at, Some(value), rest)
            }
            _ => return Err(text::SYNTAX),
        };
        let kind = IntegerType::parse(kind)?;
        let at = bit::offset(at, Some(kind.bits))?;
        let action = match value {
            None => Action::Get,
            Some(value) if is(name, "set") => Action::Set(int(value)?),
            Some(value) => Action::Increment(int(value)?),
        };
        let operation = Operation { action, kind, at, overflow };
        if operation.writes() && operation.last_byte() >= MAX_STRING {
            return Err(text::STRING_TOO_LONG);
        }
        operations.push(operation);
        args = rest;
    }
}

fn parse_overflow(mode: &[u8]) -> Outcome<Overflow> {
    [("wrap", Overflow::Wrap), ("sat", Overflow::Saturate), ("fail", Overflow::Fail)]
        .into_iter()
        .find(|(name, _)| is(mode, name))
        .map(|(_, overflow)| overflow)
        .ok_or(Stop::text("ERR Invalid OVERFLOW type specified"))
}

/// Reads the bytes that the operations touch, as far as the string has them.
fn touched(
    keyspace: &(impl Keyspace + ?Sized),
    key: &[u8],
    len: u64,
    operations: &[Operation],
) -> Outcome<Bytemap> {
    let read = |operation: &Operation| {
        let first = operation.at / 8;
        let end = (operation.last_byte() + 1).min(len);
        let bytes =
            if first < end { keyspace.string_range(key, first, end - first)? } else { Default::default() };
        Ok((first, bytes))
    };
    let mut map = Bytemap::default();
    for (first, bytes) in gather(operations.iter().map(read))? {
        map.0.extend((first..).zip(bytes));
    }
    Ok(map)
}

/// Runs one operation on the bytes; null if it overflows and must not.
fn run(operation: &Operation, bytes: &mut Bytemap) -> Reply {
    let Operation { action, kind, at, overflow } = *operation;
    let old = bytes.get(at, kind);
    let (new, answer) = match action {
        Action::Get => return Reply::Integer(old),
        Action::Set(value) => (kind.fit(value, 0, overflow), Some(old)),
        Action::Increment(increment) => {
            let new = kind.fit(old, increment, overflow);
            (new, new)
        }
    };
    match (new, answer) {
        (Some(new), Some(answer)) => {
            bytes.set(at, kind, new);
            Reply::Integer(answer)
        }
        _ => {
            // Touched all the same: what the string grows to has a value.
            bytes.set(at, kind, old);
            Reply::Null
        }
    }
}
