//! The set commands against transcripts of a real Redis, and where a transcript cannot show it.

use std::collections::HashSet;

use crate::keyspace::{Keyspace, KeyspaceMut};
use crate::memory::MemoryKeyspace;
use crate::memory::transcript::{replay, run};

use super::pages::PAGE;

#[test]
fn every_command_answers_as_redis_7_0_does() {
    replay(include_str!("transcript.txt"));
}

/// Adds the numbers of a range as members.
fn fill(keyspace: &mut MemoryKeyspace, key: &str, numbers: impl Iterator<Item = u64>) {
    for number in numbers {
        keyspace.set_put(key.as_bytes(), number.to_string().as_bytes()).unwrap();
    }
}

#[test]
fn algebra_over_several_pages_misses_nothing_and_repeats_nothing() {
    let mut keyspace = MemoryKeyspace::new(0);
    let most = 4 * PAGE as u64;
    fill(&mut keyspace, "all", 0..most);
    fill(&mut keyspace, "even", (0..most).step_by(2));
    fill(&mut keyspace, "third", (0..most).step_by(3));
    let (sixths, thirds) = (most.div_ceil(6), most.div_ceil(3));
    for (call, expected) in [
        ("SINTERSTORE d all even third", sixths),
        ("SINTERCARD 3 third even all", sixths),
        ("SINTERCARD 2 all even LIMIT 1500", 1500),
        ("SDIFFSTORE d all even", most / 2),
        ("SDIFFSTORE d third even none", thirds - sixths),
        ("SUNIONSTORE d even third", most / 2 + thirds - sixths),
        ("SUNIONSTORE d even d all", most),
        ("SCARD d", most),
    ] {
        assert_eq!(run(&mut keyspace, call), format!(":{expected}"), "{call}");
    }
}

#[test]
fn a_stored_result_has_no_deadline() {
    let mut keyspace = MemoryKeyspace::new(0);
    run(&mut keyspace, "SADD s a b");
    keyspace.set_deadline(b"s", Some(5000)).unwrap();
    assert_eq!(run(&mut keyspace, "SUNIONSTORE s s"), ":2");
    assert_eq!(keyspace.meta(b"s").unwrap().unwrap().deadline, None);
}

#[test]
fn random_members_are_members_and_popped_ones_are_gone() {
    let mut keyspace = MemoryKeyspace::new(0);
    fill(&mut keyspace, "s", 0..500);
    let picked = run(&mut keyspace, "SRANDMEMBER s 20");
    assert_eq!(picked.split(' ').collect::<HashSet<_>>().len(), 20);
    assert_eq!(picked, run(&mut keyspace, "SRANDMEMBER s 20"), "chance comes from the seed alone");
    assert_eq!(run(&mut keyspace, "SRANDMEMBER s -700").split(' ').count(), 700);
    let popped = run(&mut keyspace, "SPOP s 120");
    assert_eq!(run(&mut keyspace, "SCARD s"), ":380");
    for member in popped.trim_matches(['~', '[', ']']).split(' ') {
        assert_eq!(run(&mut keyspace, &format!("SISMEMBER s {}", member.trim_matches('\''))), ":0");
    }
    let one = run(&mut keyspace, "SPOP s");
    assert_eq!(run(&mut keyspace, &format!("SADD s {}", one.trim_matches('\''))), ":1");
}

#[test]
fn a_scan_goes_through_a_set_page_by_page() {
    let mut keyspace = MemoryKeyspace::new(0);
    fill(&mut keyspace, "s", 0..100);
    let (mut cursor, mut seen) = ("0".to_owned(), HashSet::new());
    loop {
        let page = run(&mut keyspace, &format!("SSCAN s {cursor} COUNT 7"));
        let (next, members) = page.trim_start_matches("*[").split_once(" *[").unwrap();
        seen.extend(members.trim_matches(']').split(' ').map(str::to_owned));
        cursor = next.trim_matches('\'').to_owned();
        if cursor == "0" {
            break;
        }
    }
    assert_eq!(seen.len(), 100);
}
