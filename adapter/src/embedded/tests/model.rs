//! Random sequences of primitives, on the embedded storage and on the keyspace in memory at once.

use std::fmt::Debug;
use std::ops::ControlFlow;

use proptest::prelude::*;

use super::{position, setup};
use crate::embedded::db::store::Store;
use crate::embedded::keyspace::txn::Txn;
use crate::embedded::keyspace::view::View;
use crate::error::Outcome;
use crate::keyspace::{Direction, End, Keyspace, KeyspaceMut, Kind, Point, ScoreStart};
use crate::memory::MemoryKeyspace;

#[derive(Clone, Debug)]
enum Op {
    Remove,
    Reap,
    SetDeadline(Option<u64>),
    Rename(u8),
    Clear,
    StringPut(usize, Option<u64>),
    StringWrite(u64, usize),
    HashPut(u8, u8),
    HashRemove(u8),
    SetPut(u8),
    SetRemove(u8),
    ZsetPut(u8, f64),
    ZsetRemove(u8),
    Push(bool, u8),
    Pop(bool),
    ListSet(u64),
    Insert(u64),
    RemoveElements(Vec<u64>),
    Trim(u64, u64),
    Fill(u8),
    Advance(u64),
    Commit,
    Reopen,
}

fn op() -> impl Strategy<Value = Op> {
    let deadline = || prop::option::weighted(0.3, 0_u64..60);
    let length = || prop_oneof![4 => 0_usize..40, 1 => 8000_usize..40_000, 1 => Just(600_000)];
    let number = (-3_i8..3).prop_map(f64::from);
    let score = prop_oneof![Just(f64::INFINITY), Just(-0.0), Just(f64::NEG_INFINITY), number];
    prop_oneof![
        2 => Just(Op::Remove),
        1 => Just(Op::Reap),
        2 => deadline().prop_map(Op::SetDeadline),
        1 => (0_u8..5).prop_map(Op::Rename),
        3 => (length(), deadline()).prop_map(|(length, deadline)| Op::StringPut(length, deadline)),
        3 => (prop_oneof![0_u64..50, 0_u64..50_000], length()).prop_map(|(at, n)| Op::StringWrite(at, n)),
        3 => (any::<u8>(), any::<u8>()).prop_map(|(field, value)| Op::HashPut(field, value)),
        2 => any::<u8>().prop_map(Op::HashRemove),
        3 => any::<u8>().prop_map(Op::SetPut),
        2 => any::<u8>().prop_map(Op::SetRemove),
        3 => (any::<u8>(), score).prop_map(|(member, score)| Op::ZsetPut(member, score)),
        2 => any::<u8>().prop_map(Op::ZsetRemove),
        3 => (any::<bool>(), any::<u8>()).prop_map(|(head, element)| Op::Push(head, element)),
        2 => any::<bool>().prop_map(Op::Pop),
        1 => (0_u64..200).prop_map(Op::ListSet),
        2 => (0_u64..200).prop_map(Op::Insert),
        2 => prop::collection::btree_set(0_u64..200, 1..90)
            .prop_map(|indices| Op::RemoveElements(indices.into_iter().collect())),
        2 => (0_u64..200, 0_u64..200).prop_map(|(start, end)| Op::Trim(start, end)),
        4 => any::<u8>().prop_map(Op::Fill),
        2 => (1_u64..8).prop_map(Op::Advance),
        3 => Just(Op::Commit),
        1 => Just(Op::Reopen),
        1 => prop_oneof![1 => Just(Op::Clear), 3 => Just(Op::Commit)],
    ]
}

/// The type that a primitive needs; none if it takes any.
fn needs(op: &Op) -> Option<Kind> {
    match op {
        Op::StringWrite(..) => Some(Kind::String),
        Op::HashPut(..) | Op::HashRemove(..) => Some(Kind::Hash),
        Op::SetPut(..) | Op::SetRemove(..) => Some(Kind::Set),
        Op::ZsetPut(..) | Op::ZsetRemove(..) => Some(Kind::SortedSet),
        Op::Push(..)
        | Op::Pop(..)
        | Op::ListSet(..)
        | Op::Insert(..)
        | Op::RemoveElements(..)
        | Op::Trim(..) => Some(Kind::List),
        _ => None,
    }
}

fn said<T: Debug>(outcome: Outcome<T>) -> String {
    format!("{:?}", outcome.unwrap())
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n % 251) as u8 + 1).collect()
}

const fn end(head: bool) -> End {
    if head { End::Head } else { End::Tail }
}

/// Runs a primitive; answers what it said.
fn run(keyspace: &mut dyn KeyspaceMut, key: &[u8], op: &Op) -> String {
    let len = keyspace.meta(key).unwrap().map_or(0, |meta| meta.len);
    match op {
        Op::Remove => said(keyspace.remove(key)),
        Op::Reap => said(keyspace.reap(key)),
        Op::SetDeadline(deadline) => said(keyspace.set_deadline(key, *deadline)),
        Op::Rename(to) => said(keyspace.rename(key, &[b'k', *to])),
        Op::Clear => said(keyspace.clear()),
        Op::StringPut(length, deadline) => said(keyspace.string_put(key, &pattern(*length), *deadline)),
        Op::StringWrite(at, length) => said(keyspace.string_write(key, *at, &pattern(*length))),
        Op::HashPut(field, value) => said(keyspace.hash_put(key, &[*field], &[*value])),
        Op::HashRemove(field) => said(keyspace.hash_remove(key, &[*field])),
        Op::SetPut(member) => said(keyspace.set_put(key, &[*member])),
        Op::SetRemove(member) => said(keyspace.set_remove(key, &[*member])),
        Op::ZsetPut(member, score) => said(keyspace.zset_put(key, &[*member], *score)),
        Op::ZsetRemove(member) => said(keyspace.zset_remove(key, &[*member])),
        Op::Push(head, element) => said(keyspace.list_push(key, end(*head), &[*element])),
        Op::Pop(head) => said(keyspace.list_pop(key, end(*head))),
        Op::ListSet(index) if *index < len => said(keyspace.list_set(key, *index, b"set")),
        Op::Insert(index) => said(keyspace.list_insert(key, (*index).min(len), b"inserted")),
        Op::RemoveElements(indices) => {
            let inside: Vec<u64> = indices.iter().copied().filter(|index| *index < len).collect();
            said(keyspace.list_remove(key, &inside))
        }
        Op::Trim(start, end) => said(keyspace.list_trim(key, *start, *end)),
        Op::Fill(count) => fill(keyspace, key, *count),
        Op::ListSet(_) | Op::Advance(_) | Op::Commit | Op::Reopen => String::new(),
    }
}

/// Adds many elements to a collection, so that it is dropped by ranges.
fn fill(keyspace: &mut dyn KeyspaceMut, key: &[u8], count: u8) -> String {
    let kind = keyspace.meta(key).unwrap().map_or(Kind::List, |meta| meta.kind);
    (0..count)
        .map(|n| match kind {
            Kind::Hash => said(keyspace.hash_put(key, &[n], b"")),
            Kind::Set => said(keyspace.set_put(key, &[n])),
            Kind::SortedSet => said(keyspace.zset_put(key, &[n], f64::from(n % 7))),
            Kind::List => said(keyspace.list_push(key, end(n % 3 == 0), &[n])),
            Kind::String => String::new(),
        })
        .collect()
}

/// Everything that can be read.
fn dump(keyspace: &dyn Keyspace) -> Vec<String> {
    let mut out = vec![
        said(keyspace.key_count()),
        said(keyspace.deadline_count()),
        said(keyspace.due_keys(30, 3)),
        said(keyspace.due_keys(u64::MAX, 100)),
    ];
    let mut keys = Vec::new();
    let mut visit = |point, key: &[u8], meta: &_| {
        out.push(format!("{point:?} {key:?} {meta:?}"));
        keys.push(key.to_vec());
        ControlFlow::Continue(())
    };
    keyspace.visit_keys(Point::default(), &mut visit).unwrap();
    for key in keys {
        dump_key(keyspace, &key, &mut out);
    }
    out
}

fn dump_key(keyspace: &dyn Keyspace, key: &[u8], out: &mut Vec<String>) {
    let half = Point(Point::MAX.0 / 2);
    let mut note = |line: String| {
        out.push(line);
        ControlFlow::Continue(())
    };
    match keyspace.meta(key).unwrap().unwrap().kind {
        Kind::String => {
            let value = keyspace.string(key).unwrap().unwrap();
            let _ = note(format!("{} {:x}", value.len(), xxhash_rust::xxh3::xxh3_64(&value)));
            for (start, len) in [(0, 3), (8190, 10), (100_000, 7), (20, u64::MAX - 10)] {
                let piece = keyspace.string_range(key, start, len).unwrap();
                let _ = note(format!("{} {:x}", piece.len(), xxhash_rust::xxh3::xxh3_64(&piece)));
            }
        }
        Kind::Hash => {
            let mut visit =
                |point, field: &[u8], value: &[u8]| note(format!("{point:?} {field:?} {value:?}"));
            keyspace.hash_visit(key, Point::default(), &mut visit).unwrap();
            keyspace.hash_visit(key, half, &mut visit).unwrap();
            let _ = note(said(keyspace.hash_get(key, &[7])));
        }
        Kind::Set => {
            let mut visit = |point, member: &[u8]| note(format!("{point:?} {member:?}"));
            keyspace.set_visit(key, Point::default(), &mut visit).unwrap();
            keyspace.set_visit(key, half, &mut visit).unwrap();
            let _ = note(said(keyspace.set_has(key, &[7])));
        }
        Kind::SortedSet => {
            let mut visit = |point, member: &[u8], score| note(format!("{point:?} {member:?} {score}"));
            keyspace.zset_visit(key, half, &mut visit).unwrap();
            let mut visit = |member: &[u8], score| note(format!("{member:?} {score}"));
            for start in [ScoreStart::Edge, ScoreStart::Score(1.0), ScoreStart::Element(-0.0, &[9])] {
                for direction in [Direction::Forward, Direction::Backward] {
                    keyspace.zset_visit_by_score(key, start, direction, &mut visit).unwrap();
                }
            }
            let _ = note(said(keyspace.zset_score(key, &[7])));
        }
        Kind::List => {
            let mut visit = |index, element: &[u8]| note(format!("{index} {element:?}"));
            keyspace.list_visit(key, 0, Direction::Forward, &mut visit).unwrap();
            keyspace.list_visit(key, 60, Direction::Backward, &mut visit).unwrap();
            let _ = note(said(keyspace.list_get(key, 2)));
        }
    }
}

/// Commits, and compares what a reader sees.
fn commit(txn: Txn<'_>, store: &Store, memory: &MemoryKeyspace) {
    let now_ms = txn.now_ms;
    assert_eq!(dump(&txn), dump(memory));
    txn.commit(position(now_ms)).unwrap();
    assert_eq!(dump(&View::fixed(store, now_ms)), dump(memory));
    assert_eq!(store.state().applied.position, position(now_ms));
}

fn begin(store: &Store, bound: usize) -> Txn<'_> {
    let mut txn = Txn::begin(store, None);
    txn.source.spill_bytes = bound;
    txn
}

fn play(ops: &[(u8, Op)], bound: usize) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("1");
    let mut store = Store::create(&path, &setup()).unwrap();
    let mut memory = MemoryKeyspace::new(0);
    let mut rest = ops;
    while !rest.is_empty() {
        let stop = rest.iter().position(|(_, op)| matches!(op, Op::Reopen)).map_or(rest.len(), |at| at + 1);
        let (now, later) = rest.split_at(stop);
        play_until_reopened(&store, &mut memory, now, bound);
        rest = later;
        drop(store);
        store = Store::open(&path, &setup()).unwrap();
    }
    assert_eq!(dump(&View::fixed(&store, memory.now_ms())), dump(&memory));
}

fn play_until_reopened(store: &Store, memory: &mut MemoryKeyspace, ops: &[(u8, Op)], bound: usize) {
    let mut txn = begin(store, bound);
    for (key, op) in ops {
        let key = [b'k', *key];
        if needs(op).is_some_and(|kind| memory.meta(&key).unwrap().is_some_and(|meta| meta.kind != kind)) {
            continue;
        }
        match op {
            Op::Advance(by) => {
                txn.advance(memory.now_ms() + by);
                memory.set_now(memory.now_ms() + by);
            }
            Op::Commit => {
                commit(txn, store, memory);
                txn = begin(store, bound);
            }
            _ => assert_eq!(run(&mut txn, &key, op), run(memory, &key, op), "{op:?}"),
        }
    }
    commit(txn, store, memory);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn every_primitive_does_what_it_does_in_memory(ops in prop::collection::vec((0_u8..5, op()), 1..120)) {
        play(&ops, usize::MAX);
    }

    #[test]
    fn writing_ahead_changes_nothing_that_can_be_read(ops in prop::collection::vec((0_u8..3, op()), 1..120)) {
        play(&ops, 2000);
    }
}
