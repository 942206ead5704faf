//! Revisions of keys, and what depends on them: the entry of the log that changed a key last, etcd's `mod_revision`.
//!
//! | command | what it does |
//! |---|---|
//! | `RAFT.REVISION key …` | answers the revisions; 0 for a key that is not there |
//! | `RAFT.IF key revision [key revision …] [THEN] command …` | runs a command if the keys still have these |
//! | `raft.exec n (key revision)*n (argc arg*)*` | internal: an `EXEC` behind `WATCH` |
//!
//! The comparison is made where the command takes effect, in the log, so it holds whoever has sent it, through
//! whichever node, and across failovers. A whole entry has one revision: who has read it has seen the entry whole. So
//! `RAFT.REVISION` has no place *inside* an entry, where commands behind it could still change the key.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{Call, Flags, Group, Handler, Keys, ReadRoom, Spec, resolve, run_in_entry, text};
use crate::batch::{Batch, CommandBuffer};
use crate::command::number::format_u64;
use crate::command::random::Chance;
use crate::error::{Outcome, Stop};
use crate::keyspace::{Keyspace, KeyspaceMut};
use crate::reply::Reply;

/// The revision of keys that were changed last before there were revisions. The first entry of a log is no command's.
const OLDEST: u64 = 1;

/// The internal command of an `EXEC` behind `WATCH`.
pub const EXEC: &str = "raft.exec";

const IF: &str = "raft.if";
const THEN: &[u8] = b"then";

/// A cluster whose version is before that of revisions.
pub const NONE_KEPT: Stop = Stop::text(
    "ERR the cluster keeps no revisions of keys yet: once all nodes run this version, RAFT.CLUSTER VERSION FINALIZE",
);
const NOT_DATA: Stop = Stop::text("ERR RAFT.IF runs commands on data alone");
const NOT_A_REVISION: Stop = Stop::text("ERR a revision is an integer, and not negative");
const MALFORMED: Stop = Stop::text("ERR malformed raft.exec");

/// The commands of this group.
pub(super) static COMMANDS: &[Spec] = &[
    Spec::read("raft.revision", -2, Group::Generic, revision).keys(Keys::ALL).with(
        Flags::FAST.or(Flags::VIEW_ONLY),
        "7.2.0",
        "O(N) where N is the number of keys",
        "Answers the log entries that changed the keys last",
    ),
    Spec::nested(IF, -4, Group::Generic, run_if).keys(Keys::Found(keys_of_if)).with(
        Flags::DENYOOM.or(Flags::MOVABLE_KEYS),
        "7.2.0",
        "That of the command, and O(N) where N is the number of keys that are compared",
        "Runs a command if the keys have the revisions",
    ),
    Spec::nested(EXEC, -2, Group::Transactions, run_exec).keys(Keys::None).with(
        Flags::INTERNAL,
        "7.2.0",
        "That of the commands",
        "Runs commands if the keys have the revisions",
    ),
];

fn of(keyspace: &dyn Keyspace, key: &[u8]) -> Outcome<u64> {
    Ok(keyspace.meta(key)?.map_or(0, |meta| meta.revision.max(OLDEST)))
}

fn revision(keyspace: &dyn Keyspace, call: &Call<'_>) -> Outcome<Reply> {
    let revisions = call.args[1..].iter().map(|key| of(keyspace, key).map(Reply::count));
    Ok(Reply::Array(revisions.collect::<Outcome<_>>()?))
}

/// A key, and the revision that it must have.
type Condition<'a> = (&'a [u8], u64);

fn hold(keyspace: &dyn Keyspace, conditions: &[Condition<'_>]) -> Outcome<bool> {
    for (key, revision) in conditions {
        if of(keyspace, key)? != *revision {
            return Ok(false);
        }
    }
    Ok(true)
}

fn number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// The condition that a key and a number make; none of anything else.
fn condition<'b>(pair: &[&'b [u8]]) -> Option<Condition<'b>> {
    Some((pair.first()?, number(pair.get(1)?)?))
}

/// The conditions of `RAFT.IF`: the pairs whose second is a number. And where the command begins behind them.
fn split_if<'b>(args: &[&'b [u8]]) -> (Vec<Condition<'b>>, usize) {
    let conditions: Vec<_> = args[1..].chunks(2).map_while(condition).collect();
    let at = 1 + 2 * conditions.len();
    // A command whose first argument is a number would be taken for a pair.
    let is_told = args.get(at).is_some_and(|word| word.eq_ignore_ascii_case(THEN));
    (conditions, at + usize::from(is_told))
}

fn keys_of_if(args: &[&[u8]]) -> Vec<usize> {
    let (conditions, at) = split_if(args);
    let compared = (1..).step_by(2).take(conditions.len());
    let inner = args.get(at..).unwrap_or_default();
    let keys = resolve(inner).map(|spec| spec.key_indices(inner)).unwrap_or_default();
    compared.chain(keys.into_iter().map(|index| at + index)).collect()
}

/// Checks what `RAFT.IF` is given: conditions, and a command on data.
pub fn check_if(args: &[&[u8]]) -> Outcome<()> {
    parse_if(args).map(drop)
}

fn parse_if<'a, 'b>(args: &'a [&'b [u8]]) -> Outcome<(Vec<Condition<'b>>, &'a [&'b [u8]])> {
    let (conditions, at) = split_if(args);
    if conditions.is_empty() {
        return Err(NOT_A_REVISION);
    }
    let inner = args.get(at..).filter(|inner| !inner.is_empty()).ok_or_else(|| text::wrong_arity(IF))?;
    let spec = resolve(inner)?;
    let is_data = matches!(spec.handler, Handler::Read(_) | Handler::Write(_));
    let is_allowed = is_data && !spec.flags.has(Flags::INTERNAL) && !spec.flags.has(Flags::VIEW_ONLY);
    if is_allowed { Ok((conditions, inner)) } else { Err(NOT_DATA) }
}

fn run_if(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>, room: &mut ReadRoom) -> Outcome<Reply> {
    let (conditions, inner) = parse_if(call.args)?;
    if !keyspace.keeps_revisions() {
        return Err(NONE_KEPT);
    }
    if hold(keyspace, &conditions)? {
        run_in_entry(keyspace, inner, call.seed, room)
    } else {
        Ok(Reply::Null)
    }
}

/// The internal command for an `EXEC`: what was watched, and what was queued.
pub fn exec_after_watch(watched: &BTreeMap<Bytes, u64>, queued: &CommandBuffer) -> Outcome<CommandBuffer> {
    let batch = Batch::new(0, 0, [queued]);
    let (mut commands, mut args) = (batch.commands(), Vec::new());
    let mut whole = vec![Bytes::from_static(EXEC.as_bytes()), format_u64(watched.len() as u64)];
    whole.extend(watched.iter().flat_map(|(key, revision)| [key.clone(), format_u64(*revision)]));
    while commands.next_into(&mut args).map_err(Stop::Storage)? {
        whole.push(format_u64(args.len() as u64));
        whole.extend(args.iter().map(|arg| batch.raw().slice_ref(arg)));
    }
    let mut guarded = CommandBuffer::default();
    guarded.push(&whole.iter().map(|arg| &arg[..]).collect::<Vec<_>>());
    Ok(guarded)
}

fn run_exec(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>, room: &mut ReadRoom) -> Outcome<Reply> {
    if !keyspace.keeps_revisions() {
        return Err(NONE_KEPT);
    }
    let (conditions, mut rest) = conditions_of_exec(call.args).ok_or(MALFORMED)?;
    if !hold(keyspace, &conditions)? {
        return Ok(Reply::NullArray);
    }
    let (mut replies, mut is_pending) = (Vec::new(), false);
    while let Some((count, tail)) = rest.split_first() {
        let count = number(count).filter(|count| *count > 0).and_then(|count| usize::try_from(count).ok());
        let split = count.and_then(|count| tail.split_at_checked(count)).ok_or(MALFORMED)?;
        rest = split.1;
        let seed = Chance::call_seed(call.seed, replies.len() as u32);
        replies.push(match run_in_entry(keyspace, split.0, seed, room) {
            Ok(reply) => reply,
            Err(Stop::Storage(error)) => return Err(Stop::Storage(error)),
            // The others are run all the same, to find out what they are missing too; all of it is undone.
            Err(Stop::Pending) => {
                is_pending = true;
                Reply::Null
            }
            Err(stop) => Reply::from_stop(stop),
        });
    }
    if is_pending { Err(Stop::Pending) } else { Ok(Reply::Array(replies)) }
}

fn conditions_of_exec<'a, 'b>(args: &'a [&'b [u8]]) -> Option<(Vec<Condition<'b>>, &'a [&'b [u8]])> {
    let count = usize::try_from(number(args.get(1)?)?).ok()?;
    let (pairs, rest) = args[2..].split_at_checked(count.checked_mul(2)?)?;
    let conditions = pairs.chunks(2).map(condition).collect::<Option<_>>()?;
    Some((conditions, rest))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;
    use crate::memory::MemoryKeyspace;

    fn run(keyspace: &mut MemoryKeyspace, line: &str) -> Outcome<Reply> {
        let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        run_in_entry(keyspace, &args, 1, &mut ReadRoom::default())
    }

    fn keyspace() -> MemoryKeyspace {
        let mut keyspace = MemoryKeyspace::new(1000);
        keyspace.set_revision(7);
        run(&mut keyspace, "SET k v").unwrap();
        keyspace.set_revision(8);
        keyspace
    }

    #[test]
    fn a_command_runs_only_if_all_revisions_are_as_said() {
        let mut keyspace = keyspace();
        assert_eq!(run(&mut keyspace, "RAFT.IF k 6 SET k w").unwrap(), Reply::Null);
        assert_eq!(run(&mut keyspace, "RAFT.IF k 7 other 1 SET k w").unwrap(), Reply::Null);
        assert_eq!(run(&mut keyspace, "RAFT.IF k 7 other 0 SET k w").unwrap(), Reply::OK);
        assert_eq!(
            run(&mut keyspace, "RAFT.IF k 7 SET k x").unwrap(),
            Reply::Null,
            "it was changed by entry 8"
        );
        assert_eq!(run(&mut keyspace, "RAFT.IF k 8 GET k").unwrap(), Reply::bulk(b"w"));
    }

    #[test]
    fn then_tells_a_command_from_a_pair() {
        let mut keyspace = keyspace();
        assert_eq!(run(&mut keyspace, "RAFT.IF k 7 THEN INCRBY 7 3").unwrap(), Reply::Integer(3));
        assert_eq!(run(&mut keyspace, "RAFT.IF then 0 k 7 then APPEND 9 5").unwrap(), Reply::Integer(1));
        assert!(run(&mut keyspace, "RAFT.IF k 7 INCRBY 7 3").is_err(), "'3' is no command");
        let keys = |line: &str| keys_of_if(&line.split(' ').map(str::as_bytes).collect::<Vec<_>>());
        assert_eq!(keys("RAFT.IF k 7 l 8 SET x 1"), [1, 3, 6]);
        assert_eq!(keys("RAFT.IF k 7 THEN MSET x 1 y 2"), [1, 5, 7]);
    }

    #[test]
    fn what_is_no_condition_or_no_command_on_data_is_refused() {
        for line in [
            "RAFT.IF k x SET k w",
            "RAFT.IF k -1 SET k w",
            "RAFT.IF k 7 k 7",
            "RAFT.IF k 7 THEN",
            "RAFT.IF k 7 PING",
            "RAFT.IF k 7 RAFT.IF k 7 GET k",
            "RAFT.IF k 7 RAFT.REVISION k",
            "RAFT.IF k 7 GET",
        ] {
            assert!(matches!(run(&mut keyspace(), line), Err(Stop::Error(_))), "{line}");
        }
    }

    #[test]
    fn without_revisions_nothing_can_depend_on_them() {
        let mut keyspace = MemoryKeyspace::new(1000);
        assert!(run(&mut keyspace, "RAFT.IF k 0 SET k w").is_err());
        assert!(run(&mut keyspace, "raft.exec 1 k 0 3 SET k w").is_err());
    }

    #[test]
    fn an_exec_runs_all_or_nothing_by_what_was_watched() {
        let mut keyspace = keyspace();
        assert_eq!(run(&mut keyspace, "raft.exec 1 k 6 3 SET k w").unwrap(), Reply::NullArray);
        let replies = run(&mut keyspace, "raft.exec 2 k 7 l 0 3 SET k w 2 LPOP k 2 GET k").unwrap();
        let wrong = Reply::from_stop(text::WRONG_TYPE);
        assert_eq!(replies, Reply::Array(vec![Reply::OK, wrong, Reply::bulk(b"w")]));
        for cut in ["raft.exec 1", "raft.exec 1 k", "raft.exec 0 2 GET", "raft.exec x", "raft.exec 0 0"] {
            assert!(run(&mut keyspace, cut).is_err(), "{cut}");
        }
    }
}
