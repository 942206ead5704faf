//! The zset commands against transcripts of a real Redis, and where a transcript cannot show it.

use crate::command;
use crate::keyspace::{Keyspace, KeyspaceMut};
use crate::memory::MemoryKeyspace;
use crate::memory::transcript::{replay, run};
use crate::reply::Reply;

#[test]
fn every_command_answers_as_redis_7_0_does() {
    replay(include_str!("transcript.txt"));
}

/// A sorted set of the members m0000, m0001 …, each scored by its number, a few of them alike.
fn filled(count: u64) -> MemoryKeyspace {
    let mut keyspace = MemoryKeyspace::new(0);
    for number in 0..count {
        keyspace.zset_put(b"z", format!("m{number:04}").as_bytes(), (number / 3) as f64).unwrap();
    }
    keyspace
}

#[test]
fn the_rank_of_every_member_is_its_place() {
    let mut keyspace = filled(700);
    for number in 0..700 {
        assert_eq!(run(&mut keyspace, &format!("ZRANK z m{number:04}")), format!(":{number}"));
        assert_eq!(run(&mut keyspace, &format!("ZREVRANK z m{number:04}")), format!(":{}", 699 - number));
    }
}

#[test]
fn the_score_that_redis_7_2_gives_with_a_rank_is_there() {
    let mut keyspace = filled(9);
    for (call, expected) in [
        ("ZRANK z m0004 WITHSCORE", "*[:4 ,1]"),
        ("ZREVRANK z m0004 withscore", "*[:4 ,1]"),
        ("ZRANK z none WITHSCORE", "_"),
        ("ZRANK none m0004 WITHSCORE", "_"),
        ("ZRANK z m0004 WITHSCORES", "-ERR syntax error"),
        ("ZRANK z m0004 WITHSCORE x", "-ERR wrong number of arguments for 'zrank' command"),
    ] {
        assert_eq!(run(&mut keyspace, call), expected, "{call}");
    }
    assert_eq!(command::read(&keyspace, &[b"ZRANK", b"z", b"none"], 0).unwrap(), Reply::Null);
    let with_score: [&[u8]; 4] = [b"ZRANK", b"z", b"none", b"WITHSCORE"];
    assert_eq!(command::read(&keyspace, &with_score, 0).unwrap(), Reply::NullArray);
}

#[test]
fn ranges_by_rank_are_the_same_from_either_end() {
    let mut keyspace = filled(50);
    for start in 0..50 {
        for stop in start..50 {
            let names = |numbers: &mut dyn Iterator<Item = u64>| {
                numbers.map(|number| format!("'m{number:04}'")).collect::<Vec<_>>().join(" ")
            };
            let forward = format!("*[{}]", names(&mut (start..=stop)));
            assert_eq!(run(&mut keyspace, &format!("ZRANGE z {start} {stop}")), forward);
            let backward = format!("*[{}]", names(&mut (49 - stop..=49 - start).rev()));
            assert_eq!(run(&mut keyspace, &format!("ZREVRANGE z {start} {stop}")), backward);
        }
    }
}

#[test]
fn algebra_over_several_pages_misses_nothing() {
    let mut keyspace = filled(5000);
    for number in (0..5000).step_by(5) {
        keyspace.set_put(b"s", format!("m{number:04}").as_bytes()).unwrap();
    }
    for (call, expected) in [
        ("ZINTERSTORE d 2 z s", 1000),
        ("ZINTERCARD 2 z s", 1000),
        ("ZINTERCARD 2 z s LIMIT 7", 7),
        ("ZDIFFSTORE d 2 z s", 4000),
        ("ZUNIONSTORE d 2 d s", 5000),
        ("ZREMRANGEBYSCORE d (1 (100", 236),
    ] {
        assert_eq!(run(&mut keyspace, call), format!(":{expected}"), "{call}");
    }
}

#[test]
fn a_stored_result_has_no_deadline_and_an_added_member_leaves_it() {
    let mut keyspace = filled(3);
    keyspace.set_deadline(b"z", Some(5000)).unwrap();
    run(&mut keyspace, "ZADD z 1 other");
    assert_eq!(keyspace.meta(b"z").unwrap().unwrap().deadline, Some(5000));
    run(&mut keyspace, "ZRANGESTORE z z 0 -1");
    assert_eq!(keyspace.meta(b"z").unwrap().unwrap().deadline, None);
}

#[test]
fn random_members_come_with_their_scores() {
    let mut keyspace = filled(300);
    let words: [&[u8]; 4] = [b"ZRANDMEMBER", b"z", b"9", b"WITHSCORES"];
    let Reply::Pairs(pairs) = command::read(&keyspace, &words, 3).unwrap() else { panic!("no pairs") };
    assert_eq!(pairs.len(), 9);
    for (member, score) in pairs {
        let (Reply::Bulk(member), Reply::Double(score)) = (member, score) else { panic!("other types") };
        assert_eq!(keyspace.zset_score(b"z", &member).unwrap(), Some(score));
    }
    assert_eq!(run(&mut keyspace, "ZRANDMEMBER z -1000").split(' ').count(), 1000);
}
