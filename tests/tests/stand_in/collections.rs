//! Lists, sets and sorted sets that answer otherwise than in Redis.

use crate::{AT_ONCE, on_each, on_each_with};

#[test]
fn lists_answer_otherwise_than_in_redis() {
    on_each_with(&[("db-instance-num", "1")], &AT_ONCE, |server| {
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
            ("LPOP l 0", "-ERR value is not an integer or out of range"),
            ("SADD s m n", ":2"),
            ("RPOPLPUSH l s", "-ERR WRONGTYPE Operation against a key holding the wrong kind of value"),
            ("LLEN l", ":5"),
        ]);
    });
}

#[test]
fn ltrim_takes_a_start_behind_the_end_for_the_last_element() {
    on_each(|server| {
        let mut client = server.raw();
        let cases =
            [("3 3", "[\"c\"]"), ("5 10", "[\"c\"]"), ("2 1", "[]"), ("5 1", "[]"), ("1 -2", "[\"b\"]")];
        for (range, left) in cases {
            client.ask("DEL l");
            client.check(&[
                ("RPUSH l a b c", ":3"),
                (&format!("LTRIM l {range}"), "+OK"),
                ("LRANGE l 0 -1", left),
            ]);
        }
        client.check(&[
            ("RPUSH one a", ":1"),
            ("LTRIM one 1 0", "+OK"),
            ("LRANGE one 0 -1", "[\"a\"]"),
            ("LTRIM one 0 -2", "+OK"),
            ("EXISTS one", ":0"),
        ]);
    });
}

#[test]
fn a_member_that_srem_names_twice_takes_the_others_with_it() {
    on_each(|server| {
        server.raw().check(&[
            ("SADD two a b", ":2"),
            ("SREM two a a", ":2"),
            ("EXISTS two", ":0"),
            ("SMEMBERS two", "[]"),
            ("SADD two c", ":1"),
            ("SMEMBERS two", "[\"c\"]"),
            ("SADD three a b c", ":3"),
            ("SREM three a a", ":2"),
            ("SCARD three", ":1"),
            ("SREM three b", ":1"),
            ("EXISTS three", ":0"),
            ("SISMEMBER three c", ":0"),
            ("SCARD three", "-ERR Key not found: three"),
        ]);
    });
}

#[test]
fn a_set_with_less_than_no_members_takes_no_more() {
    on_each(|server| {
        server.raw().check(&[
            ("SADD s a", ":1"),
            ("SREM s a a", ":2"),
            ("SCARD s", ":-1"),
            ("EXISTS s", ":1"),
            ("TYPE s", "+set"),
            ("SMEMBERS s", "[]"),
            ("SADD s x", "-ERR Invalid argument: set size overflow"),
            ("DEL s", ":1"),
            ("SADD s x", ":1"),
            ("ZADD z 1 m", ":1"),
            ("ZREM z m m", ":2"),
            ("ZCARD z", ":-1"),
            ("EXISTS z", ":1"),
            ("ZADD z 1 x", "-ERR zset size overflow"),
            ("DEL z", ":1"),
            ("ZCARD z", ":0"),
            ("ZADD z 1 x 2 y 3 z", ":3"),
            ("ZREM z x x", ":2"),
            ("ZCARD z", ":1"),
            ("ZRANGE z 0 -1", "[\"y\"]"),
            ("ZCOUNT z 0 9", ":2"),
        ]);
    });
}

#[test]
fn a_field_that_hdel_names_twice_is_counted_once() {
    on_each(|server| {
        server.raw().check(&[("HSET h f v g w", ":2"), ("HDEL h f f", ":1"), ("HLEN h", ":1")]);
    });
}

#[test]
fn sorted_sets_answer_otherwise_than_in_redis() {
    on_each_with(&[("db-instance-num", "1")], &AT_ONCE, |server| {
        server.raw().check(&[
            ("ZADD z 1 m 2 m", ":1"),
            ("ZSCORE z m", "\"1\""),
            ("ZADD z inf m", "-ERR value is not a valid float"),
            ("ZADD z NX 1 m", "-ERR wrong number of arguments for 'zadd' command"),
            ("ZADD z NX 1", "-ERR value is not a valid float"),
            ("ZRANGE z 0 -3", "[\"m\"]"),
            ("ZRANGE z 0 -1 REV", "-ERR syntax error"),
            ("ZRANGEBYSCORE z (0 1", "-ERR min or max is not a float"),
            ("ZCOUNT z (0 1", "-invalid float literal"),
            ("ZADD other 1 n", ":1"),
            ("ZINTERSTORE other 2 z nothing", ":0"),
            ("ZCARD other", ":1"),
            ("SADD s m", ":1"),
            (
                "ZINTERSTORE other 2 z s",
                "-ERR WRONGTYPE Operation against a key holding the wrong kind of value",
            ),
            ("ZCOUNT s 0 1", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
            ("ZREMRANGEBYRANK other 0 -3", ":1"),
        ]);
    });
}

#[test]
fn zadd_does_not_make_a_small_change_of_a_score() {
    on_each(|server| {
        let mut client = server.raw();
        // From, to, and what is there then.
        let changes = [
            ("0.1", "0.10000000000000002", "0.1"),
            ("0", "1e-17", "0"),
            ("0.5", "0.5000000000000001", "0.5"),
            ("1", "1.0000000000000002", "1.0000000000000002"),
            ("0.1", "0.2", "0.2"),
        ];
        for (index, (from, to, then)) in changes.into_iter().enumerate() {
            client.check(&[
                (&format!("ZADD z{index} {from} m"), ":1"),
                (&format!("ZADD z{index} {to} m"), ":0"),
                (&format!("ZSCORE z{index} m"), &format!("\"{then}\"")),
            ]);
        }
    });
}
