//! What a test of single calls does not show: scans to the end, big collections, keys that are due.

use bytes::Bytes;

use super::{encode, run};
use crate::command;
use crate::keyspace::{End, Flow, Keyspace, KeyspaceMut, Kind, Point};
use crate::memory::MemoryKeyspace;
use crate::reply::Reply;

fn keyspace() -> MemoryKeyspace {
    MemoryKeyspace::new(1_000_000)
}

/// One page of a scan: the next cursor and the keys.
fn page(ours: &mut MemoryKeyspace, args: &[&[u8]]) -> (Bytes, Vec<Bytes>) {
    let Ok(Reply::Array(parts)) = command::write(ours, args, 7) else { panic!("a scan answers an array") };
    let [Reply::Bulk(cursor), Reply::Array(keys)] = &parts[..] else { panic!("of a cursor and keys") };
    let bulk = |key: &Reply| match key {
        Reply::Bulk(key) => key.clone(),
        other => panic!("{other:?}"),
    };
    (cursor.clone(), keys.iter().map(bulk).collect())
}

#[test]
fn a_scan_finds_every_key_once_and_only_those_of_the_type() {
    let mut ours = keyspace();
    for number in 0..500 {
        ours.string_put(format!("string:{number}").as_bytes(), b"x", None).unwrap();
        ours.set_put(format!("set:{number}").as_bytes(), b"x").unwrap();
    }
    ours.string_put(b"due", b"x", Some(1)).unwrap();
    for (filter, expected) in
        [(&[][..], 1000), (&[&b"type"[..], b"SET"], 500), (&[b"type", b"no"], 0), (&[b"match", b"s*:7"], 2)]
    {
        let (mut cursor, mut found) = (Bytes::from_static(b"0"), Vec::new());
        loop {
            let args = [&[&b"scan"[..], &cursor], filter].concat();
            let (next, keys) = page(&mut ours, &args);
            found.extend(keys);
            cursor = next;
            if cursor == "0" {
                break;
            }
        }
        let all = found.len();
        found.sort();
        found.dedup();
        assert_eq!((found.len(), all), (expected, expected), "{filter:?}");
    }
}

#[test]
fn a_random_key_is_one_that_is_there_and_the_seed_decides_which() {
    let mut ours = keyspace();
    ours.string_put(b"due", b"x", Some(1)).unwrap();
    assert_eq!(command::read(&ours, &[b"randomkey"], 1).unwrap(), Reply::Null);
    for number in 0..50 {
        ours.string_put(format!("key:{number}").as_bytes(), b"x", None).unwrap();
    }
    let pick = |seed| command::read(&ours, &[b"randomkey"], seed).unwrap();
    assert_eq!(pick(3), pick(3));
    let mut seen: Vec<_> = (0..50).map(pick).map(|key| format!("{key:?}")).collect();
    seen.sort();
    seen.dedup();
    assert!(seen.len() > 20, "{seen:?}");
}

/// Fills `key` with `len` elements of a type.
fn fill(ours: &mut MemoryKeyspace, key: &[u8], kind: Kind, len: u32) {
    for number in 0..len {
        let name = format!("element:{number}");
        let name = name.as_bytes();
        match kind {
            Kind::String => ours.string_put(key, name, None).unwrap(),
            Kind::List => ours.list_push(key, End::Tail, name).unwrap(),
            Kind::Set => ours.set_put(key, name).map(drop).unwrap(),
            Kind::SortedSet => ours.zset_put(key, name, f64::from(number) / 3.0).map(drop).unwrap(),
            Kind::Hash => ours.hash_put(key, name, b"value").map(drop).unwrap(),
        }
    }
}

#[test]
fn copies_of_many_pages_are_whole_and_take_the_place_and_the_deadline() {
    for kind in [Kind::String, Kind::List, Kind::Set, Kind::SortedSet, Kind::Hash] {
        for len in [1, 1023, 1024, 1025, 5000] {
            let mut ours = keyspace();
            fill(&mut ours, b"from", kind, len);
            ours.set_deadline(b"from", Some(2_000_000)).unwrap();
            ours.set_put(b"to", b"what is lost").unwrap();
            assert_eq!(run(&mut ours, &[b"copy", b"from", b"to"]), b":0\r\n");
            assert_eq!(run(&mut ours, &[b"copy", b"from", b"to", b"replace"]), b":1\r\n");
            assert_eq!(ours.meta(b"from").unwrap(), ours.meta(b"to").unwrap());
            assert_eq!(
                run(&mut ours, &[b"dump", b"from"]),
                run(&mut ours, &[b"dump", b"to"]),
                "{kind:?} {len}"
            );
        }
    }
}

#[test]
fn only_keys_that_are_due_are_expired() {
    let mut ours = keyspace();
    for (key, deadline) in [(&b"due"[..], Some(1_000_000)), (b"later", Some(1_000_001)), (b"never", None)] {
        ours.string_put(key, b"x", deadline).unwrap();
    }
    let call: [&[u8]; 6] = [b"raft.expire", b"due", b"due", b"later", b"never", b"missing"];
    assert_eq!(run(&mut ours, &call), b":1\r\n");
    assert_eq!(ours.key_count().unwrap(), 2);
    ours.set_now(1_000_001);
    assert_eq!(run(&mut ours, &call), b":1\r\n");
    assert_eq!(ours.key_count().unwrap(), 1);
}

#[test]
fn a_deadline_in_the_past_removes_the_key() {
    for call in [[&b"expire"[..], b"k", b"0"], [b"pexpire", b"k", b"-1"], [b"expireat", b"k", b"1000"]] {
        let mut ours = keyspace();
        ours.string_put(b"k", b"x", None).unwrap();
        assert_eq!(run(&mut ours, &call), b":1\r\n");
        assert_eq!(ours.key_count().unwrap(), 0);
    }
}

#[test]
fn encodings_are_those_of_redis_7_2_with_its_default_limits() {
    for (kind, len, expected) in [
        (Kind::List, 10, "listpack"),
        (Kind::List, 1000, "quicklist"),
        (Kind::Set, 128, "listpack"),
        (Kind::Set, 129, "hashtable"),
        (Kind::SortedSet, 128, "listpack"),
        (Kind::SortedSet, 129, "skiplist"),
        (Kind::Hash, 512, "listpack"),
        (Kind::Hash, 513, "hashtable"),
    ] {
        let mut ours = keyspace();
        fill(&mut ours, b"k", kind, len);
        assert_eq!(encoding(&mut ours), expected, "{kind:?} {len}");
    }
    for (len, expected) in [(512, "intset"), (513, "hashtable")] {
        let mut ours = keyspace();
        for number in 0..len {
            ours.set_put(b"k", format!("{number}").as_bytes()).unwrap();
        }
        assert_eq!(encoding(&mut ours), expected, "{len} integers");
    }
    for (member, expected) in [("x".repeat(64), "listpack"), ("x".repeat(65), "hashtable")] {
        let mut ours = keyspace();
        ours.hash_put(b"k", b"f", member.as_bytes()).unwrap();
        assert_eq!(encoding(&mut ours), expected);
    }
}

fn encoding(ours: &mut MemoryKeyspace) -> String {
    match command::write(ours, &[b"object", b"encoding", b"k"], 7).unwrap() {
        Reply::Bulk(name) => String::from_utf8_lossy(&name).into_owned(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn sorting_a_set_for_a_store_does_not_depend_on_hash_order() {
    let mut ours = keyspace();
    fill(&mut ours, b"s", Kind::Set, 50);
    assert_eq!(run(&mut ours, &[b"sort", b"s", b"by", b"nosort", b"store", b"l"]), b":50\r\n");
    let mut stored = Vec::new();
    ours.list_visit(b"l", 0, crate::keyspace::Direction::Forward, &mut |_, element| {
        stored.push(element.to_vec());
        Flow::Continue(())
    })
    .unwrap();
    assert!(stored.is_sorted());
    let mut first = Vec::new();
    ours.set_visit(b"s", Point(0), &mut |_, member| {
        first = member.to_vec();
        Flow::Break(())
    })
    .unwrap();
    let mut expected = Vec::new();
    encode(&Reply::Array(vec![Reply::bulk(&first)]), &mut expected);
    assert_eq!(run(&mut ours, &[b"sort_ro", b"s", b"by", b"nosort", b"limit", b"0", b"1"]), expected);
}
