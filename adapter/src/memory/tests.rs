//! The contract of the keyspace and of the adapter, on memory.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::ops::ControlFlow;

use bytes::Bytes;

use super::{MemoryAdapter, MemoryKeyspace};
use crate::adapter::{Adapter, Run};
use crate::batch::{Batch, CommandBuffer};
use crate::keyspace::{Direction, End, Keyspace, KeyspaceMut, Kind, Point, ScoreStart};
use crate::position::{Applied, Position};
use crate::reply::Reply;
use crate::snapshot::Origin;

#[test]
fn reads_in_an_entry_see_what_is_written_before_them_and_together_have_a_bound() {
    let adapter = MemoryAdapter::new();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut commands = CommandBuffer::default();
    let large = vec![b'x'; 200 << 20];
    commands.push(&[b"SET", b"k", &large]);
    for _ in 0..3 {
        commands.push(&[b"GET", b"k"]);
    }
    commands.push(&[b"SET", b"k", b"small"]);
    commands.push(&[b"GET", b"k"]);
    let run = Run { batches: vec![Batch::new(1, 0, &[commands])], position: Position::default() };
    let replies = runtime.block_on(adapter.apply(run)).unwrap().remove(0);
    assert_eq!(replies[1..3], [Reply::bulk(&large), Reply::bulk(&large)]);
    assert_eq!(replies[3], Reply::error("ERR transactions read more than 512 MB at once"));
    assert_eq!(replies[4..], [Reply::OK, Reply::bulk(b"small")], "the others are done all the same");
}

#[test]
fn a_due_key_is_missing_for_every_primitive_but_counts_until_it_is_reaped() {
    let mut keyspace = MemoryKeyspace::new(100);
    keyspace.string_put(b"k", b"old", Some(200)).unwrap();
    assert!(!keyspace.reap(b"k").unwrap());
    keyspace.set_now(200);
    assert_eq!(keyspace.meta(b"k").unwrap(), None);
    assert_eq!(keyspace.string(b"k").unwrap(), None);
    assert!(!keyspace.remove(b"other").unwrap());
    assert_eq!((keyspace.key_count().unwrap(), keyspace.deadline_count().unwrap()), (1, 1));
    assert_eq!(keyspace.due_keys(200, 10).unwrap(), ["k"]);
    assert_eq!(keyspace.due_keys(199, 10).unwrap().len(), 0);
    assert_eq!(keyspace.take_hidden(), ["k"]);
    assert!(keyspace.reap(b"k").unwrap());
    assert_eq!((keyspace.key_count().unwrap(), keyspace.deadline_count().unwrap()), (0, 0));
}

#[test]
fn a_key_written_in_the_place_of_a_due_one_starts_from_nothing() {
    let mut keyspace = MemoryKeyspace::new(100);
    keyspace.string_put(b"k", b"old value", Some(200)).unwrap();
    keyspace.set_now(300);
    assert!(keyspace.hash_put(b"k", b"f", b"v").unwrap());
    let meta = keyspace.meta(b"k").unwrap().unwrap();
    assert_eq!((meta.kind, meta.len, meta.deadline), (Kind::Hash, 1, None));
    assert_eq!(keyspace.deadline_count().unwrap(), 0);
}

#[test]
fn a_collection_that_loses_its_last_element_is_missing() {
    let mut keyspace = MemoryKeyspace::new(0);
    keyspace.hash_put(b"h", b"f", b"v").unwrap();
    keyspace.set_put(b"s", b"m").unwrap();
    keyspace.zset_put(b"z", b"m", 1.0).unwrap();
    keyspace.list_push(b"l", End::Head, b"e").unwrap();
    assert_eq!(keyspace.key_count().unwrap(), 4);
    assert!(keyspace.hash_remove(b"h", b"f").unwrap());
    assert!(keyspace.set_remove(b"s", b"m").unwrap());
    assert_eq!(keyspace.zset_remove(b"z", b"m").unwrap(), Some(1.0));
    keyspace.list_trim(b"l", 1, 1).unwrap();
    assert_eq!(keyspace.key_count().unwrap(), 0);
}

#[test]
fn deadlines_survive_changes_and_travel_with_a_rename() {
    let mut keyspace = MemoryKeyspace::new(0);
    keyspace.string_put(b"a", b"1", Some(50)).unwrap();
    keyspace.string_write(b"a", 3, b"x").unwrap();
    keyspace.string_put(b"b", b"", Some(60)).unwrap();
    keyspace.rename(b"a", b"b").unwrap();
    assert_eq!(keyspace.meta(b"a").unwrap(), None);
    assert_eq!(keyspace.meta(b"b").unwrap().unwrap().deadline, Some(50));
    assert_eq!(keyspace.string(b"b").unwrap().unwrap(), &b"1\0\0x"[..]);
    assert_eq!(keyspace.due_keys(100, 10).unwrap(), ["b"]);
    keyspace.set_deadline(b"b", None).unwrap();
    assert_eq!(keyspace.deadline_count().unwrap(), 0);
}

#[test]
fn keys_are_visited_in_hash_order_from_any_point() {
    let mut keyspace = MemoryKeyspace::new(0);
    for n in 0..100 {
        keyspace.string_put(format!("key{n}").as_bytes(), b"", None).unwrap();
    }
    let mut seen = Vec::new();
    let mut collect = |point: Point, key: &[u8], _: &_| {
        seen.push((point, key.to_vec()));
        ControlFlow::Continue(())
    };
    keyspace.visit_keys(Point::default(), &mut collect).unwrap();
    assert_eq!(seen.len(), 100);
    assert!(seen.is_sorted());
    let mut rest = 0;
    keyspace
        .visit_keys(seen[60].0, &mut |_, _, _| {
            rest += 1;
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(rest, 40);
}

#[test]
fn sorted_sets_are_walked_from_scores_and_elements_in_both_directions() {
    let mut keyspace = MemoryKeyspace::new(0);
    for (member, score) in [("a", 1.0), ("b", 1.0), ("c", 2.0), ("zero", -0.0), ("low", f64::NEG_INFINITY)] {
        keyspace.zset_put(b"z", member.as_bytes(), score).unwrap();
    }
    keyspace.zset_put(b"z", b"c", f64::INFINITY).unwrap();
    let walk = |start, direction| {
        let mut seen = Vec::new();
        keyspace
            .zset_visit_by_score(b"z", start, direction, &mut |member, _| {
                seen.push(String::from_utf8(member.to_vec()).unwrap());
                ControlFlow::Continue(())
            })
            .unwrap();
        seen.join(" ")
    };
    assert_eq!(walk(ScoreStart::Edge, Direction::Forward), "low zero a b c");
    assert_eq!(walk(ScoreStart::Edge, Direction::Backward), "c b a zero low");
    assert_eq!(walk(ScoreStart::Score(0.0), Direction::Forward), "zero a b c");
    assert_eq!(walk(ScoreStart::Score(-0.0), Direction::Backward), "zero low");
    assert_eq!(walk(ScoreStart::Score(1.0), Direction::Backward), "b a zero low");
    assert_eq!(walk(ScoreStart::Score(f64::INFINITY), Direction::Backward), "c b a zero low");
    assert_eq!(walk(ScoreStart::Element(1.0, b"aa"), Direction::Forward), "b c");
    assert_eq!(walk(ScoreStart::Element(1.0, b"aa"), Direction::Backward), "a zero low");
}

#[test]
fn lists_take_every_change_at_every_place() {
    let mut keyspace = MemoryKeyspace::new(0);
    for element in ["b", "c", "d"] {
        keyspace.list_push(b"l", End::Tail, element.as_bytes()).unwrap();
    }
    keyspace.list_push(b"l", End::Head, b"a").unwrap();
    keyspace.list_insert(b"l", 2, b"x").unwrap();
    keyspace.list_insert(b"l", 5, b"e").unwrap();
    keyspace.list_set(b"l", 1, b"B").unwrap();
    keyspace.list_remove(b"l", &[0, 2]).unwrap();
    let walk = |keyspace: &MemoryKeyspace, from, direction| {
        let mut seen = String::new();
        keyspace
            .list_visit(b"l", from, direction, &mut |index, element| {
                seen.push_str(&format!("{index}{} ", String::from_utf8_lossy(element)));
                ControlFlow::Continue(())
            })
            .unwrap();
        seen
    };
    assert_eq!(walk(&keyspace, 0, Direction::Forward), "0B 1c 2d 3e ");
    assert_eq!(walk(&keyspace, 2, Direction::Backward), "2d 1c 0B ");
    assert_eq!(walk(&keyspace, 4, Direction::Backward), "");
    keyspace.list_trim(b"l", 1, 3).unwrap();
    assert_eq!(walk(&keyspace, 0, Direction::Forward), "0c 1d ");
    assert_eq!(keyspace.list_pop(b"l", End::Head).unwrap().unwrap(), "c");
    assert_eq!(keyspace.list_pop(b"l", End::Tail).unwrap().unwrap(), "d");
    assert_eq!(keyspace.list_pop(b"l", End::Tail).unwrap(), None);
}

#[test]
fn a_clone_keeps_its_content_while_the_original_changes() {
    let mut keyspace = MemoryKeyspace::new(0);
    keyspace.string_put(b"k", b"before", None).unwrap();
    let clone = keyspace.clone();
    keyspace.string_put(b"k", b"after", None).unwrap();
    assert_eq!(clone.string(b"k").unwrap().unwrap(), "before");
    assert_eq!(keyspace.string(b"k").unwrap().unwrap(), "after");
}

fn run(index: u64, now_ms: u64, commands: &[&[&[u8]]]) -> Run {
    let mut group = CommandBuffer::default();
    commands.iter().for_each(|command| group.push(command));
    let position = Position { index, mark: Bytes::from_static(b"mark") };
    Run { batches: vec![Batch::new(now_ms, 0, [&group])], position }
}

#[tokio::test]
async fn the_time_and_the_position_of_what_is_applied_never_go_backwards_and_travel_in_a_snapshot() {
    let source = MemoryAdapter::new();
    source.apply(run(1, 500, &[&[b"NO-SUCH-COMMAND"]])).await.unwrap();
    let replies = source.apply(run(2, 400, &[&[b"NO-SUCH-COMMAND"], &[b"OTHER"]])).await.unwrap();
    assert!(replies[0].len() == 2 && replies[0].iter().all(crate::Reply::is_error));
    let position = Position { index: 2, mark: Bytes::from_static(b"mark") };
    assert_eq!(source.applied(), Applied { position, now_ms: 500 });

    let taken = source.snapshot().unwrap();
    source.apply(run(3, 600, &[])).await.unwrap();
    let mut stream = Vec::new();
    let origin = Origin { cluster_id: Bytes::from_static(b"cluster"), ..Origin::anywhere() };
    taken.write(origin, &mut stream).unwrap();
    let target = MemoryAdapter::new();
    let cut = stream[..stream.len() - 1].to_vec();
    assert!(target.install(Box::new(std::io::Cursor::new(cut))).await.is_err());
    assert_eq!(target.applied(), Applied::default());
    let installed = target.install(Box::new(std::io::Cursor::new(stream))).await.unwrap();
    assert_eq!((installed.position.index, installed.now_ms), (2, 500));
    assert_eq!(target.applied(), installed);
    assert_eq!(target.digest().await.unwrap().1, source.digest().await.unwrap().1);
}
