//! What the hash commands answer. The expectations are those of a Redis 7.0 server.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeSet;

use bytes::Bytes;

use crate::command;
use crate::keyspace::{Keyspace, KeyspaceMut};
use crate::memory::MemoryKeyspace;
use crate::reply::Reply;

fn call(keyspace: &mut MemoryKeyspace, line: &str) -> Reply {
    let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
    command::write(keyspace, &args, 1).unwrap_or_else(Reply::from_stop)
}

/// A keyspace with a string `string` and a hash `hash` of as many fields.
fn keyspace(fields: usize) -> MemoryKeyspace {
    let mut keyspace = MemoryKeyspace::new(0);
    keyspace.string_put(b"string", b"v", None).unwrap();
    for field in 0..fields {
        keyspace.hash_put(b"hash", format!("f{field}").as_bytes(), format!("v{field}").as_bytes()).unwrap();
    }
    keyspace
}

fn bulks(reply: Reply) -> Vec<Bytes> {
    let Reply::Array(items) = reply else { panic!("{reply:?}") };
    items
        .into_iter()
        .map(|item| if let Reply::Bulk(bytes) = item { bytes } else { panic!("{item:?}") })
        .collect()
}

#[test]
fn fields_are_set_read_and_removed() {
    let mut keyspace = keyspace(0);
    for (line, reply) in [
        ("HSET h a 1 b 2 a 3", Reply::Integer(2)),
        ("HSET h a 1 c 3", Reply::Integer(1)),
        ("HMSET h a 9", Reply::OK),
        ("HSETNX h a 1", Reply::Integer(0)),
        ("HSETNX h d 4", Reply::Integer(1)),
        ("HGET h a", Reply::bulk(b"9")),
        ("HGET h x", Reply::Null),
        ("HGET missing x", Reply::Null),
        ("HMGET h b x", Reply::Array(vec![Reply::bulk(b"2"), Reply::Null])),
        ("HMGET missing b x", Reply::Array(vec![Reply::Null, Reply::Null])),
        ("HLEN h", Reply::Integer(4)),
        ("HEXISTS h a", Reply::Integer(1)),
        ("HEXISTS h x", Reply::Integer(0)),
        ("HSTRLEN h a", Reply::Integer(1)),
        ("HDEL h a a b x", Reply::Integer(2)),
        ("HDEL h c d", Reply::Integer(2)),
        ("HDEL h c", Reply::Integer(0)),
        ("HGETALL h", Reply::Map(vec![])),
        ("HKEYS h", Reply::Array(vec![])),
    ] {
        assert_eq!(call(&mut keyspace, line), reply, "{line}");
    }
    assert_eq!(keyspace.meta(b"h").unwrap(), None, "a hash without fields is missing");
}

#[test]
fn bad_calls_are_answered_as_redis_answers_them() {
    let mut keyspace = keyspace(1);
    call(&mut keyspace, "HSET hash text abc max 9223372036854775807");
    let wrong_type = "WRONGTYPE Operation against a key holding the wrong kind of value";
    for (line, text) in [
        ("HSET string a 1 b", "ERR wrong number of arguments for 'hset' command"),
        ("HMSET string a 1 b", "ERR wrong number of arguments for 'hmset' command"),
        ("HSET string a 1", wrong_type),
        ("HGETALL string", wrong_type),
        ("HSCAN string 0 foo", wrong_type),
        ("HSCAN hash 0 foo", "ERR syntax error"),
        ("HSCAN string x", "ERR invalid cursor"),
        ("HINCRBY string f x", "ERR value is not an integer or out of range"),
        ("HINCRBY hash text 1", "ERR hash value is not an integer"),
        ("HINCRBY hash max 1", "ERR increment or decrement would overflow"),
        ("HINCRBYFLOAT string f x", "ERR value is not a valid float"),
        ("HINCRBYFLOAT hash text 1", "ERR hash value is not a float"),
        ("HINCRBYFLOAT hash text inf", "ERR value is NaN or Infinity"),
        ("HRANDFIELD string x", "ERR value is not an integer or out of range"),
        ("HRANDFIELD hash 1 foo", "ERR syntax error"),
        ("HRANDFIELD hash 1 withvalues x", "ERR syntax error"),
        (
            "HRANDFIELD hash -9223372036854775808",
            "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
        ),
        ("HRANDFIELD missing 9223372036854775807 withvalues", "ERR value is out of range"),
    ] {
        assert_eq!(call(&mut keyspace, line), Reply::error(text), "{line}");
    }
}

#[test]
fn fields_count() {
    let mut keyspace = keyspace(0);
    assert_eq!(call(&mut keyspace, "HINCRBY h n 5"), Reply::Integer(5));
    assert_eq!(call(&mut keyspace, "HINCRBY h n -7"), Reply::Integer(-2));
    assert_eq!(call(&mut keyspace, "HINCRBYFLOAT h f 0.1"), Reply::bulk(b"0.1"));
    assert_eq!(call(&mut keyspace, "HINCRBYFLOAT h f 0.2"), Reply::bulk(b"0.3"));
}

#[test]
fn a_scan_answers_every_field_once_while_nothing_changes() {
    let mut keyspace = keyspace(500);
    let (mut cursor, mut seen, mut pages) = ("0".to_owned(), Vec::new(), 0);
    loop {
        let Reply::Array(parts) = call(&mut keyspace, &format!("HSCAN hash {cursor} COUNT 7")) else {
            panic!()
        };
        let [Reply::Bulk(next), items] = &parts[..] else { panic!("{parts:?}") };
        seen.extend(bulks(items.clone()).into_iter().step_by(2));
        pages += 1;
        cursor = String::from_utf8(next.to_vec()).unwrap();
        if cursor == "0" {
            break;
        }
    }
    assert_eq!((seen.len(), seen.iter().collect::<BTreeSet<_>>().len()), (500, 500));
    assert_eq!(pages, 500_usize.div_ceil(7));
    let matching = call(&mut keyspace, "HSCAN hash 0 MATCH f1? COUNT 1000");
    let Reply::Array(parts) = matching else { panic!("{matching:?}") };
    assert_eq!(bulks(parts[1].clone()).len(), 2 * 10);
}

#[test]
fn random_fields_are_of_the_hash_and_have_their_values() {
    let mut keyspace = keyspace(100);
    assert_eq!(call(&mut keyspace, "HRANDFIELD missing"), Reply::Null);
    assert_eq!(call(&mut keyspace, "HRANDFIELD missing 3"), Reply::Array(vec![]));
    assert!(matches!(call(&mut keyspace, "HRANDFIELD hash"), Reply::Bulk(field) if field.starts_with(b"f")));
    for (count, len) in [(0, 0), (5, 5), (60, 60), (1000, 100), (-5, 5), (-300, 300)] {
        assert_eq!(bulks(call(&mut keyspace, &format!("HRANDFIELD hash {count}"))).len(), len, "{count}");
        let Reply::Pairs(pairs) = call(&mut keyspace, &format!("HRANDFIELD hash {count} WITHVALUES")) else {
            assert_eq!(count, 0);
            continue;
        };
        for (field, value) in pairs {
            let (Reply::Bulk(field), Reply::Bulk(value)) = (field, value) else { panic!() };
            assert_eq!(field[1..], value[1..]);
        }
    }
}
