//! A log full of deadlines that have long passed, on a node that was away: it has what the others have, whether the log
//! or a snapshot brings it.

use std::collections::BTreeMap;

use redis::{Connection, Pipeline};
use tests::ask::wait_for;
use tests::cluster::Cluster;
use tests::engine::{self, ALL_ON_KIWI, Engine};

/// Keys of each type and fate.
const KEYS: usize = 50;
/// The first deadline, from when it is set, milliseconds. Until then, what comes behind it in a round has arrived.
const SOON: usize = 2500;
/// How far apart the first and the last deadline are, milliseconds.
const SPREAD: usize = 500;
/// A deadline that does not come.
const LATE: usize = 3_600_000;
const KINDS: [&str; 5] = ["string", "hash", "list", "set", "zset"];

/// What becomes of a key that has a deadline.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Expires,
    /// Set to a string without.
    Overwritten,
    Persisted,
    /// Its deadline is set anew.
    Prolonged,
    /// It had passed when it was set.
    Past,
    /// Expires under another name.
    Renamed,
    /// A copy of it is persisted.
    Copied,
    /// Something is added, and it expires.
    Grown,
    /// It expires, and comes again as something else.
    Recreated,
}

use Fate::{Copied, Expires, Grown, Overwritten, Past, Persisted, Prolonged, Recreated, Renamed};

const FATES: [Fate; 9] =
    [Expires, Overwritten, Persisted, Prolonged, Past, Renamed, Copied, Grown, Recreated];

/// The keys that are left: their types, and whether they have a deadline.
type Left = BTreeMap<String, (&'static str, bool)>;

/// Writes something of a type to a key, or adds to it.
fn put(pipe: &mut Pipeline, kind: &str, key: &str, part: usize) {
    let value = format!("{key}:{part}").repeat(4);
    match kind {
        "string" => pipe.cmd("APPEND").arg(key).arg(value),
        "hash" => pipe.cmd("HSET").arg(key).arg(part).arg(value),
        "list" => pipe.cmd("RPUSH").arg(key).arg(value),
        "set" => pipe.cmd("SADD").arg(key).arg(value),
        _ => pipe.cmd("ZADD").arg(key).arg(part).arg(value),
    }
    .ignore();
}

/// One key's commands up to its deadline; what is to be left of it goes to `left`.
fn live(pipe: &mut Pipeline, key: &str, kind: &'static str, fate: Fate, deadline: usize, left: &mut Left) {
    put(pipe, kind, key, 0);
    put(pipe, kind, key, 1);
    pipe.cmd("PEXPIRE").arg(key).arg(deadline).ignore();
    match fate {
        Expires => {}
        Overwritten => {
            pipe.cmd("SET").arg(key).arg("over").ignore();
            left.insert(key.to_owned(), ("string", false));
        }
        Persisted => {
            pipe.cmd("PERSIST").arg(key).ignore();
            left.insert(key.to_owned(), (kind, false));
        }
        Prolonged => {
            pipe.cmd("PEXPIRE").arg(key).arg(LATE).ignore();
            left.insert(key.to_owned(), (kind, true));
        }
        Past => {
            pipe.cmd("PEXPIREAT").arg(key).arg(1).ignore();
        }
        Renamed => {
            pipe.cmd("RENAME").arg(key).arg(format!("{key}:renamed")).ignore();
        }
        Copied => {
            let copy = format!("{key}:copy");
            pipe.cmd("COPY").arg(key).arg(&copy).ignore().cmd("PERSIST").arg(&copy).ignore();
            left.insert(copy, (kind, false));
        }
        Grown => put(pipe, kind, key, 2),
        Recreated => {
            let next = KINDS.iter().position(|other| *other == kind).map_or(0, |index| index + 1);
            left.insert(key.to_owned(), (KINDS[next % KINDS.len()], false));
        }
    }
}

/// Writes keys of every type and fate, and waits until the log has removed those that expire.
fn pass_deadlines(node: &mut Connection, round: usize, left: &mut Left) {
    let mut again = Pipeline::new();
    for number in 0..KEYS {
        let mut pipe = Pipeline::new();
        for kind in KINDS {
            for fate in FATES {
                let key = format!("{round}:{kind}:{fate:?}:{number}");
                live(&mut pipe, &key, kind, fate, SOON + number * SPREAD / KEYS, left);
                if let (Recreated, Some((next, _))) = (fate, left.get(&key)) {
                    put(&mut again, next, &key, 0);
                }
            }
        }
        let () = pipe.query(node).unwrap();
    }
    let recreated = KINDS.len() * KEYS;
    wait_for("the log removes what is due", || count(node) == left.len() - recreated);
    let () = again.query(node).unwrap();
}

fn count(node: &mut Connection) -> usize {
    redis::cmd("DBSIZE").query(node).unwrap()
}

/// Checks what a node has.
fn check(node: &mut Connection, left: &Left) {
    assert_eq!(count(node), left.len());
    let mut pipe = Pipeline::new();
    for key in left.keys() {
        pipe.cmd("TYPE").arg(key).cmd("PTTL").arg(key);
    }
    let found: Vec<redis::Value> = pipe.query(node).unwrap();
    for ((key, (kind, has_deadline)), found) in left.iter().zip(found.chunks_exact(2)) {
        let found_kind: String = redis::from_redis_value(found[0].clone()).unwrap();
        let ttl: i64 = redis::from_redis_value(found[1].clone()).unwrap();
        assert_eq!((&found_kind[..], ttl > 0), (*kind, *has_deadline), "{key}: {ttl} ms");
    }
}

/// Both followers, one after the other, are away while deadlines pass.
fn come_back(engines: &[Engine], by_snapshot: bool) {
    let settings = [("raft.snapshot_log_bytes", "1MiB"), ("raft.keep_entries", "10")];
    let settings = [if by_snapshot { &settings[..] } else { &[] }, &ALL_ON_KIWI].concat();
    let mut cluster = Cluster::start_with(engines, &settings);
    let leader = cluster.leader();
    let mut left = Left::new();
    for away in (0..engines.len()).filter(|index| *index != leader) {
        let before = cluster.status(away).unwrap();
        cluster.kill(away);
        let mut at_leader = cluster.connect(leader);
        pass_deadlines(&mut at_leader, away, &mut left);
        if by_snapshot {
            purge(&cluster, leader, before.applied);
        }
        cluster.launch(away);
        cluster.leader();
        cluster.assert_equal_digests();
        let snapshot = cluster.status(away).unwrap().snapshot;
        assert_eq!(snapshot > before.applied, by_snapshot, "it came back otherwise: {snapshot}, {before:?}");
        for index in [away, leader] {
            check(&mut cluster.connect(index), &left);
        }
        cluster.settle();
        cluster.assert_equal_digests();
    }
}

/// Writes keys that expire at once until the leader's log begins behind an index.
fn purge(cluster: &Cluster, leader: usize, index: u64) {
    let mut node = cluster.connect(leader);
    let value = "v".repeat(16 * 1024);
    let fillers: Vec<String> = (0..20).map(|key| format!("filler:{key}")).collect();
    wait_for("the log is purged", || {
        let mut pipe = Pipeline::new();
        for filler in &fillers {
            pipe.cmd("SET").arg(filler).arg(&value).arg("PX").arg(1);
        }
        let () = pipe.query(&mut node).unwrap();
        cluster.status(leader).is_some_and(|status| status.purged > index)
    });
    let () = redis::cmd("DEL").arg(&fillers).query(&mut node).unwrap();
}

#[test]
fn a_node_that_was_away_while_deadlines_passed_has_by_the_log_what_the_others_have() {
    engine::on_each(|engine| come_back(&[engine; 3], false));
}

#[test]
fn a_node_that_was_away_while_deadlines_passed_has_by_snapshot_what_the_others_have() {
    engine::on_each(|engine| come_back(&[engine; 3], true));
}

#[test]
fn deadlines_mean_the_same_on_engines_that_are_mixed_in_one_cluster() {
    engine::on_each_kiwi(|kiwi| {
        come_back(&[Engine::Embedded, kiwi, kiwi], false);
        come_back(&[Engine::Embedded, kiwi, kiwi], true);
    });
}
