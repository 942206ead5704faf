//! Commands that are not there, handshakes, texts; and faults that are turned off.

use std::io::Read;

use tests::differential::resp::Frame;

use crate::{AT_ONCE, on_each, on_each_with, stand_in, wait_for};

#[test]
fn bytes_that_are_not_utf_8_are_safe_in_get_and_not_in_hget() {
    on_each(|server| {
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
    });
}

#[test]
fn members_of_one_sadd_collide_if_they_look_alike_as_text() {
    on_each(|server| {
        let mut client = server.raw();
        let replaced = "\u{fffd}".as_bytes();
        assert_eq!(client.call(&[b"SADD", b"a", b"\xff", replaced]), Frame::Integer(1));
        assert_eq!(
            client.call(&[b"SADD", b"b", b"\xff", b"\xff\xff", b"a\xff", b"b\xff"]),
            Frame::Integer(4)
        );
        assert_eq!(client.call(&[b"SISMEMBER", b"b", b"\xff\xff"]), Frame::Integer(1));
    });
}

#[test]
fn what_redis_has_and_kiwi_has_not_is_refused() {
    on_each(|server| {
        server.raw().check(&[
            ("SET k v EX 10", "-ERR wrong number of arguments for 'set' command"),
            ("SET k v NX", "-ERR wrong number of arguments for 'set' command"),
            ("EXISTS k", ":0"),
            ("SETEX k 100 v", "+OK"),
            ("EXPIRE k 10 NX", "-ERR wrong number of arguments for 'expire' command"),
            ("FLUSHALL ASYNC", "-ERR wrong number of arguments for 'flushall' command"),
            ("Multi", "-ERR unknown command `multi`"),
            ("SELECT 0", "-ERR unknown command `select`"),
            ("RENAME k l", "-ERR unknown command `rename`"),
            ("raft.expire k", "-ERR unknown command `raft.expire`"),
            ("VCARD nothing", ":0"),
        ]);
    });
}

#[test]
fn handshakes_and_settings_answer_otherwise_than_in_redis() {
    on_each(|server| {
        let mut client = server.raw();
        client.check(&[
            ("CONFIG GET port", "[]"),
            ("CONFIG GET cluster-enabled", "[\"cluster-enabled\", \"no\"]"),
            ("CONFIG GET *", "[\"cluster-enabled\", \"no\", \"port\", \"7379\"]"),
            ("CONFIG SET port 1", "-ERR runtime configuration changes not supported"),
            ("CONFIG RESETSTAT", "-ERR unknown CONFIG subcommand 'resetstat'"),
            ("AUTH secret", "-ERR AUTH called without any password configured"),
            ("AUTH default secret", "-ERR ACL authentication is not supported"),
            ("HELLO 3 AUTH default x", "-ERR HELLO AUTH called without any password configured"),
            ("HELLO 4", "-Unknown HELLO argument: 4"),
            ("CLIENT GETNAME", "\"\""),
            ("CLIENT SETNAME", "-ERR wrong number of arguments for 'CLIENT' command"),
            ("CLIENT SETNAME me", "+OK"),
            ("CLIENT GETNAME", "\"me\""),
            ("CLIENT ID", "-ERR unknown command 'client id'"),
            ("INFO replication", "\"# Server\\r\\nredis_version:7.0.0\\r\\nredis_mode:standalone\\r\\n\""),
        ]);
        let info = client.ask("INFO");
        assert!(info.contains("process_id:1\\r\\n") && info.contains("tcp_port:7379\\r\\n"), "{info}");
        let hello = client.ask("HELLO 3");
        assert!(
            hello.contains("\"server\", \"kiwi\", \"version\", \"1.0.0\", \"proto\", :3, \"id\", :1")
                || hello.contains("\"server\": \"kiwi\", \"version\": \"1.0.0\", \"proto\": :3, \"id\": :1"),
            "{hello}"
        );
        client.send(&[b"GET", b"missing"]);
        let mut nil = [0; 3];
        client.stream.read_exact(&mut nil).unwrap();
        assert_eq!(&nil, b"_\r\n");
    });
}

#[test]
fn without_the_password_there_is_ping_and_what_is_unknown() {
    on_each_with(&[("requirepass", "secret")], &AT_ONCE, |server| {
        let mut client = server.raw();
        client.check(&[
            ("PING", "+PONG"),
            ("NOSUCH", "-ERR unknown command `nosuch`"),
            ("GET", "-NOAUTH Authentication required."),
            ("CLIENT GETNAME", "-NOAUTH Authentication required."),
            ("AUTH wrong", "-WRONGPASS invalid username-password pair or user is disabled."),
            ("HELLO 2 AUTH other secret", "-WRONGPASS invalid username-password pair or user is disabled."),
        ]);
        let refused = client.ask("HELLO 2");
        assert!(refused.starts_with("-NOAUTH HELLO must be called with"), "{refused}");
        client.check(&[("AUTH secret", "+OK"), ("SET k v", "+OK")]);
        let hello = server.raw().ask("HELLO 2 AUTH default secret");
        assert!(hello.contains("\"kiwi\""), "{hello}");
    });
}

#[test]
fn wrong_types_are_told_with_err_before_it_and_without() {
    on_each(|server| {
        let mut client = server.raw();
        let text = "WRONGTYPE Operation against a key holding the wrong kind of value";
        client.check(&[("HSET h f v", ":1"), ("SET s x", "+OK")]);
        let with = ["GET h", "INCR h", "LPUSH h x", "HGET s f", "SADD s m", "ZADD s 1 m", "LRANGE s 0 1"];
        let without =
            ["APPEND h x", "STRLEN h", "GETRANGE h 0 1", "SETRANGE h 0 x", "GETSET h x", "GETBIT h 1"];
        let without_either = ["SMISMEMBER h m", "ZCOUNT h 0 1", "ZMSCORE h m", "ZLEXCOUNT h - +"];
        with.iter().for_each(|line| assert_eq!(client.ask(line), format!("-ERR {text}"), "{line}"));
        for line in without.iter().chain(&without_either) {
            assert_eq!(client.ask(line), format!("-{text}"), "{line}");
        }
    });
}

#[test]
fn times_and_numbers_answer_otherwise_than_in_redis() {
    on_each(|server| {
        let mut client = server.raw();
        client.check(&[
            ("SETEX k 100 v", "+OK"),
            ("EXPIRE k 0", ":0"),
            ("PEXPIRE k -1", "-ERR invalid expire time in pexpire"),
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
        ]);
        client.ask("SETEX k 100 v");
        wait_for("TTL floors", || (client.ask("TTL k") == ":99").then_some(()));
        client.call(&[b"SETRANGE", b"p", b"3", b""]);
        assert_eq!(client.ask("STRLEN p"), ":3");
        client.ask("PSETEX short 30 v");
        wait_for("a key expires", || (client.ask("GET short") == "null").then_some(()));
    });
}

#[test]
fn a_fault_that_is_turned_off_is_as_in_redis() {
    let faults = "batcher,surface,no-options,lossy-replies,lists,missing-keys,repeated-members,tiny-scores,\
                  member-cursors,error-texts,handshake";
    let server = stand_in(&["--without", faults]);
    let mut client = server.raw();
    client.check(&[
        ("SET k v EX 10", "+OK"),
        ("RENAME k l", "+OK"),
        ("SCARD nothing", ":0"),
        ("SADD s m", ":1"),
        ("SREM s m m", ":1"),
        ("LRANGE nothing 3 4", "[]"),
        ("RPUSH list a", ":1"),
        ("LTRIM list 1 0", "+OK"),
        ("EXISTS list", ":0"),
        ("ZADD z 0.1 m", ":1"),
        ("ZADD z 0.10000000000000002 m", ":0"),
        ("ZSCORE z m", "\"0.10000000000000002\""),
        ("LPUSH l a", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("CLIENT GETNAME", "null"),
    ]);
    client.call(&[b"HSET", b"h", b"f", b"\xff"]);
    assert_eq!(client.call(&[b"HGET", b"h", b"f"]), Frame::Bulk(b"\xff".to_vec()));
    assert!(matches!(client.call(&[b"HELLO", b"3"]), Frame::Map(_)));
}
