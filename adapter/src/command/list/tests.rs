//! The list commands against transcripts of a real Redis, and where a transcript cannot show it.

use crate::keyspace::{Keyspace, KeyspaceMut};
use crate::memory::MemoryKeyspace;
use crate::memory::transcript::{replay, run};

#[test]
fn every_command_answers_as_redis_7_0_does() {
    replay(include_str!("transcript.txt"));
}

#[test]
fn lpos_refuses_the_one_rank_that_has_no_opposite() {
    let mut keyspace = MemoryKeyspace::new(0);
    run(&mut keyspace, "RPUSH l a");
    assert_eq!(
        run(&mut keyspace, "LPOS l a RANK -9223372036854775808"),
        "-ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807"
    );
}

#[test]
fn a_list_of_one_that_is_rotated_keeps_its_deadline() {
    let mut keyspace = MemoryKeyspace::new(0);
    run(&mut keyspace, "RPUSH l a");
    keyspace.set_deadline(b"l", Some(5000)).unwrap();
    assert_eq!(run(&mut keyspace, "RPOPLPUSH l l"), "'a'");
    assert_eq!(keyspace.meta(b"l").unwrap().unwrap().deadline, Some(5000));
    run(&mut keyspace, "RPUSH l b");
    assert_eq!(run(&mut keyspace, "LMOVE l l LEFT RIGHT"), "'a'");
    assert_eq!(keyspace.meta(b"l").unwrap().unwrap().deadline, Some(5000));
}
