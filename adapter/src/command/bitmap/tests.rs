//! What the bitmap commands answer. The expectations are those of a Redis 7.0 server.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use crate::command;
use crate::keyspace::{Keyspace, KeyspaceMut};
use crate::memory::MemoryKeyspace;
use crate::reply::Reply;

fn call(keyspace: &mut MemoryKeyspace, line: &str) -> Reply {
    let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
    command::write(keyspace, &args, 1).unwrap_or_else(Reply::from_stop)
}

/// Runs commands that answer integers or null, in order, on keys `k` (ff f0 00), `ff` (ff ff) and `empty`.
fn integers(lines: &[(&str, &[i64])]) {
    let mut keyspace = keyspace();
    for (line, expected) in lines {
        let found = match call(&mut keyspace, line) {
            Reply::Integer(number) => vec![number],
            Reply::Array(items) => items
                .iter()
                .map(|item| if let Reply::Integer(number) = item { *number } else { NULL })
                .collect(),
            other => panic!("{line}: {other:?}"),
        };
        assert_eq!(found, *expected, "{line}");
    }
}

/// Stands for null in a list of integers.
const NULL: i64 = i64::MIN;

fn keyspace() -> MemoryKeyspace {
    let mut keyspace = MemoryKeyspace::new(0);
    keyspace.string_put(b"k", b"\xff\xf0\x00", None).unwrap();
    keyspace.string_put(b"ff", b"\xff\xff", None).unwrap();
    keyspace.string_put(b"empty", b"", None).unwrap();
    keyspace.hash_put(b"hash", b"f", b"v").unwrap();
    keyspace
}

#[test]
fn bits_are_set_and_read_one_by_one() {
    integers(&[
        ("SETBIT new 7 0", &[0]),
        ("STRLEN new", &[1]),
        ("SETBIT new 9 1", &[0]),
        ("SETBIT new 9 1", &[1]),
        ("GETBIT new 9", &[1]),
        ("GETBIT new 4294967295", &[0]),
        ("GETBIT missing 0", &[0]),
        ("STRLEN new", &[2]),
    ]);
}

#[test]
fn counts_and_positions_are_those_of_redis() {
    integers(&[
        ("BITCOUNT k", &[12]),
        ("BITCOUNT k 5 30 bit", &[7]),
        ("BITCOUNT k -100 -99", &[8]),
        ("BITCOUNT k -1 -3 foo", &[0]),
        ("BITCOUNT missing a b foo", &[0]),
        ("BITPOS k 0", &[12]),
        ("BITPOS k 1 2 -1", &[-1]),
        ("BITPOS k 0 9 13 bit", &[12]),
        ("BITPOS ff 0", &[16]),
        ("BITPOS ff 0 0 -1", &[-1]),
        ("BITPOS ff 0 5", &[-1]),
        ("BITPOS missing 0", &[0]),
        ("BITPOS missing 1 a", &[-1]),
        ("BITPOS empty 0", &[-1]),
    ]);
}

#[test]
fn ranges_of_bits_agree_with_a_look_at_every_bit_across_pieces() {
    let mut keyspace = MemoryKeyspace::new(0);
    let len = 3 * super::super::string::range::PIECE + 5;
    let value: Vec<u8> = (0..len).map(|at| if at % 40_000 == 39_999 { 0x24 } else { 0 }).collect();
    keyspace.string_put(b"k", &value, None).unwrap();
    let is_one = |bit: &u64| value[(bit / 8) as usize] >> (7 - bit % 8) & 1 == 1;
    for (start, end) in [(0, len * 8 - 1), (319_994, 319_997), (319_995, 960_000), (524_287, 1_559_999)] {
        let count = (start..=end).filter(is_one).count() as i64;
        assert_eq!(call(&mut keyspace, &format!("BITCOUNT k {start} {end} BIT")), Reply::Integer(count));
        let first = (start..=end).find(is_one).map_or(-1, |bit| bit as i64);
        assert_eq!(call(&mut keyspace, &format!("BITPOS k 1 {start} {end} BIT")), Reply::Integer(first));
    }
}

#[test]
fn strings_are_combined_and_shorter_ones_count_as_followed_by_zeros() {
    let mut keyspace = keyspace();
    for (line, len, result) in [
        ("BITOP AND d k ff", 3, &b"\xff\xf0\x00"[..]),
        ("BITOP and ff ff k", 3, b"\xff\xf0\x00"),
        ("BITOP OR d ff missing", 3, b"\xff\xf0\x00"),
        ("BITOP XOR d k k", 3, b"\0\0\0"),
        ("BITOP NOT hash k", 3, b"\x00\x0f\xff"),
        ("BITOP AND d missing k", 3, b"\0\0\0"),
    ] {
        assert_eq!(call(&mut keyspace, line), Reply::Integer(len), "{line}");
        let destination = line.split(' ').nth(2).unwrap();
        assert_eq!(keyspace.string(destination.as_bytes()).unwrap().unwrap(), result, "{line}");
    }
    assert_eq!(call(&mut keyspace, "BITOP OR d empty missing"), Reply::Integer(0));
    assert_eq!(keyspace.meta(b"d").unwrap(), None);
}

#[test]
fn integers_of_any_width_wrap_saturate_or_fail() {
    integers(&[
        ("BITFIELD k GET i4 4 GET u12 #0 GET u8 100", &[-1, 0xfff, 0]),
        ("BITFIELD new OVERFLOW FAIL INCRBY u2 40 5", &[NULL]),
        ("STRLEN new", &[6]),
        ("BITFIELD new INCRBY i5 100 1 GET u4 0", &[1, 0]),
        ("BITFIELD new OVERFLOW SAT SET i4 0 100 SET i4 0 -100 GET i4 0", &[0, 7, -8]),
        ("BITFIELD new OVERFLOW SAT INCRBY i4 0 -1 OVERFLOW WRAP INCRBY i4 0 -1", &[-8, 7]),
        ("BITFIELD new SET u4 0 -1 GET u4 0", &[7, 15]),
        ("BITFIELD other SET i64 3 -9223372036854775807 GET i64 3", &[0, i64::MIN + 1]),
    ]);
}

#[test]
fn bad_calls_are_answered_as_redis_answers_them() {
    let mut keyspace = keyspace();
    for (line, text) in [
        ("SETBIT k -1 0", "ERR bit offset is not an integer or out of range"),
        ("SETBIT k 4294967296 0", "ERR bit offset is not an integer or out of range"),
        ("SETBIT hash 1 2", "ERR bit is not an integer or out of range"),
        ("GETBIT hash 1", "WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("BITCOUNT k 0", "ERR syntax error"),
        ("BITCOUNT k a 1 foo", "ERR value is not an integer or out of range"),
        ("BITCOUNT k 0 1 foo", "ERR syntax error"),
        ("BITPOS hash 2", "ERR The bit argument must be 1 or 0."),
        ("BITPOS k 1 0 1 bit x", "ERR syntax error"),
        ("BITOP foo d k", "ERR syntax error"),
        ("BITOP NOT d k k", "ERR BITOP NOT must be called with a single source key."),
        ("BITFIELD k GET", "ERR syntax error"),
        ("BITFIELD k OVERFLOW foo", "ERR Invalid OVERFLOW type specified"),
        ("BITFIELD k SET u8 0 abc", "ERR value is not an integer or out of range"),
        ("BITFIELD hash GET u8 x", "ERR bit offset is not an integer or out of range"),
        ("BITFIELD_RO k SET u8 0 1", "ERR BITFIELD_RO only supports the GET subcommand"),
        (
            "BITFIELD k GET u64 0",
            "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.",
        ),
    ] {
        assert_eq!(call(&mut keyspace, line), Reply::error(text), "{line}");
    }
}
