//! Commands that are not there, or answer otherwise than in Redis.

use std::io::Read;

use tests::differential::resp::Frame;

use crate::{stand_in, wait_for};

#[test]
fn bytes_that_are_not_utf_8_are_safe_in_get_and_not_in_hget() {
    let server = stand_in(&["--without", "batcher"]);
    let mut client = server.raw();
    let bytes = |bytes: &[u8]| Frame::Bulk(bytes.to_vec());
    client.call(&[b"SET", b"s", b"a\xff"]);
    assert_eq!(client.call(&[b"GET", b"s"]), bytes(b"a\xff"));
    client.call(&[b"HSET", b"h", b"f", b"a\xff"]);
    assert_eq!(client.call(&[b"HGET", b"h", b"f"]), bytes("a\u{fffd}".as_bytes()));
    assert_eq!(client.ask("HSTRLEN h f"), ":4");
    assert_eq!(client.call(&[b"SADD", b"m", b"\xfe", b"\xff", b"x"]), Frame::Integer(2));
    assert_eq!(client.call(&[b"SISMEMBER", b"m", b"\xff"]), Frame::Integer(0));
    assert_eq!(client.call(&[b"GETSET", b"s", b"x"]), bytes("a\u{fffd}".as_bytes()));
}

#[test]
fn what_redis_has_and_kiwi_has_not_is_refused() {
    let server = stand_in(&["--without", "batcher"]);
    server.raw().check(&[
        ("SET k v EX 10", "-ERR wrong number of arguments for 'set' command"),
        ("SET k v NX", "-ERR wrong number of arguments for 'set' command"),
        ("EXISTS k", ":0"),
        ("SETEX k 100 v", "+OK"),
        ("EXPIRE k 10 NX", "-ERR wrong number of arguments for 'expire' command"),
        ("FLUSHALL ASYNC", "-ERR wrong number of arguments for 'flushall' command"),
        ("Multi", "-ERR unknown command `Multi`"),
        ("SELECT 0", "-ERR unknown command `SELECT`"),
        ("RENAME k l", "-ERR unknown command `RENAME`"),
        ("raft.expire k", "-ERR unknown command `raft.expire`"),
        ("CONFIG GET port", "[]"),
        ("CONFIG GET cluster-enabled", "[\"cluster-enabled\", \"no\"]"),
        ("AUTH default secret", "-ERR ACL authentication is not supported"),
        ("SINTER a b", "-CROSSSLOT Keys in request don't hash to the same slot"),
        ("SINTER {t}a {t}b", "[]"),
    ]);
    let mut client = server.raw();
    let hello = client.ask("HELLO 3");
    assert!(
        hello.starts_with("[\"server\", \"kiwi\", \"version\", \"1.0.0\", \"proto\", :3, \"id\", :1"),
        "{hello}"
    );
    client.send(&[b"GET", b"missing"]);
    let mut nil = [0; 3];
    client.stream.read_exact(&mut nil).unwrap();
    assert_eq!(&nil, b"_\r\n");
    assert!(client.ask("INFO").contains("process_id:1\\r\\n"));
}

#[test]
fn lists_and_sets_answer_otherwise_than_in_redis() {
    let server = stand_in(&["--without", "batcher", "--db-instance-num", "1"]);
    server.raw().check(&[
        ("RPUSH l a x b x", ":4"),
        ("LINSERT l BEFORE x y", ":5"),
        ("LRANGE l 0 -1", "[\"a\", \"x\", \"b\", \"y\", \"x\"]"),
        ("LINSERT l AFTER x z", ":6"),
        ("LRANGE l 2 -1", "[\"b\", \"y\", \"x\", \"z\"]"),
        ("LRANGE l 9 12", "[\"z\"]"),
        ("LINSERT l AFTER nothing z", ":-1"),
        ("LINSERT nothing AFTER x z", "-ERR Key not found: nothing"),
        ("LPOP nothing 2", "null"),
        ("LPOP l 0", "-ERR value is out of range, must be positive"),
        ("SADD s m n", ":2"),
        ("RPOPLPUSH l s", "-ERR WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("LLEN l", ":5"),
        ("SREM s m m", ":2"),
        ("SREM s n", ":1"),
        ("SCARD s", "-ERR Key not found: s"),
        ("HSET h f v", ":1"),
        ("HDEL h f f", ":2"),
        ("INCR l", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
    ]);
}

#[test]
fn sorted_sets_answer_otherwise_than_in_redis() {
    let server = stand_in(&["--without", "batcher", "--db-instance-num", "1"]);
    server.raw().check(&[
        ("ZADD z 1 m 2 m", ":1"),
        ("ZSCORE z m", "\"1\""),
        ("ZADD z inf m", "-ERR value is not a valid float"),
        ("ZADD z NX 1 m", "-ERR syntax error"),
        ("ZRANGE z 0 -3", "[\"m\"]"),
        ("ZRANGE z 0 -1 REV", "-ERR syntax error"),
        ("ZRANGEBYSCORE z (0 1", "-ERR min or max is not a float"),
        ("ZCOUNT z (0 1", "-min or max is not a float"),
        ("ZADD other 1 n", ":1"),
        ("ZINTERSTORE other 2 z nothing", ":0"),
        ("ZCARD other", ":1"),
        ("SADD s m", ":1"),
        ("ZINTERSTORE other 2 z s", "-ERR WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("ZCOUNT s 0 1", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("ZREM z m m", ":2"),
        ("ZCARD z", ":-1"),
        ("DEL z", ":0"),
        ("ZCARD z", ":0"),
        ("ZREMRANGEBYRANK other 0 -3", ":1"),
    ]);
}

#[test]
fn times_numbers_and_cursors_answer_otherwise_than_in_redis() {
    let server = stand_in(&["--without", "batcher"]);
    let mut client = server.raw();
    client.check(&[
        ("SETEX k 100 v", "+OK"),
        ("EXPIRE k 0", ":0"),
        ("PEXPIRE k -1", "-ERR invalid expire time in 'pexpire' command"),
        ("EXPIREAT k 0", "-ERR Invalid format: Invalid Unix timestamp"),
        ("EXISTS k", ":1"),
        ("EXPIREAT k 1", ":1"),
        ("EXISTS k", ":0"),
        ("SET n 007", "+OK"),
        ("INCR n", ":8"),
        ("SET n 0", "+OK"),
        ("DECRBY n -9223372036854775808", ":-9223372036854775808"),
        ("SET f 0.1", "+OK"),
        ("INCRBYFLOAT f 0.2", "\"0.30000000000000004\""),
        ("SCAN 7", "-ERR invalid cursor"),
    ]);
    client.ask("SETEX k 100 v");
    wait_for("TTL floors", || (client.ask("TTL k") == ":99").then_some(()));
    client.call(&[b"SETRANGE", b"p", b"3", b""]);
    assert_eq!(client.ask("STRLEN p"), ":3");
    (0..30).for_each(|key| drop(client.ask(&format!("SET key{key} v"))));
    assert!(client.ask("SCAN 0 COUNT 10").starts_with("[\"1\", "));
    assert!(client.ask("SCAN 1 COUNT 10").starts_with("[\"2\", "));
    client.ask("PSETEX short 30 v");
    wait_for("a key expires", || (client.ask("GET short") == "null").then_some(()));
}

#[test]
fn a_fault_that_is_turned_off_is_as_in_redis() {
    let faults =
        "batcher,surface,no-options,lossy-replies,lists,missing-keys,repeated-members,error-texts,handshake";
    let server = stand_in(&["--without", faults]);
    let mut client = server.raw();
    client.check(&[
        ("SET k v EX 10", "+OK"),
        ("RENAME k l", "+OK"),
        ("SCARD nothing", ":0"),
        ("SADD s m", ":1"),
        ("SREM s m m", ":1"),
        ("LRANGE nothing 3 4", "[]"),
        ("LPUSH l a", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
    ]);
    client.call(&[b"HSET", b"h", b"f", b"\xff"]);
    assert_eq!(client.call(&[b"HGET", b"h", b"f"]), Frame::Bulk(b"\xff".to_vec()));
    assert!(matches!(client.call(&[b"HELLO", b"3"]), Frame::Map(_)));
}
