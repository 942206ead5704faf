//! RAFT.SNAPSHOT: a snapshot that lets this node give up log, and one of all data, read piece by piece; `raft-proxy
//! backup` is the latter's client.
//!
//! | call | reply |
//! |---|---|
//! | `RAFT.SNAPSHOT CREATE` | the log index that the snapshot will have reached at least; it is made behind the reply |
//! | `RAFT.SNAPSHOT BEGIN` | its name, and the index of the last log entry whose effects are in it |
//! | `RAFT.SNAPSHOT READ name offset length` | at most a MiB from there, empty if it is not written yet (after a second) or at the end; and the length of the whole, nil until it is known |
//! | `RAFT.SNAPSHOT END name` | `OK`; it is gone |
//!
//! It holds every write that was answered before `BEGIN`, on whatever node that is called. It goes with the connection
//! that began it; until then any connection can read it.

use adapter::command::text;
use adapter::error::Outcome;
use adapter::{Reply, Stop};
use raft::backup::TakeError;
use raft::handle::ChangeError;
use raft::status::Role;

use super::cluster::number;
use super::context::Context;
use super::nodes;
use crate::resp_error::RespError;

/// Runs a subcommand.
pub(super) async fn run(context: &mut Context<'_>, name: &str, args: &[&[u8]]) -> Outcome<Reply> {
    let handle = &context.shared.handle;
    match (name, args) {
        ("create", _) => {
            let status = handle.status();
            if status.role == Role::Standalone {
                return Err(nodes::failed(ChangeError::StandAlone));
            }
            handle.make_snapshot().await;
            Ok(Reply::count(status.applied))
        }
        ("begin", _) => {
            let begun = handle.begin_backup().await.map_err(failed)?;
            context.session.snapshots.push(begun.hold);
            Ok(Reply::Array(vec![Reply::bulk(begun.name.as_bytes()), Reply::count(begun.index)]))
        }
        ("read", [_, _, name, offset, length]) => {
            let (offset, length) = (number(offset)?, number(length)?);
            let name = String::from_utf8_lossy(name);
            let piece = handle.backups().read(&name, offset, length).await.map_err(failed)?;
            let whole = piece.length.map_or(Reply::Null, Reply::count);
            Ok(Reply::Array(vec![Reply::Bulk(piece.bytes), whole]))
        }
        ("end", [_, _, name]) => {
            let name = String::from_utf8_lossy(name);
            handle.backups().end(&name).map_err(failed)?;
            context.session.snapshots.retain(|hold| hold.name() != name);
            Ok(Reply::OK)
        }
        _ => Err(text::unknown_subcommand("raft.snapshot", args[1])),
    }
}

fn failed(error: TakeError) -> Stop {
    error.stop()
}
