//! How recent reads are: the level of a connection or of one read, tokens, and waiting for others.
//!
//! | call | reply |
//! |---|---|
//! | `RAFT.CONSISTENCY` | the level of this connection's reads: `linearizable`, `bounded 500` |
//! | `RAFT.CONSISTENCY level [ms]` | `OK`; `ms` goes with `bounded` |
//! | `READONLY`, `READWRITE` | `OK`; the level `eventual`, the default level |
//! | `RAFT.READ level [MAXLAG ms] command …` | the command's, read at this level |
//! | `RAFT.TOKEN` | the position of the last write and the last read of this connection |
//! | `RAFT.WAIT token ms` | `OK` once this node has applied it, or `TIMEOUT …`; it is the session's from then on |
//! | `WAIT replicas ms` | how many nodes besides the leader have the connection's last write |
//! | `WAITAOF local replicas ms` | whether this node has synced it, and how many others have |
//!
//! A wait of 0 ms is one without an end, as in Redis; here it ends after [`LONGEST_WAIT`].

use std::time::Duration;

use adapter::command::spec::Handler;
use adapter::command::{arg, text};
use adapter::error::Outcome;
use adapter::{Reply, Spec, Stop};
use conf::{Consistency, Durability};
use tokio::time::Instant;

use super::cluster::number;
use super::context::Context;
use crate::clients::Directive;
use crate::lookup::find;
use crate::resp_error::RespError;

/// What a wait without an end has for one: its connection is not looked at meanwhile.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// Runs one of these commands; `RAFT.READ` is one of the commands that it contains.
pub(super) async fn run(context: &mut Context<'_>, name: &str, args: &[&[u8]]) -> Outcome<Reply> {
    match name {
        "raft.consistency" => consistency(context, &args[1..]),
        "raft.token" => Ok(Reply::count(context.session.seen)),
        "raft.wait" => wait_for_token(context, args[1], args[2]).await,
        "readonly" => {
            context.session.consistency = Consistency::Eventual;
            context.session.cluster_aware = true;
            Ok(Reply::OK)
        }
        "readwrite" => {
            context.session.consistency = context.shared.config.load().default_consistency();
            Ok(Reply::OK)
        }
        "wait" => wait(context, args[1], args[2]).await,
        "waitaof" => wait_aof(context, args).await,
        _ => Err(text::unknown_command(args)),
    }
}

/// A reading command that names its level.
pub(crate) struct Leveled {
    /// The level.
    pub(crate) consistency: Consistency,
    /// How many arguments stand before the command.
    pub(crate) before: usize,
    /// The command.
    pub(crate) spec: &'static Spec,
}

/// What a `RAFT.READ` names.
pub(crate) fn leveled(args: &[&[u8]]) -> Outcome<Leveled> {
    let (bound, before) = match args {
        [_, _, maxlag, rest @ ..] if arg::is(maxlag, "maxlag") => match rest {
            [bound, _, ..] => (Some(milliseconds(bound)?), 4),
            _ => return Err(text::wrong_arity("raft.read")),
        },
        _ => (None, 2),
    };
    let consistency = named(args[1], bound)?;
    let inner = find(&args[before..])?;
    if matches!(inner.spec.handler, Handler::Read(_)) {
        return Ok(Leveled { consistency, before, spec: inner.spec });
    }
    let name = inner.parent.map_or(inner.spec.name.to_owned(), |parent| inner.spec.full_name(parent));
    Err(Stop::say(format!(
        "ERR RAFT.READ is for commands that read data and write none, '{name}' is no such command"
    )))
}

fn consistency(context: &mut Context<'_>, args: &[&[u8]]) -> Outcome<Reply> {
    let level = match args {
        [] => return Ok(Reply::Bulk(context.session.consistency.to_string().into())),
        [level] => named(level, None)?,
        [level, bound] => named(level, Some(milliseconds(bound)?))?,
        _ => return Err(text::SYNTAX),
    };
    context.session.consistency = level;
    Ok(Reply::OK)
}

fn named(level: &[u8], bound: Option<Duration>) -> Outcome<Consistency> {
    Consistency::named(&String::from_utf8_lossy(level), bound)
        .map_err(|error| Stop::say(format!("ERR {error}").replace(['\r', '\n'], " ")))
}

fn milliseconds(given: &[u8]) -> Outcome<Duration> {
    number(given).map(Duration::from_millis)
}

/// Redis's reading of a timeout, with its errors.
fn patience(given: &[u8]) -> Outcome<Duration> {
    let ms = arg::parse_i64(given).ok_or(Stop::text("ERR timeout is not an integer or out of range"))?;
    let ms = u64::try_from(ms).map_err(|_| Stop::text("ERR timeout is negative"))?;
    Ok(if ms == 0 { LONGEST_WAIT } else { Duration::from_millis(ms).min(LONGEST_WAIT) })
}

async fn wait_for_token(context: &mut Context<'_>, token: &[u8], ms: &[u8]) -> Outcome<Reply> {
    let token =
        number(token).map_err(|_| Stop::text("ERR a token is a number that RAFT.TOKEN has answered"))?;
    let patience = patience(ms)?;
    // Also if it takes too long: what the session reads from here on is not to be older.
    context.session.seen = context.session.seen.max(token);
    let applied = unless_asked(context, context.shared.handle.wait_applied(token, patience)).await;
    if applied == Some(true) {
        return Ok(Reply::OK);
    }
    Err(raft::ReadError::NotApplied(token).stop())
}

async fn wait(context: &Context<'_>, replicas: &[u8], ms: &[u8]) -> Outcome<Reply> {
    let replicas = usize::try_from(arg::int(replicas)?).unwrap_or(0);
    let patience = patience(ms)?;
    let known = context.shared.handle.wait_replicated(context.session.written, replicas, patience);
    Ok(Reply::count(unless_asked(context, known).await.unwrap_or(0) as u64))
}

async fn wait_aof(context: &Context<'_>, args: &[&[u8]]) -> Outcome<Reply> {
    let local = match arg::int(args[1])? {
        0 => false,
        1 => true,
        _ => return Err(Stop::text("ERR value is out of range, value must between 0 and 1")),
    };
    let replicas = usize::try_from(arg::int(args[2])?)
        .map_err(|_| Stop::text("ERR value is out of range, must be positive"))?;
    let patience = patience(args[3])?;
    if context.shared.config.load().raft.durability != Durability::Fsync {
        // Nobody knows when the operating system writes it, so there is nothing to wait for.
        return Ok(Reply::Array(vec![Reply::Integer(0), Reply::Integer(0)]));
    }
    let (handle, index) = (&context.shared.handle, context.session.written);
    let deadline = Instant::now() + patience;
    let for_local = if local { patience } else { Duration::ZERO };
    let synced = unless_asked(context, handle.wait_synced(index, for_local)).await.unwrap_or(false);
    let left = deadline.saturating_duration_since(Instant::now());
    let known = unless_asked(context, handle.wait_replicated(index, replicas, left)).await.unwrap_or(0);
    Ok(Reply::Array(vec![Reply::Integer(i64::from(synced)), Reply::count(known as u64)]))
}

/// Waits, but not for a connection that is to end; none if so.
async fn unless_asked<T>(context: &Context<'_>, waiting: impl Future<Output = T>) -> Option<T> {
    let mut waiting = std::pin::pin!(waiting);
    loop {
        tokio::select! {
            biased;
            done = &mut waiting => return Some(done),
            () = context.client.asked() => {
                if context.client.directive() != Directive::Serve {
                    return None;
                }
            }
        }
    }
}
