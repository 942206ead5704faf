//! Keys that may not stand in one command: CRC-16/ARC of the names decides, modulo the number of instances.
//!
//! `q405` and `q800` have the same checksum; `z` is in their instance (2), `q1` and `z2` in another (1).

use crate::on_each;

#[test]
fn keys_of_one_command_must_have_one_checksum_or_one_instance() {
    on_each(|server| {
        let crossed = "-ERR Invalid argument: CROSSSLOT Keys in request don't hash to the same slot";
        server.raw().check(&[
            ("SADD q405 a b", ":2"),
            ("SADD q800 b c", ":2"),
            ("SINTER q405 q800", "[\"b\"]"),
            ("SINTER q405 z", crossed),
            ("SUNION {t}a {t}b", crossed),
            ("SMOVE q405 z a", crossed),
            ("SMOVE q405 q800 a", ":1"),
            ("RPUSH q1 x", ":1"),
            ("RPOPLPUSH q1 z", "-ERR Invalid argument: Cross-slot RPOPLPUSH operations are not supported"),
            ("RPOPLPUSH q1 z2", "\"x\""),
            ("BITOP AND q1 z z", "-ERR CROSSSLOT Keys in request don't hash to the same slot"),
        ]);
    });
}

#[test]
fn zunionstore_does_not_see_sources_in_other_instances() {
    on_each(|server| {
        server.raw().check(&[
            ("ZADD z 1 m", ":1"),
            ("ZADD z2 1 n", ":1"),
            ("ZUNIONSTORE q405 2 z z2", ":1"),
            ("ZRANGE q405 0 -1", "[\"m\"]"),
            ("ZUNIONSTORE q405 1 z2", ":0"),
            ("EXISTS q405", ":0"),
            ("ZINTERSTORE q405 2 z z2", ":0"),
        ]);
    });
}
