//! DUMP and RESTORE beside the real ones: payloads travel in both directions, old encodings are read, damaged
//! ones are refused.

use super::super::rdb::{self, types, value};
use super::{Pair, now_ms, run};
use crate::command::random::Chance;
use crate::keyspace::{Keyspace, KeyspaceMut};
use crate::memory::MemoryKeyspace;

#[test]
fn what_redis_dumps_is_restored_and_comes_back_unchanged() {
    let mut pair = Pair::start();
    for (key, value) in [
        (&b"int8"[..], &b"-128"[..]),
        (b"int16", b"-32768"),
        (b"int32", b"2147483647"),
        (b"int64", b"9223372036854775807"),
        (b"empty", b""),
        (b"binary", b"\0\r\n\xff"),
    ] {
        pair.server.call(&[b"SET", key, value]);
        pair.travels(key);
    }
    for (key, text) in
        [(&b"lzf"[..], "abc".repeat(9000)), (b"raw", (0..20_000).map(|n| format!("{:x}", n * n)).collect())]
    {
        pair.server.call(&[b"SET", key, text.as_bytes()]);
        pair.travels(key);
        assert_eq!(pair.ours.string(key).unwrap().unwrap(), text);
    }
    for (name, long) in [("short", 3), ("long", 200), ("huge", 70_000)] {
        for count in [1, 20, 600] {
            if long * count < 10_000_000 {
                collections_travel(&mut pair, name, long, count);
            }
        }
    }
}

/// Builds one key of each collection type with elements of mixed forms, and lets it travel.
fn collections_travel(pair: &mut Pair, name: &str, long: usize, count: usize) {
    for number in 0..count as i64 {
        let sign = if number % 2 == 0 { 1 } else { -1 };
        // Integers of every size, short text, long text.
        let integer = (sign * 7_i64.pow((number % 22) as u32) + number).to_string();
        let text = format!("{number}:{}", "x".repeat(long));
        let score = [format!("{}", number as f64 / 7.0), "inf".into(), "-inf".into(), number.to_string()];
        let score = score[number as usize % 4].as_bytes();
        let key = |kind: &str| format!("{kind}:{name}:{count}").into_bytes();
        let server = &mut pair.server;
        server.call(&[b"RPUSH", &key("list"), integer.as_bytes(), text.as_bytes(), b""]);
        server.call(&[b"SADD", &key("intset"), number.to_string().as_bytes(), integer.as_bytes()]);
        server.call(&[b"SADD", &key("set"), integer.as_bytes(), text.as_bytes()]);
        server.call(&[b"ZADD", &key("zset"), score, text.as_bytes(), score, integer.as_bytes()]);
        server.call(&[
            b"HSET",
            &key("hash"),
            integer.as_bytes(),
            text.as_bytes(),
            text.as_bytes(),
            integer.as_bytes(),
        ]);
    }
    for kind in ["list", "intset", "set", "zset", "hash"] {
        pair.travels(format!("{kind}:{name}:{count}").as_bytes());
    }
}

#[test]
fn a_sample_of_redis_7_0_is_read_without_a_server() {
    // `SET i 123`, `DUMP i`
    let payload = b"\x00\xc0{\n\x00H\xe2S\xe1\x00zg\xb9";
    let mut ours = MemoryKeyspace::new(now_ms());
    assert_eq!(run(&mut ours, &[b"RESTORE", b"i", b"0", payload]), b"+OK\r\n");
    assert_eq!(ours.string(b"i").unwrap().unwrap(), "123");
}

/// A ziplist with every encoding of an entry, made by hand as Redis before 7 made them.
fn ziplist(entries: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    let (mut before, mut last) = (0, 10);
    for (encoding, data) in entries {
        last = 10 + body.len();
        let start = body.len();
        match u8::try_from(before) {
            Ok(small) if small < 254 => body.push(small),
            _ => {
                body.push(254);
                body.extend_from_slice(&(before as u32).to_le_bytes());
            }
        }
        body.extend_from_slice(encoding);
        body.extend_from_slice(data);
        before = body.len() - start;
    }
    let mut blob = (body.len() as u32 + 11).to_le_bytes().to_vec();
    blob.extend_from_slice(&(last as u32).to_le_bytes());
    blob.extend_from_slice(&(entries.len() as u16).to_le_bytes());
    blob.extend_from_slice(&body);
    blob.push(0xff);
    blob
}

fn old_ziplist() -> Vec<u8> {
    let long = [b'l'; 300];
    ziplist(&[
        (b"\x03", b"one"),
        (b"\xf1", b""),
        (b"\xfe", b"\x80"),
        (b"\xfd", b""),
        (b"\x41\x2c", &long),
        (b"\xc0", b"\x00\x80"),
        (b"\x80\x00\x00\x00\x02", b"hi"),
        (b"\xf0", b"\xff\xff\x7f"),
        (b"\x02", b"ab"),
        (b"\xd0", b"\x00\x00\x00\x80"),
        (b"\x00", b""),
        (b"\xe0", b"\xff\xff\xff\xff\xff\xff\xff\x7f"),
    ])
}

fn listpack() -> Vec<u8> {
    let long = [b'm'; 100];
    let entries: [(&[u8], &[u8]); 8] = [
        (b"\x83", b"one"),
        (b"\x7f", b""),
        (b"\xdf", b"\xff"),
        (b"\xf1", b"\x00\x80"),
        (b"\xe0\x64", &long),
        (b"\xf2", b"\xff\xff\x7f"),
        (b"\xf0\x02\x00\x00\x00", b"hi"),
        (b"\xf4", b"\x00\x00\x00\x00\x00\x00\x00\x80"),
    ];
    let mut body = Vec::new();
    for (encoding, data) in entries {
        body.extend_from_slice(encoding);
        body.extend_from_slice(data);
        body.push((encoding.len() + data.len()) as u8);
    }
    let mut blob = (body.len() as u32 + 7).to_le_bytes().to_vec();
    blob.extend_from_slice(&(entries.len() as u16).to_le_bytes());
    blob.extend_from_slice(&body);
    blob.push(0xff);
    blob
}

fn intset(width: usize, members: &[i64]) -> Vec<u8> {
    let mut blob = (width as u32).to_le_bytes().to_vec();
    blob.extend_from_slice(&(members.len() as u32).to_le_bytes());
    members.iter().for_each(|member| blob.extend_from_slice(&member.to_le_bytes()[..width]));
    blob
}

fn string(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    rdb::writer::put_string(&mut out, bytes);
    out
}

/// Values in the encodings that the local server does not write by itself.
fn other_encodings() -> Vec<(&'static str, Vec<u8>)> {
    let value = |kind: u8, parts: &[&[u8]]| [&[kind][..], &parts.concat()].concat();
    let packed = ziplist(&[(b"\x01", b"a"), (b"\x03", b"1.5"), (b"\x01", b"b"), (b"\xf9", b"")]);
    vec![
        ("list", value(types::LIST, &[b"\x02", b"\x01a", b"\xc0\xff"])),
        ("ziplist", value(types::LIST_ZIPLIST, &[&string(&old_ziplist())])),
        (
            "quicklist",
            value(types::LIST_QUICKLIST, &[b"\x02", &string(&old_ziplist()), &string(&old_ziplist())]),
        ),
        (
            "quicklist 2",
            value(types::LIST_QUICKLIST_2, &[b"\x02", b"\x02", &string(&listpack()), b"\x01", b"\x05plain"]),
        ),
        ("set", value(types::SET, &[b"\x02", b"\x01a", b"\xc1\x00\x80"])),
        ("intset 2", value(types::SET_INTSET, &[&string(&intset(2, &[-32768, 0, 5]))])),
        ("intset 4", value(types::SET_INTSET, &[&string(&intset(4, &[-2_147_483_648, 7]))])),
        ("intset 8", value(types::SET_INTSET, &[&string(&intset(8, &[i64::MIN, 1, i64::MAX]))])),
        ("zset", value(types::ZSET, &[b"\x03", b"\x01a", b"\x031.5", b"\x01b", b"\xfe", b"\x01c", b"\xff"])),
        ("zset ziplist", value(types::ZSET_ZIPLIST, &[&string(&packed)])),
        ("hash", value(types::HASH, &[b"\x01", b"\x01f", b"\xc2\x00\x00\x01\x00"])),
        ("hash ziplist", value(types::HASH_ZIPLIST, &[&string(&old_ziplist())])),
        ("hash listpack", value(types::HASH_LISTPACK, &[&string(&listpack())])),
    ]
}

#[test]
fn encodings_of_older_servers_mean_what_they_mean_to_redis() {
    let mut pair = Pair::start();
    for (name, body) in other_encodings() {
        let payload = rdb::seal(body);
        let key = name.as_bytes();
        pair.same(&[b"RESTORE", key, b"0", &payload]);
        assert!(pair.ours.meta(key).unwrap().is_some(), "{name} is restored");
        pair.returns(key, key);
    }
}

#[test]
fn a_set_of_redis_7_2_as_a_listpack_is_read() {
    let mut pair = Pair::start();
    let payload = rdb::seal([&[types::SET_LISTPACK][..], &string(&listpack())].concat());
    assert_eq!(run(&mut pair.ours, &[b"RESTORE", b"s", b"0", &payload]), b"+OK\r\n");
    let long = "m".repeat(100);
    pair.server.call(&[
        b"SADD",
        b"s",
        b"one",
        b"127",
        b"-1",
        b"-32768",
        long.as_bytes(),
        b"8388607",
        b"hi",
        b"-9223372036854775808",
    ]);
    pair.returns(b"s", b"s");
}

#[test]
fn bad_payloads_are_refused_as_redis_refuses_them() {
    let mut pair = Pair::start();
    let sealed = |body: &[u8]| rdb::seal(body.to_vec());
    let good = sealed(b"\x00\x01a");
    // Cut by more than the footer is long: Redis takes the footer for a part of the value.
    for payload in [
        sealed(b""),
        sealed(b"\x00\x3fa"),
        sealed(b"\x00\xc4"),
        sealed(b"\x01\x00"),
        sealed(b"\x01\x3f\x01a"),
        sealed(b"\x02\x02\x01a\x01a"),
        sealed(b"\x05\x01\x01a\x00\x00\x00\x00\x00\x00\xf8\x7f"),
        sealed(b"\x00\xc3\x02\x81\xff\xff\xff\xff\xff\xff\xff\xff\x00a"),
        sealed(b"\xf0\x01a"),
        good.slice(..good.len() - 1),
        good.slice(1..),
        bytes::Bytes::from_static(b"\x00\x01a\x0c\x00\0\0\0\0\0\0\0\0"),
    ] {
        pair.same(&[b"RESTORE", b"k", b"0", &payload]);
    }
    pair.same(&[b"EXISTS", b"k"]);
    for ttl in [&b"0"[..], b"100000", b"9223372036854775807"] {
        pair.same(&[b"RESTORE", b"k", ttl, &good, b"REPLACE"]);
        pair.same(&[b"TTL", b"k"]);
    }
    pair.same(&[b"RESTORE", b"k", b"33177117420000", &good, b"REPLACE", b"ABSTTL", b"IDLETIME", b"5"]);
    pair.same(&[b"PEXPIRETIME", b"k"]);
    pair.same(&[b"RESTORE", b"k", b"1", &good]);
    pair.same(&[b"RESTORE", b"k", b"1", &good, b"REPLACE", b"ABSTTL", b"FREQ", b"5"]);
    pair.same(&[b"EXISTS", b"k"]);
}

#[test]
fn what_redis_takes_without_a_look_is_refused() {
    let unsound: [(&str, &[u8]); 4] = [
        ("a field twice", b"\x04\x02\x01f\x01v\x01f\x01w"),
        ("a string that is cut", b"\x00\x05a"),
        ("a ziplist of the wrong size", b"\x0a\x0b\x0c\x00\x00\x00\x0a\x00\x00\x00\x00\x00\xff"),
        ("a listpack with fewer entries than it says", b"\x10\x07\x07\x00\x00\x00\x02\x00\xff"),
    ];
    for (what, body) in unsound {
        assert!(value::check(body).is_err(), "{what}");
    }
}

#[test]
fn a_newer_version_is_refused() {
    let mut payload = rdb::seal(b"\x00\x01a".to_vec()).to_vec();
    payload.truncate(3);
    payload.extend_from_slice(&12_u16.to_le_bytes());
    payload.extend_from_slice(&rdb::crc64::checksum(&payload).to_le_bytes());
    let mut ours = MemoryKeyspace::new(now_ms());
    let refused = b"-ERR DUMP payload version or checksum are wrong\r\n";
    assert_eq!(run(&mut ours, &[b"RESTORE", b"k", b"0", &payload]), refused);
}

#[test]
fn damaged_values_never_panic_and_a_refused_one_changes_nothing() {
    let mut chance = Chance::new(1);
    let mut samples: Vec<_> = other_encodings().into_iter().map(|(_, body)| body).collect();
    samples.push([&[types::SET_LISTPACK][..], &string(&listpack())].concat());
    samples.push(b"\x00\xc3\x05\x0c\x00a\xe0\x02\x00".to_vec());
    assert!(samples.iter().all(|body| value::check(body).is_ok()), "the samples themselves are fine");
    let mut refused = 0;
    for body in &samples {
        for cut in 0..body.len() {
            assert!(value::check(&body[..cut]).is_err(), "{body:?} cut at {cut}");
        }
        for _ in 0..3000 {
            let mut damaged = body.clone();
            for _ in 0..=chance.below(3) {
                let at = chance.below(damaged.len() as u64) as usize;
                damaged[at] = chance.below(256) as u8;
            }
            let mut ours = MemoryKeyspace::new(now_ms());
            ours.string_put(b"k", b"old", None).unwrap();
            let reply = run(&mut ours, &[b"RESTORE", b"k", b"0", &rdb::seal(damaged), b"REPLACE"]);
            if reply != b"+OK\r\n" {
                refused += 1;
                assert_eq!(reply, b"-ERR Bad data format\r\n");
                assert_eq!(ours.string(b"k").unwrap().unwrap(), "old");
            }
        }
    }
    assert!(refused > 1000, "only {refused} were damaged enough");
}
