//! Buffered runs: every reader sees them whole, and nothing written later overtakes them.

use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;

use super::{copy_of, new_store, position, setup, wait};
use crate::adapter::{Adapter, Run};
use crate::batch::{Batch, CommandBuffer};
use crate::embedded::EmbeddedAdapter;
use crate::embedded::keyspace::txn::Txn;
use crate::embedded::keyspace::view::View;
use crate::keyspace::{Keyspace, KeyspaceMut};
use crate::reply::Reply;

fn run(index: u64, commands: &[&[&[u8]]]) -> Run {
    let mut buffer = CommandBuffer::default();
    commands.iter().for_each(|command| buffer.push(command));
    Run { batches: vec![Batch::new(index, 0, &[buffer])], position: position(index) }
}

/// Ends the readers, also when the writer fails.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn readers_see_every_run_whole_while_others_are_held_written_or_flushed() {
    let dir = tempfile::tempdir().unwrap();
    let adapter = EmbeddedAdapter::open(dir.path(), &setup().storage, false).unwrap();
    adapter.store_for_tests().set_buffer_bound(2000);
    let done = AtomicBool::new(false);
    let read = |args: &[&[u8]]| {
        wait(adapter.read(args.iter().map(|arg| Bytes::copy_from_slice(arg)).collect(), 0)).reply
    };
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let Reply::Array(pair) = read(&[b"MGET", b"a", b"b"]) else { panic!("not an array") };
                    assert_eq!(pair[0], pair[1], "half of a run");
                    let calls = [b"a", b"b"].map(|key| [&b"GET"[..], key].map(Bytes::from_static).to_vec());
                    let together = wait(adapter.read_together(calls.to_vec(), 0));
                    assert_eq!(together[0].reply, together[1].reply, "two views");
                    let later = read(&[b"HGET", b"h", b"f"]);
                    assert!(matches!(later, Reply::Null | Reply::Bulk(_)), "{later:?}");
                    if !rand::random_ratio(1, 8) {
                        continue;
                    }
                    let Reply::Array(keys) = read(&[b"KEYS", b"[ab]"]) else { panic!("not an array") };
                    assert!(keys.len() == 2 || keys.is_empty(), "{keys:?}");
                    let Reply::Array(seen) =
                        read(&[b"SORT_RO", b"by", b"BY", b"nosort", b"GET", b"a", b"GET", b"b"])
                    else {
                        panic!("not an array")
                    };
                    assert!(seen.chunks(2).all(|pair| pair[0] == pair[1]), "{seen:?}");
                }
            });
        }
        let _end = End(&done);
        for index in 1..=6000 {
            let value = index.to_string();
            let set_both: [&[&[u8]]; 2] =
                [&[b"SET", b"a", value.as_bytes()], &[b"SET", b"b", value.as_bytes()]];
            let mut commands = set_both.to_vec();
            match index % 50 {
                0 => commands = vec![&[b"FLUSHALL"], &[b"RPUSH", b"by", b"1", b"2"]],
                7 | 31 => commands.push(&[b"HSET", b"h", b"f", b"v"]),
                11 => commands = vec![&[b"DEL", b"a", b"b"]],
                _ => {}
            }
            let filler = format!("filler:{}", index % 40);
            let fill: [&[u8]; 3] =
                [b"SET", filler.as_bytes(), b"more than a reader has written between two runs"];
            commands.push(&fill);
            commands.push(&[b"INCR", b"n"]);
            let replies = wait(adapter.apply(run(index, &commands))).unwrap();
            let Some(Reply::Integer(n)) = replies[0].last() else { panic!("no count") };
            assert_eq!(read(&[b"GET", b"n"]), Reply::bulk(n.to_string().as_bytes()), "after run {index}");
            if index % 500 == 0 {
                assert_eq!(wait(adapter.flush()).unwrap(), position(index));
            }
        }
    });
}

#[test]
fn a_flush_makes_what_was_held_durable_and_a_clearing_removes_it() {
    let (dir, store) = new_store();
    let put = |key: &[u8], index| {
        let mut txn = Txn::begin(&store, None);
        txn.string_put(key, b"value", None).unwrap();
        txn.commit(position(index)).unwrap();
    };
    put(b"a", 1);
    assert_eq!(View::fixed(&store, 0).key_count().unwrap(), 1);
    put(b"b", 2);
    store.flush().unwrap();
    let copy = copy_of(dir.path());
    let after = super::Store::open(&copy.path().join("1"), &setup()).unwrap();
    assert_eq!(after.state(), store.state());
    assert_eq!(View::fixed(&after, 0).string(b"b").unwrap().unwrap(), "value");

    put(b"c", 3);
    let mut txn = Txn::begin(&store, None);
    txn.clear().unwrap();
    txn.string_put(b"d", b"value", None).unwrap();
    txn.commit(position(4)).unwrap();
    let mut keys = Vec::new();
    let mut visit = |_, key: &[u8], _: &_| {
        keys.push(key.to_vec());
        crate::keyspace::Flow::Continue(())
    };
    View::fixed(&store, 0).visit_keys(crate::keyspace::Point(0), &mut visit).unwrap();
    assert_eq!(keys, [b"d"]);
}

#[test]
fn a_run_that_changes_nothing_moves_the_position_that_is_told_with_the_content() {
    let dir = tempfile::tempdir().unwrap();
    let adapter = EmbeddedAdapter::open(dir.path(), &setup().storage, false).unwrap();
    wait(adapter.apply(run(1, &[&[b"SET", b"k", b"v"]]))).unwrap();
    let (_, digest) = wait(adapter.digest()).unwrap();
    wait(adapter.apply(run(2, &[&[b"DEL", b"missing"]]))).unwrap();
    assert_eq!(wait(adapter.digest()).unwrap(), (position(2), digest));
}
