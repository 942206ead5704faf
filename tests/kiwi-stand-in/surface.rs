//! Which commands a Kiwi has, and which of them take fewer arguments than in Redis.

use adapter::command::text;
use adapter::error::Outcome;

/// The storage commands there are. What is not known of a Kiwi is not here either.
#[rustfmt::skip]
const COMMANDS: &[&str] = &[
    "append", "bitcount", "bitop", "bitpos", "decr", "decrby", "get", "getbit", "getrange", "getset", "incr", "incrby",
    "incrbyfloat", "mget", "mset", "msetnx", "psetex", "set", "setbit", "setex", "setnx", "setrange", "strlen",

    "del", "exists", "expire", "expireat", "flushall", "flushdb", "keys", "persist", "pexpire", "pexpireat", "pttl",
    "randomkey", "scan", "ttl", "type",

    "hdel", "hexists", "hget", "hgetall", "hincrby", "hincrbyfloat", "hkeys", "hlen", "hmget", "hmset", "hscan", "hset",
    "hsetnx", "hstrlen", "hvals",

    "lindex", "linsert", "llen", "lpop", "lpush", "lpushx", "lrange", "lrem", "lset", "ltrim", "rpop", "rpoplpush",
    "rpush", "rpushx",

    "sadd", "scard", "sdiff", "sdiffstore", "sinter", "sinterstore", "sismember", "smembers", "smismember", "smove",
    "spop", "srandmember", "srem", "sscan", "sunion", "sunionstore",

    "zadd", "zcard", "zcount", "zincrby", "zinterstore", "zlexcount", "zmscore", "zrange", "zrangebylex",
    "zrangebyscore", "zrank", "zrem", "zremrangebylex", "zremrangebyrank", "zremrangebyscore", "zrevrange",
    "zrevrangebyscore", "zrevrank", "zscan", "zscore", "zunionstore",
];

/// Commands whose options are missing, and the one number of arguments that they take, the name included.
const EXACT: &[(&str, usize)] = &[
    ("set", 3),
    ("expire", 3),
    ("pexpire", 3),
    ("expireat", 3),
    ("pexpireat", 3),
    ("flushall", 1),
    ("flushdb", 1),
];

/// Whether there is a command of this name, in lower case.
pub(crate) fn has(name: &str) -> bool {
    COMMANDS.contains(&name)
}

/// Refuses every option of the commands that have none.
pub(crate) fn check_exact_arity(name: &str, args: &[&[u8]]) -> Outcome<()> {
    let wrong = EXACT.iter().any(|(exact, count)| *exact == name && *count != args.len());
    if wrong { Err(text::wrong_arity(name)) } else { Ok(()) }
}
