//! The configuration parameters of Redis, as far as clients and tools look at them.
//!
//! What does not exist here has the value of a Redis that does not use it. Our own options are in `cluster.conf`.

use std::borrow::Cow;
use std::time::Duration;

use adapter::command::arg::{MAX_STRING, parse_i64};
use bytes::Bytes;
use conf::{ClusterConfig, Durability};

use crate::server::KEEPALIVE;
use crate::settings::Values;

/// Parameters whose values never change here.
const FIXED: &[(&str, &str)] = &[
    ("activedefrag", "no"),
    ("appendonly", "yes"),
    ("client-output-buffer-limit", "normal 0 0 0 slave 0 0 0 pubsub 0 0 0"),
    ("cluster-enabled", "no"),
    ("databases", "1"),
    ("hash-max-listpack-entries", "128"),
    ("hash-max-listpack-value", "64"),
    ("hash-max-ziplist-entries", "128"),
    ("hash-max-ziplist-value", "64"),
    ("lazyfree-lazy-eviction", "no"),
    ("lazyfree-lazy-expire", "no"),
    ("lazyfree-lazy-server-del", "no"),
    ("lazyfree-lazy-user-del", "no"),
    ("lfu-decay-time", "1"),
    ("lfu-log-factor", "10"),
    ("list-compress-depth", "0"),
    ("list-max-listpack-size", "-2"),
    ("list-max-ziplist-size", "-2"),
    ("maxmemory", "0"),
    ("maxmemory-policy", "noeviction"),
    ("maxmemory-samples", "5"),
    ("notify-keyspace-events", ""),
    ("protected-mode", "no"),
    ("save", ""),
    ("set-max-intset-entries", "512"),
    ("set-max-listpack-entries", "128"),
    ("set-max-listpack-value", "64"),
    ("slowlog-log-slower-than", "-1"),
    ("slowlog-max-len", "0"),
    ("unixsocket", ""),
    ("zset-max-listpack-entries", "128"),
    ("zset-max-listpack-value", "64"),
    ("zset-max-ziplist-entries", "128"),
    ("zset-max-ziplist-value", "64"),
];

/// All parameters with their values now.
pub(super) fn all(config: &ClusterConfig, values: &Values) -> Vec<(&'static str, Bytes)> {
    let fsync = match config.raft.durability {
        Durability::Fsync => "always",
        Durability::OsCache => "no",
    };
    let mut all: Vec<(&'static str, Bytes)> = vec![
        ("appendfsync", fsync.into()),
        ("bind", config.listen.resp.ip().to_string().into()),
        ("client-query-buffer-limit", config.limits.query_buffer_bytes.to_string().into()),
        ("dir", config.node.data_dir.display().to_string().into()),
        ("loglevel", config.log.level.clone().into()),
        (
            "logfile",
            config.log.file.as_ref().map(|file| file.display().to_string()).unwrap_or_default().into(),
        ),
        ("maxclients", values.max_clients.to_string().into()),
        ("port", config.listen.resp.port().to_string().into()),
        ("proto-max-bulk-len", values.max_bulk_bytes.to_string().into()),
        ("requirepass", values.password.clone()),
        ("tcp-keepalive", KEEPALIVE.as_secs().to_string().into()),
        ("timeout", values.idle_timeout.as_secs().to_string().into()),
    ];
    all.extend(FIXED.iter().map(|(name, value)| (*name, Bytes::from_static(value.as_bytes()))));
    all.sort_unstable_by_key(|(name, _)| *name);
    all
}

/// Changes a parameter, if that is possible while running; otherwise Redis's reason why not.
pub(super) fn set(values: &mut Values, name: &str, given: &[u8]) -> Result<(), Cow<'static, str>> {
    match name {
        "requirepass" => values.password = Bytes::copy_from_slice(given),
        "maxclients" => values.max_clients = number(given, 1, i64::from(u32::MAX))? as usize,
        "timeout" => {
            values.idle_timeout = Duration::from_secs(number(given, 0, i64::from(i32::MAX))? as u64);
        }
        "proto-max-bulk-len" => {
            let bytes = memory(given).ok_or("argument must be a memory value")?;
            values.max_bulk_bytes = between(bytes, 1024 * 1024, MAX_STRING as i64)? as usize;
        }
        _ => return Err("can't set immutable config".into()),
    }
    Ok(())
}

fn number(given: &[u8], least: i64, most: i64) -> Result<i64, Cow<'static, str>> {
    between(parse_i64(given).ok_or("argument couldn't be parsed into an integer")?, least, most)
}

fn between(value: i64, least: i64, most: i64) -> Result<i64, Cow<'static, str>> {
    if (least..=most).contains(&value) {
        return Ok(value);
    }
    Err(format!("argument must be between {least} and {most} inclusive").into())
}

/// A number of bytes as Redis writes them: `100`, `2mb`, `1g`.
fn memory(given: &[u8]) -> Option<i64> {
    let digits = given.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, unit) = given.split_at(digits);
    let unit = match unit.to_ascii_lowercase().as_slice() {
        b"" | b"b" => 1,
        b"k" => 1000,
        b"kb" => 1024,
        b"m" => 1000 * 1000,
        b"mb" => 1024 * 1024,
        b"g" => 1000 * 1000 * 1000,
        b"gb" => 1024 * 1024 * 1024,
        _ => return None,
    };
    parse_i64(number)?.checked_mul(unit)
}
