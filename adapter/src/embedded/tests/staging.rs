//! Long arguments that are written while they arrive.

use bytes::Bytes;

use super::{MIB, position, setup, wait};
use crate::adapter::{Adapter, Run};
use crate::batch::{Assembly, Batch, CommandBuffer};
use crate::embedded::EmbeddedAdapter;
use crate::embedded::db::schema::Family;
use crate::reply::Reply;

const UPLOAD: u64 = 7;
const PIECE: usize = MIB;

fn value(length: usize, seed: usize) -> Vec<u8> {
    (0..length).map(|n| (n / 977 + seed) as u8).collect()
}

fn commands(lines: &[&[&[u8]]]) -> CommandBuffer {
    let mut commands = CommandBuffer::default();
    lines.iter().for_each(|line| commands.push(line));
    commands
}

/// Has commands arrive in pieces, up to so many bytes; what has come.
fn arrive(adapter: &EmbeddedAdapter, upload: u64, commands: &CommandBuffer, bytes: usize) -> Assembly {
    let all = commands.bytes();
    let (mut assembly, mut offset) = (Assembly::new(upload, all.len() as u64), 0);
    for piece in all[..bytes].chunks(PIECE) {
        assert!(assembly.add(offset, piece));
        offset += piece.len() as u64;
        for arrived in assembly.take_arrived() {
            wait(adapter.stage(arrived)).unwrap();
        }
    }
    assembly
}

/// Has commands arrive in pieces, and take effect; the replies.
fn upload(adapter: &EmbeddedAdapter, index: u64, commands: &CommandBuffer) -> Vec<Reply> {
    let assembly = arrive(adapter, UPLOAD, commands, commands.bytes().len());
    let last = Batch::last(1, index, commands.count(), UPLOAD, commands.bytes().len() as u64);
    apply(adapter, index, assembly.finish(&last).unwrap())
}

fn run(adapter: &EmbeddedAdapter, index: u64, line: &[&[u8]]) -> Vec<Reply> {
    apply(adapter, index, Batch::new(1, index, [&commands(&[line])]))
}

fn apply(adapter: &EmbeddedAdapter, index: u64, batch: Batch) -> Vec<Reply> {
    wait(adapter.apply(Run { batches: vec![batch], position: position(index) })).unwrap().concat()
}

fn get(adapter: &EmbeddedAdapter, key: &'static [u8]) -> Option<Bytes> {
    let args = vec![Bytes::from_static(b"GET"), Bytes::from_static(key)];
    match wait(adapter.read(args, 0)).reply {
        Reply::Bulk(bytes) => Some(bytes.to_vec().into()),
        Reply::Null => None,
        other => panic!("{other:?}"),
    }
}

/// The number of chunks in the store.
fn chunks(adapter: &EmbeddedAdapter) -> usize {
    use crate::embedded::db::key_range::KeyRange;
    use crate::embedded::db::schema::KeyBuf;
    use crate::keyspace::Direction;
    let store = adapter.store_for_tests();
    let mut cursor =
        store.cursor(None, Family::Chunks, &KeyRange::from(KeyBuf::new()), Direction::Forward).unwrap();
    let mut count = 0;
    while cursor.item().is_some() {
        count += 1;
        cursor.advance().unwrap();
    }
    count
}

fn open(dir: &std::path::Path) -> EmbeddedAdapter {
    EmbeddedAdapter::open(dir, &setup().storage, false).unwrap()
}

#[test]
fn a_long_value_is_written_while_it_arrives_and_taken_over_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let adapter = open(dir.path());
    for (index, length) in [(1, 5 * MIB), (2, 5 * MIB + 1), (3, 3 * MIB - 4097)] {
        let value = value(length, index as usize);
        let commands = commands(&[&[b"SET", b"k", &value]]);
        let _arriving = arrive(&adapter, UPLOAD, &commands, commands.bytes().len());
        let staged = chunks(&adapter);
        assert!(staged >= length.div_ceil(8192), "{staged} chunks of {length} bytes");
        assert_eq!(upload(&adapter, index, &commands), [Reply::OK]);
        assert_eq!(get(&adapter, b"k").unwrap(), value);
        assert_eq!(chunks(&adapter), length.div_ceil(8192), "the old value and the first try are gone");
    }
    wait(adapter.flush()).unwrap();
    drop(adapter);
    let adapter = open(dir.path());
    assert_eq!(get(&adapter, b"k").unwrap(), value(3 * MIB - 4097, 3), "what was taken over stays");
}

#[test]
fn several_long_arguments_go_where_they_belong_and_the_same_bytes_twice_are_two_values() {
    let dir = tempfile::tempdir().unwrap();
    let adapter = open(dir.path());
    let (a, b) = (value(2 * MIB, 1), value(3 * MIB + 5, 2));
    let all = commands(&[
        &[b"MSET", b"a", &a, b"small", b"x", b"b", &b],
        &[b"SET", b"c", &a],
        &[b"HSET", b"h", b"f", &b],
        &[b"APPEND", b"small", &b],
        &[b"SET", b"d", &a, b"XX"],
    ]);
    let replies = upload(&adapter, 1, &all);
    assert_eq!(replies[1], Reply::OK);
    assert_eq!(replies[4], Reply::Null, "not set");
    assert_eq!(get(&adapter, b"a").unwrap(), a);
    assert_eq!(get(&adapter, b"b").unwrap(), b);
    assert_eq!(get(&adapter, b"c").unwrap(), a);
    assert_eq!(get(&adapter, b"d"), None);
    assert_eq!(get(&adapter, b"small").unwrap()[1..], b[..]);
    let needed = [2 * MIB, 3 * MIB + 5, 2 * MIB, 3 * MIB + 6].map(|length| length.div_ceil(8192));
    assert_eq!(chunks(&adapter), needed.iter().sum::<usize>(), "nothing is left of what nobody took over");
}

#[test]
fn what_is_staged_when_everything_is_removed_is_written_by_its_command() {
    let dir = tempfile::tempdir().unwrap();
    let adapter = open(dir.path());
    let value = value(4 * MIB, 3);
    let set = commands(&[&[b"SET", b"k", &value]]);
    let half = arrive(&adapter, UPLOAD, &set, 2 * MIB);
    run(&adapter, 1, &[b"FLUSHALL"]);
    assert_eq!(chunks(&adapter), 0);
    drop(half);
    // The rest of it comes.
    let bytes = set.bytes();
    let (mut assembly, mut told) = (Assembly::new(UPLOAD, bytes.len() as u64), 0);
    for piece in bytes.chunks(PIECE) {
        assert!(assembly.add(told as u64, piece));
        told += piece.len();
        let arrived = assembly.take_arrived();
        if told > 2 * MIB {
            arrived.into_iter().for_each(|arrived| wait(adapter.stage(arrived)).unwrap());
        }
    }
    let last = Batch::last(1, 2, 1, UPLOAD, bytes.len() as u64);
    assert_eq!(apply(&adapter, 2, assembly.finish(&last).unwrap()), [Reply::OK]);
    assert_eq!(get(&adapter, b"k").unwrap(), value);
    // In the same batch.
    let both = commands(&[&[b"FLUSHALL"], &[b"SET", b"k", &value]]);
    upload(&adapter, 3, &both);
    assert_eq!(get(&adapter, b"k").unwrap(), value);
    let both = commands(&[&[b"SET", b"k", &value], &[b"FLUSHALL"]]);
    upload(&adapter, 4, &both);
    assert_eq!((get(&adapter, b"k"), chunks(&adapter)), (None, 0));
}

#[test]
fn nothing_is_left_of_an_upload_that_was_given_up_or_of_a_process_that_has_died() {
    let dir = tempfile::tempdir().unwrap();
    let adapter = open(dir.path());
    let set = commands(&[&[b"SET", b"k", &value(4 * MIB, 4)]]);
    drop(arrive(&adapter, UPLOAD, &set, 3 * MIB));
    assert!(chunks(&adapter) > 0);
    wait(adapter.unstage()).unwrap();
    assert_eq!(chunks(&adapter), 0);
    drop(arrive(&adapter, UPLOAD + 1, &set, 3 * MIB));
    drop(arrive(&adapter, UPLOAD + 2, &set, 3 * MIB));
    assert_eq!(chunks(&adapter), (3 * MIB - 20) / 8192, "the second has taken the place of the first");
    run(&adapter, 1, &[b"SET", b"other", b"value"]);
    wait(adapter.flush()).unwrap();
    let crashed = super::copy_of(dir.path());
    let adapter = open(crashed.path());
    assert_eq!(chunks(&adapter), 0);
    assert_eq!(get(&adapter, b"other").unwrap(), "value");
    // Versions are not used twice.
    upload(&adapter, 2, &set);
    assert_eq!(get(&adapter, b"k").unwrap(), value(4 * MIB, 4));
}
