//! What Kiwi can do, tried at every connection before anything is entrusted to it.
//!
//! The requests that the sidecar lives on are sent once on keys of its own, with bytes that show whether they come back
//! whole. What is not known to be as it must be is refused.

use redis_protocol::resp2::types::BytesFrame;
use tokio::task::JoinSet;

use std::sync::Arc;

use super::client::{Client, Trouble};
use super::command::Request;
use crate::RESERVED;

/// Bytes that are no text, and two that end a line.
const BYTES: &[u8] = b"\x00\xff\xfe\r\n*$";
/// Pairs of keys that are tried; with two instances, all pairs are of one instance each in one case of 65,536.
const PAIRS: usize = 16;

/// What was found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Probed {
    /// Whether keys are spread over several RocksDB instances.
    pub(super) several_instances: bool,
}

/// Why a Kiwi must not be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProbeError {
    #[error(transparent)]
    Trouble(#[from] Trouble),
    #[error("{0}")]
    Unfit(String),
}

/// One request and what it must answer.
struct Step {
    args: Vec<Vec<u8>>,
    answer: BytesFrame,
}

fn step(args: &[&[u8]], answer: BytesFrame) -> Step {
    Step { args: args.iter().map(|arg| arg.to_vec()).collect(), answer }
}

fn bulk(bytes: &'static [u8]) -> BytesFrame {
    BytesFrame::BulkString(bytes.into())
}

fn ok() -> BytesFrame {
    BytesFrame::SimpleString("OK".into())
}

const fn int(number: i64) -> BytesFrame {
    BytesFrame::Integer(number)
}

fn key(name: &str) -> Vec<u8> {
    [RESERVED, b"probe:", name.as_bytes()].concat()
}

/// A Kiwi in its own Raft mode must not be used, whatever it holds. Nothing but this read tells of the mode: it is of a
/// kind of data that the Raft mode does not know.
pub(super) async fn refuse_raft_mode(client: &Client) -> Result<(), ProbeError> {
    match client.call(Request::new(&[b"VCARD", RESERVED])).await {
        Err(Trouble::Refused { error, .. }) if error.contains("cluster mode") => {
            Err(ProbeError::Unfit(format!(
                "{} runs in its own Raft mode; start it stand-alone (without raft-node-id)",
                client.address()
            )))
        }
        // One that does not know the command has no such mode, or tells by refusing to write.
        Ok(_) | Err(Trouble::Refused { .. }) => Ok(()),
        Err(trouble) => Err(trouble.into()),
    }
}

/// Tries everything that is needed.
pub(super) async fn probe(client: &Arc<Client>) -> Result<Probed, ProbeError> {
    let mut trying = JoinSet::new();
    for steps in [strings(), numbers(), hashes(), lists(), sets(), sorted_sets()] {
        let client = Arc::clone(client);
        trying.spawn(async move { run(&client, steps).await });
    }
    while let Some(tried) = trying.join_next().await {
        tried.map_err(|error| ProbeError::Unfit(error.to_string()))??;
    }
    Ok(Probed { several_instances: several_instances(client).await? })
}

async fn run(client: &Client, steps: Vec<Step>) -> Result<(), ProbeError> {
    for Step { args, answer } in steps {
        let mut request = Request::default();
        args.iter().for_each(|arg| request.push(arg));
        let name = args.first().map(|name| name.escape_ascii().to_string()).unwrap_or_default();
        let unfit = |given: String| {
            ProbeError::Unfit(format!(
                "{} does not answer {name} as Kiwi does ({given}); use a Kiwi that this version is known to work with",
                client.address()
            ))
        };
        match client.call(request).await {
            Ok(given) if given == answer => {}
            Ok(given) => return Err(unfit(format!("{given:?} and not {answer:?}"))),
            Err(Trouble::Refused { error, .. }) if error.contains("unknown command") => {
                return Err(unfit(error));
            }
            Err(trouble) => return Err(trouble.into()),
        }
    }
    Ok(())
}

/// What an earlier probe has left behind is removed first, whatever it was.
fn clean(name: &str) -> Vec<Step> {
    vec![step(&[b"SET", &key(name), b""], ok()), step(&[b"DEL", &key(name)], int(1))]
}

fn strings() -> Vec<Step> {
    let key = key("string");
    let mut steps = clean("string");
    steps.extend([
        step(&[b"MSET", &key, BYTES], ok()),
        step(&[b"MGET", &key], BytesFrame::Array(vec![bulk(BYTES)])),
        step(&[b"SETRANGE", &key, b"2", b"\xfdx"], int(7)),
        step(&[b"GETRANGE", &key, b"1", b"4"], bulk(b"\xff\xfdx\n")),
        step(&[b"DEL", &key], int(1)),
        step(&[b"EXISTS", &key], int(0)),
    ]);
    steps
}

/// The marks are swapped.
fn numbers() -> Vec<Step> {
    let key = key("mark");
    let mut steps = clean("mark");
    steps.extend([
        step(&[b"SET", &key, b"1"], ok()),
        step(&[b"GETSET", &key, b"2"], bulk(b"1")),
        step(&[b"DEL", &key], int(1)),
    ]);
    steps
}

fn hashes() -> Vec<Step> {
    let key = key("hash");
    let mut steps = clean("hash");
    steps.extend([
        step(&[b"HMSET", &key, b"a", b"1", BYTES, b"2"], ok()),
        step(&[b"HMGET", &key, BYTES, b"b"], BytesFrame::Array(vec![bulk(b"2"), BytesFrame::Null])),
        step(&[b"HDEL", &key, b"a"], int(1)),
        step(&[b"DEL", &key], int(1)),
    ]);
    steps
}

fn lists() -> Vec<Step> {
    let key = key("list");
    let mut steps = clean("list");
    steps.extend([
        step(&[b"RPUSH", &key, b"b", BYTES], int(2)),
        step(&[b"LPUSH", &key, b"a"], int(3)),
        step(&[b"LSET", &key, b"0", b"c"], ok()),
        step(&[b"LTRIM", &key, b"0", b"2"], ok()),
        step(&[b"LRANGE", &key, b"0", b"2"], BytesFrame::Array(vec![bulk(b"c"), bulk(b"b"), bulk(BYTES)])),
        step(&[b"LLEN", &key], int(3)),
        step(&[b"DEL", &key], int(1)),
    ]);
    steps
}

fn sets() -> Vec<Step> {
    let key = key("set");
    let mut steps = clean("set");
    steps.extend([
        step(&[b"SADD", &key, BYTES], int(1)),
        step(&[b"SADD", &key, b"a", b"b"], int(2)),
        step(&[b"SREM", &key, BYTES], int(1)),
        step(&[b"DEL", &key], int(1)),
    ]);
    steps
}

fn sorted_sets() -> Vec<Step> {
    let key = key("zset");
    let mut steps = clean("zset");
    steps.extend([
        step(&[b"ZADD", &key, b"1.5", BYTES, b"-1.7976931348623157e308", b"a"], int(2)),
        step(&[b"ZREM", &key, BYTES], int(1)),
        step(&[b"DEL", &key], int(1)),
    ]);
    steps
}

/// Kiwi refuses to move an element between instances, whether there is one or not.
async fn several_instances(client: &Arc<Client>) -> Result<bool, Trouble> {
    let mut asking = JoinSet::new();
    for pair in 0..PAIRS {
        let client = Arc::clone(client);
        asking.spawn(async move {
            let (from, to) = (key(&format!("from:{pair}")), key(&format!("to:{pair}")));
            match client.call(Request::new(&[b"RPOPLPUSH", &from, &to])).await {
                Err(Trouble::Refused { .. }) => Ok(true),
                other => other.map(|_| false),
            }
        });
    }
    let mut several = false;
    while let Some(asked) = asking.join_next().await {
        several |= asked.unwrap_or(Ok(false))?;
    }
    Ok(several)
}
