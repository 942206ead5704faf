//! What goes into a stream comes out, and nothing damaged does.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

use bytes::Bytes;
use proptest::prelude::*;

use super::{ContentSink, Digest, Header, Item, KeyHead, SnapshotReader, SnapshotWriter, Trailer, Version};
use super::{digest_keyspace, load_into, walk};
use crate::error::StorageError;
use crate::keyspace::{End, KeyspaceMut, Kind};
use crate::memory::MemoryKeyspace;
use crate::position::{Applied, Position};

fn header() -> Header {
    let position = Position { index: 42, mark: Bytes::from_static(b"mark") };
    Header {
        version: Version::WithRevisions,
        cluster_id: Bytes::from_static(b"cluster"),
        applied: Applied { position, now_ms: 1_700_000_000_000 },
    }
}

fn head(kind: Kind) -> KeyHead {
    KeyHead { kind, deadline: None, revision: 0 }
}

/// Every type, empty and binary content, deadlines, one of them long past.
fn sample() -> MemoryKeyspace {
    let mut keyspace = MemoryKeyspace::new(0);
    keyspace.string_put(b"", b"empty key", None).unwrap();
    keyspace.string_put(b"empty", b"", Some(1)).unwrap();
    keyspace.string_put(b"binary\0\xff", &(0..=255).collect::<Vec<u8>>(), Some(u64::MAX)).unwrap();
    keyspace.set_revision(7);
    for n in 0..20_u8 {
        keyspace.list_push(b"list", End::Tail, &vec![n; usize::from(n)]).unwrap();
        keyspace.set_put(b"set", &[n]).unwrap();
        keyspace.zset_put(b"zset", &[n], f64::from(n) / 7.0).unwrap();
        keyspace.hash_put(b"hash", &[n], &[n; 3]).unwrap();
    }
    keyspace.zset_put(b"zset", b"low", f64::NEG_INFINITY).unwrap();
    keyspace.set_deadline(b"hash", Some(7)).unwrap();
    keyspace
}

fn dump(keyspace: &MemoryKeyspace) -> (Vec<u8>, Digest) {
    let mut writer = SnapshotWriter::new(Vec::new(), &header()).unwrap();
    walk(keyspace, &mut writer).unwrap();
    writer.finish().unwrap()
}

fn load(stream: &[u8]) -> Result<(MemoryKeyspace, Header, Trailer), StorageError> {
    let mut reader = SnapshotReader::new(stream)?;
    let mut keyspace = MemoryKeyspace::new(0);
    let trailer = load_into(&mut keyspace, &mut reader)?;
    Ok((keyspace, reader.header().clone(), trailer))
}

fn assert_malformed(stream: &[u8], what: &str) {
    match load(stream) {
        Err(StorageError::Malformed { .. }) => {}
        Err(other) => panic!("{what}: {other}"),
        Ok(_) => panic!("{what} was accepted"),
    }
}

#[test]
fn what_is_written_is_read_back_with_its_header_and_digest() {
    let keyspace = sample();
    let (stream, digest) = dump(&keyspace);
    let (loaded, found, trailer) = load(&stream).unwrap();
    assert_eq!(found, header());
    assert_eq!(trailer, Trailer { keys: 7, items: 81, digest });
    assert_eq!(digest_keyspace(&loaded).unwrap(), digest);
    assert_eq!(dump(&loaded).0, stream);
}

#[test]
fn a_stream_cut_anywhere_is_malformed() {
    let (stream, _) = dump(&sample());
    for length in 0..stream.len() {
        assert_malformed(&stream[..length], &format!("a stream cut at {length}"));
    }
}

#[test]
fn a_stream_with_any_bit_flipped_is_malformed() {
    let (stream, _) = dump(&sample());
    for at in 0..stream.len() {
        for bit in 0..8 {
            let mut damaged = stream.clone();
            damaged[at] ^= 1 << bit;
            assert_malformed(&damaged, &format!("bit {bit} of byte {at} flipped"));
        }
    }
}

#[test]
fn bytes_behind_the_end_are_malformed() {
    let (mut stream, _) = dump(&sample());
    stream.push(0);
    assert_malformed(&stream, "a longer stream");
}

#[test]
fn a_block_lost_or_moved_is_malformed() {
    let mut keyspace = MemoryKeyspace::new(0);
    let noise: Vec<u8> =
        (0..5_u64 << 20).map(|n| (xxhash_rust::xxh3::xxh3_64(&n.to_le_bytes())) as u8).collect();
    keyspace.string_put(b"big", &noise, None).unwrap();
    let (stream, _) = dump(&keyspace);
    assert_eq!(digest_keyspace(&load(&stream).unwrap().0).unwrap(), digest_keyspace(&keyspace).unwrap());
    let prefix = super::PREFIX + 8 + 8 + 4 + 4 + 4 + 7 + 4;
    let packed = |at: usize| 12 + u32::from_le_bytes(stream[at + 4..at + 8].try_into().unwrap()) as usize;
    let second = prefix + packed(prefix);
    let third = second + packed(second);
    assert_malformed(&[&stream[..second], &stream[third..]].concat(), "a stream without its second block");
    let swapped =
        [&stream[..prefix], &stream[second..third], &stream[prefix..second], &stream[third..]].concat();
    assert_malformed(&swapped, "a stream with two blocks exchanged");
}

#[test]
fn what_is_malformed_inside_sound_blocks_is_found() {
    let bad: [(&str, &[&[u8]]); 7] = [
        ("an unknown type", &[&[9, 0], &[0; 8], &[0; 4]]),
        ("a deadline without its flag", &[&[1, 0], &[1; 8], &[0; 4]]),
        ("an empty collection", &[&[3, 0], &[0; 8], &[0; 4], &[0]]),
        ("an over-long key", &[&[1, 0], &[0; 8], &[0xff; 4]]),
        ("an unknown item", &[&[3, 0], &[0; 8], &[0; 4], &[7]]),
        (
            "a score that is not a number",
            &[&[4, 0], &[0; 8], &[0; 4], &[1], &[0; 4], &f64::NAN.to_le_bytes()],
        ),
        ("a trailer with a wrong count", &[&[0xff], &[1, 0, 0, 0, 0, 0, 0, 0], &[0; 8], &[0; 16]]),
    ];
    for (what, parts) in bad {
        let mut stream = Vec::new();
        SnapshotWriter::new(&mut stream, &header()).unwrap();
        let mut blocks = super::block::BlockWriter::new(stream).unwrap();
        blocks.put(&parts.concat()).unwrap();
        assert_malformed(&blocks.finish().unwrap(), what);
    }
}

#[test]
fn the_same_key_or_member_twice_is_malformed_to_a_loader() {
    for members in [&[&b"a"[..], b"a"][..], &[b"b"]] {
        let mut writer = SnapshotWriter::new(Vec::new(), &header()).unwrap();
        for _ in 0..3 - members.len() {
            writer.begin_key(&head(Kind::Set), b"key").unwrap();
            members.iter().for_each(|member| writer.member(member).unwrap());
            writer.end_key().unwrap();
        }
        assert_malformed(&writer.finish().unwrap().0, "a duplicate");
    }
}

#[test]
fn a_writer_refuses_items_that_do_not_fit_the_key() {
    let writer = || SnapshotWriter::new(Vec::new(), &header()).unwrap();
    assert!(writer().member(b"m").is_err());
    assert!(writer().end_key().is_err());
    let mut open = writer();
    open.begin_key(&head(Kind::List), b"k").unwrap();
    assert!(open.field(b"f", b"v").is_err());
    assert!(open.begin_key(&head(Kind::Set), b"k").is_err());
    assert!(open.finish().is_err());
}

#[test]
fn content_is_refused_where_the_clock_would_hide_a_part_of_it() {
    let (stream, _) = dump(&sample());
    let mut keyspace = MemoryKeyspace::new(1);
    assert!(digest_keyspace(&keyspace).is_err());
    assert!(load_into(&mut keyspace, &mut SnapshotReader::new(&stream[..]).unwrap()).is_err());
}

#[test]
fn the_digest_changes_with_everything_that_is_content_and_with_nothing_else() {
    let reference = digest_keyspace(&sample()).unwrap();
    let changes: [fn(&mut MemoryKeyspace); 9] = [
        |keyspace| keyspace.set_deadline(b"set", Some(5)).unwrap(),
        |keyspace| keyspace.set_deadline(b"hash", None).unwrap(),
        |keyspace| keyspace.list_set(b"list", 3, b"other").unwrap(),
        |keyspace| assert!(keyspace.zset_put(b"zset", b"low", 0.5).unwrap().is_some()),
        |keyspace| assert!(!keyspace.hash_put(b"hash", &[3], b"other").unwrap()),
        |keyspace| assert!(keyspace.set_put(b"set", b"other").unwrap()),
        |keyspace| keyspace.rename(b"set", b"tes").unwrap(),
        |keyspace| keyspace.string_write(b"empty", 0, b"x").unwrap(),
        |keyspace| {
            let head = keyspace.list_pop(b"list", End::Tail).unwrap().unwrap();
            keyspace.list_push(b"list", End::Head, &head).unwrap();
        },
    ];
    let mut digests = vec![reference];
    for change in changes {
        let mut keyspace = sample();
        change(&mut keyspace);
        digests.push(digest_keyspace(&keyspace).unwrap());
    }
    for (index, digest) in digests.iter().enumerate() {
        assert!(!digests[..index].contains(digest), "change {index}");
    }
    let mut keyspace = sample();
    keyspace.set_remove(b"set", &[3]).unwrap();
    keyspace.set_put(b"set", &[3]).unwrap();
    assert_eq!(digest_keyspace(&keyspace).unwrap(), reference);
}

#[test]
fn a_big_string_passes_in_bounded_pieces() {
    let mut keyspace = MemoryKeyspace::new(0);
    keyspace.string_put(b"big", &b"0123456789".repeat(300_000), None).unwrap();
    let (stream, _) = dump(&keyspace);
    let mut reader = SnapshotReader::new(&stream[..]).unwrap();
    let (mut pieces, mut bytes) = (0, 0);
    loop {
        match reader.next_item().unwrap() {
            Item::Chunk(piece) => {
                assert!(piece.len() <= super::PIECE);
                pieces += 1;
                bytes += piece.len();
            }
            Item::End(_) => break,
            _ => {}
        }
    }
    assert_eq!(bytes, 3_000_000);
    assert!(pieces >= 12);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_bytes_are_read_without_a_panic(noise in prop::collection::vec(any::<u8>(), 0..2000)) {
        // Noise behind a sound header, and noise inside a sound block.
        let mut stream = Vec::new();
        SnapshotWriter::new(&mut stream, &header()).unwrap();
        prop_assert!(load(&[&stream[..], &noise].concat()).is_err());
        prop_assert!(load(&noise).is_err());
        let mut blocks = super::block::BlockWriter::new(stream).unwrap();
        blocks.put(&noise).unwrap();
        prop_assert!(load(&blocks.finish().unwrap()).is_err());
    }

    #[test]
    fn any_content_survives_the_way_through_a_stream(
        strings in prop::collection::btree_map(any::<Vec<u8>>(), (any::<Vec<u8>>(), any::<Option<u64>>()), 0..8),
        lists in prop::collection::vec(prop::collection::vec(any::<Vec<u8>>(), 1..8), 0..4),
        scores in prop::collection::vec((any::<Vec<u8>>(), prop::num::f64::NORMAL), 0..8),
    ) {
        let mut keyspace = MemoryKeyspace::new(0);
        for (key, (value, deadline)) in &strings {
            // At the time 0 a key with the deadline 0 is due, and cannot be.
            keyspace.string_put(key, value, deadline.filter(|deadline| *deadline > 0)).unwrap();
        }
        for (index, list) in lists.iter().enumerate() {
            let key = format!("a list behind all generated keys {index:0200}");
            list.iter().for_each(|element| keyspace.list_push(key.as_bytes(), End::Tail, element).unwrap());
        }
        let key = format!("a sorted set behind all generated keys {:0200}", 0);
        for (member, score) in &scores {
            keyspace.zset_put(key.as_bytes(), member, *score).unwrap();
        }
        let (stream, digest) = dump(&keyspace);
        let (loaded, _, _) = load(&stream).unwrap();
        prop_assert_eq!(digest_keyspace(&loaded).unwrap(), digest);
        prop_assert_eq!(dump(&loaded).0, stream);
    }
}
