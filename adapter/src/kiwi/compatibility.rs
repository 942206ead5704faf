//! What this Kiwi can do, checked on every connect before any data is entrusted to it.
//!
//! Every kind of request the sidecar relies on is sent once, on reserved keys, with bytes that show whether they
//! come back intact. A Kiwi that answers anything unexpected is refused.

use redis_protocol::resp2::types::BytesFrame;
use tokio::task::JoinSet;

use std::sync::Arc;

use super::client::{Client, Request, RequestError};
use crate::RESERVED;
use crate::failpoint;

/// Bytes that are not UTF-8, and a line ending.
const BYTES: &[u8] = b"\x00\xff\xfe\r\n*$";
/// Key pairs to try. With two instances, the odds that every pair lands on a single one are 1 in 65,536.
const PAIRS: usize = 16;

/// What the checks found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Capabilities {
    /// Whether keys are spread over several RocksDB instances.
    pub(super) several_instances: bool,
}

/// Why a check failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProbeError {
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error("{0}")]
    Incompatible(String),
}

/// One request and the expected reply.
struct Check {
    args: Vec<Vec<u8>>,
    answer: BytesFrame,
}

fn check(args: &[&[u8]], answer: BytesFrame) -> Check {
    Check { args: args.iter().map(|arg| arg.to_vec()).collect(), answer }
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

/// Refuses a Kiwi that runs in its own Raft mode. This read is the only way to tell: it is for a data type that the
/// Raft mode does not support.
pub(super) async fn refuse_raft_mode(client: &Client) -> Result<(), ProbeError> {
    match client.call(Request::new(&[b"VCARD", RESERVED])).await {
        Err(RequestError::Refused { error, .. }) if error.contains("cluster mode") => {
            Err(ProbeError::Incompatible(format!(
                "{} runs in its own Raft mode; start it stand-alone (without raft-node-id)",
                client.address()
            )))
        }
        // A Kiwi without the command has no such mode, or gives it away by refusing writes.
        Ok(_) | Err(RequestError::Refused { .. }) => Ok(()),
        Err(failure) => Err(failure.into()),
    }
}

/// Runs all checks.
pub(super) async fn probe(client: &Arc<Client>) -> Result<Capabilities, ProbeError> {
    let mut trying = JoinSet::new();
    for checks in [strings(), numbers(), hashes(), lists(), sets(), sorted_sets()] {
        let client = Arc::clone(client);
        trying.spawn(async move { run(&client, checks).await });
    }
    while let Some(tried) = trying.join_next().await {
        tried.map_err(|error| ProbeError::Incompatible(error.to_string()))??;
    }
    Ok(Capabilities { several_instances: several_instances(client).await? })
}

async fn run(client: &Client, checks: Vec<Check>) -> Result<(), ProbeError> {
    for Check { args, answer } in checks {
        let mut request = Request::default();
        args.iter().for_each(|arg| request.push(arg));
        let name = args.first().map(|name| name.escape_ascii().to_string()).unwrap_or_default();
        let incompatible = |given: String| {
            ProbeError::Incompatible(format!(
                "{} does not answer {name} as Kiwi does ({given}); use a Kiwi that this version is known to work with",
                client.address()
            ))
        };
        match client.call(request).await {
            Ok(given) if given == answer => failpoint::reached("kiwi-probing"),
            Ok(given) => return Err(incompatible(format!("{given:?} and not {answer:?}"))),
            Err(RequestError::Refused { error, .. }) if error.contains("unknown command") => {
                return Err(incompatible(error));
            }
            Err(failure) => return Err(failure.into()),
        }
    }
    Ok(())
}

/// Removes whatever an earlier probe left behind.
fn clean(name: &str) -> Vec<Check> {
    vec![check(&[b"SET", &key(name), b""], ok()), check(&[b"DEL", &key(name)], int(1))]
}

fn strings() -> Vec<Check> {
    let key = key("string");
    let mut checks = clean("string");
    checks.extend([
        check(&[b"MSET", &key, BYTES], ok()),
        check(&[b"MGET", &key], BytesFrame::Array(vec![bulk(BYTES)])),
        check(&[b"SETRANGE", &key, b"2", b"\xfdx"], int(7)),
        check(&[b"GETRANGE", &key, b"1", b"4"], bulk(b"\xff\xfdx\n")),
        check(&[b"DEL", &key], int(1)),
        check(&[b"EXISTS", &key], int(0)),
    ]);
    checks
}

/// Ownership markers are advanced with GETSET.
fn numbers() -> Vec<Check> {
    let key = key("mark");
    let mut checks = clean("mark");
    checks.extend([
        check(&[b"SET", &key, b"1"], ok()),
        check(&[b"GETSET", &key, b"2"], bulk(b"1")),
        check(&[b"DEL", &key], int(1)),
    ]);
    checks
}

fn hashes() -> Vec<Check> {
    let key = key("hash");
    let mut checks = clean("hash");
    checks.extend([
        check(&[b"HMSET", &key, b"a", b"1", BYTES, b"2"], ok()),
        check(&[b"HMGET", &key, BYTES, b"b"], BytesFrame::Array(vec![bulk(b"2"), BytesFrame::Null])),
        check(&[b"HDEL", &key, b"a"], int(1)),
        check(&[b"DEL", &key], int(1)),
    ]);
    checks
}

fn lists() -> Vec<Check> {
    let key = key("list");
    let mut checks = clean("list");
    checks.extend([
        check(&[b"RPUSH", &key, b"b", BYTES], int(2)),
        check(&[b"LPUSH", &key, b"a"], int(3)),
        check(&[b"LSET", &key, b"0", b"c"], ok()),
        check(&[b"LTRIM", &key, b"0", b"2"], ok()),
        check(&[b"LRANGE", &key, b"0", b"2"], BytesFrame::Array(vec![bulk(b"c"), bulk(b"b"), bulk(BYTES)])),
        check(&[b"LLEN", &key], int(3)),
        check(&[b"DEL", &key], int(1)),
    ]);
    checks
}

fn sets() -> Vec<Check> {
    let key = key("set");
    let mut checks = clean("set");
    checks.extend([
        check(&[b"SADD", &key, BYTES], int(1)),
        check(&[b"SADD", &key, b"a", b"b"], int(2)),
        check(&[b"SREM", &key, BYTES], int(1)),
        check(&[b"DEL", &key], int(1)),
    ]);
    checks
}

fn sorted_sets() -> Vec<Check> {
    let key = key("zset");
    let mut checks = clean("zset");
    checks.extend([
        check(&[b"ZADD", &key, b"1.5", BYTES, b"-1.7976931348623157e308", b"a"], int(2)),
        check(&[b"ZREM", &key, BYTES], int(1)),
        check(&[b"DEL", &key], int(1)),
    ]);
    checks
}

/// Kiwi refuses to move a list element between instances, even when the source list is missing.
async fn several_instances(client: &Arc<Client>) -> Result<bool, RequestError> {
    let mut asking = JoinSet::new();
    for pair in 0..PAIRS {
        let client = Arc::clone(client);
        asking.spawn(async move {
            let (from, to) = (key(&format!("from:{pair}")), key(&format!("to:{pair}")));
            match client.call(Request::new(&[b"RPOPLPUSH", &from, &to])).await {
                Err(RequestError::Refused { .. }) => Ok(true),
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
