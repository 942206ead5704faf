//! `WATCH`, `RAFT.REVISION` and `RAFT.IF`: what depends on a key not having changed, on several nodes.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use raft_proxy::resp::reply::Protocol;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use redis::{Connection, RedisResult, Value};
use tests::ask::{self, ask, text_of};
use tests::cluster::Cluster;
use tests::differential::call;
use tests::differential::server::RedisServer;
use tests::engine::{self, Engine};
use tests::raw::Client;
use tests::stops_all::StopsAll;

fn start(engine: Engine) -> Cluster {
    let cluster = Cluster::start(&[engine; 3]);
    cluster.wait_for_newest_version();
    cluster
}

/// What clients do between each other's commands. A key that is missing when it is watched is never removed again:
/// there Redis and revisions differ.
const MOVES: &[&str] = &[
    "WATCH a",
    "WATCH b",
    "WATCH a b none",
    "UNWATCH",
    "MULTI",
    "EXEC",
    "EXEC",
    "DISCARD",
    "GET s",
    "SET s 1",
    "SET s 1",
    "INCR s",
    "HSET a f 1",
    "HSET a f 1",
    "HGET a f",
    "HSETNX a f 2",
    "HDEL a missing",
    "RPUSH b x",
    "LSET b 0 x",
    "LINSERT b BEFORE x y",
    "LREM b 1 missing",
    "LTRIM b 0 -1",
    "EXPIRE a 1000",
    "PERSIST a",
    "PERSIST b",
    "DEL missing",
    "SETRANGE s 0 9",
    "GETSET s 5",
    "WATCH s",
    "WATCH z",
    "ZADD z 1 m",
    "ZADD z 1 m",
    "ZADD z 2 m",
    "ZINCRBY z 0 m",
    "SADD t m",
    "SREM t missing",
    "WATCH t",
    "SETBIT s 1 0",
    "APPEND s 1",
    "LPUSHX none x",
    "RENAME s s",
    "COPY s copy REPLACE",
    "WATCH copy",
    "TOUCH a",
    "OBJECT ENCODING a",
    "MULTI",
    "PING",
    "LLEN b",
];

#[test]
fn clients_that_watch_the_same_keys_are_told_what_redis_tells_them() {
    engine::on_each(interleave);
}

fn interleave(engine: Engine) {
    let cluster = start(engine);
    let redis = RedisServer::start();
    let mut theirs: Vec<_> = (0..3).map(|_| redis.connect(Protocol::Resp2)).collect();
    let mut ours: Vec<Client> = cluster.ports().into_iter().map(Client::connect).collect();
    let (seed, mut nil, mut done) = (rand::random::<u64>(), 0, 0);
    let mut chance = StdRng::seed_from_u64(seed);
    let begin = ["FLUSHALL", "SET s 7", "HSET a f 0", "RPUSH b x", "ZADD z 1 m", "SADD t m"];
    let moves: Vec<&str> = (0..2500).map(|_| MOVES[chance.random_range(0..MOVES.len())]).collect();
    for line in begin.into_iter().chain(moves) {
        let client = chance.random_range(0..3);
        let expected = format!("{:?}", theirs[client].call(&call(&words(line))));
        let got = ours[client].ask(line);
        assert_eq!(got, expected, "seed {seed}: client {client}: {line}");
        if line == "EXEC" {
            nil += usize::from(got == "null-array");
            done += usize::from(got.starts_with('['));
        }
    }
    assert!(nil > 5 && done > 5, "{nil} transactions were refused, {done} were not");
    cluster.assert_equal_digests();
}

fn words(line: &str) -> Vec<&[u8]> {
    line.split(' ').map(str::as_bytes).collect()
}

#[test]
fn a_watched_key_that_expires_or_was_missing_and_is_made_and_removed() {
    let cluster = start(Engine::Embedded);
    let mut watching = Client::connect(cluster.nodes[0].port);
    let mut other = Client::connect(cluster.nodes[1].port);
    let (ok, queued) = ("+OK", "+QUEUED");
    other.check(&[("SET short 1 PX 50", ok)]);
    watching.check(&[("WATCH short", ok)]);
    thread::sleep(Duration::from_millis(100));
    watching.check(&[("MULTI", ok), ("SET k 1", queued)]);
    assert_eq!(watching.ask("EXEC"), "null-array", "it has expired meanwhile");
    // The one difference to Redis: a key has no revision while it is missing.
    watching.check(&[("WATCH none", ok)]);
    other.ask("SET none 1");
    other.ask("DEL none");
    watching.check(&[("MULTI", ok), ("SET k 1", queued)]);
    assert_eq!(watching.ask("EXEC"), "[+OK]");
}

#[test]
fn counters_raised_under_watch_or_by_revision_lose_no_step_when_leaders_are_killed() {
    engine::on_each(count);
}

/// One step of a counter: the value that it has now, if it was this client that raised it.
type Step = fn(&mut Connection) -> RedisResult<Option<i64>>;

fn step_under_watch(connection: &mut Connection) -> RedisResult<Option<i64>> {
    let () = ask(connection, "WATCH counter")?;
    let next = ask::<Option<i64>>(connection, "GET counter")?.unwrap_or(0) + 1;
    let () = ask(connection, "MULTI")?;
    let () = ask(connection, &format!("SET counter {next}"))?;
    let answer: Option<Vec<String>> = ask(connection, "EXEC")?;
    Ok(answer.map(|_| next))
}

fn step_by_revision(connection: &mut Connection) -> RedisResult<Option<i64>> {
    let (revision, value): (Vec<u64>, Option<i64>) = redis::pipe()
        .atomic()
        .cmd("RAFT.REVISION")
        .arg("counter")
        .cmd("GET")
        .arg("counter")
        .query(connection)?;
    let next = value.unwrap_or(0) + 1;
    let answer: Option<String> =
        ask(connection, &format!("RAFT.IF counter {} SET counter {next}", revision[0]))?;
    Ok(answer.map(|_| next))
}

fn count(engine: Engine) {
    let mut cluster = start(engine);
    let ports = cluster.ports();
    let (done, unknown, stop) = (Mutex::new(BTreeSet::new()), AtomicU64::new(0), AtomicBool::new(false));
    let connect = |number: usize| ask::connect(ports[number % 3]);
    thread::scope(|scope| {
        let _stops = StopsAll(&stop);
        let mut clients = Vec::new();
        for number in 0..6 {
            let (done, unknown, stop, connect) = (&done, &unknown, &stop, &connect);
            let step: Step = if number < 3 { step_under_watch } else { step_by_revision };
            clients.push(scope.spawn(move || {
                let mut connection = connect(number);
                while !stop.load(Ordering::Relaxed) {
                    match step(&mut connection) {
                        Ok(Some(value)) => {
                            let is_new = done.lock().unwrap().insert(value);
                            assert!(is_new, "two clients raised the counter to {value}");
                        }
                        Ok(None) => {}
                        Err(error) => {
                            let is_known = text_of(&error).starts_with("CLUSTERDOWN");
                            unknown.fetch_add(u64::from(!is_known), Ordering::Relaxed);
                            connection = connect(number);
                        }
                    }
                }
            }));
        }
        for _ in 0..2 {
            let before = done.lock().unwrap().len();
            let deadline = Instant::now() + Duration::from_secs(30);
            while done.lock().unwrap().len() < before + 100
                && !clients.iter().any(|client| client.is_finished())
            {
                assert!(Instant::now() < deadline, "the counter is not raised");
                thread::sleep(Duration::from_millis(5));
            }
            let leader = cluster.leader();
            cluster.kill(leader);
            cluster.leader();
            cluster.launch(leader);
        }
        cluster.leader();
    });
    cluster.settle();
    let (done, unknown) = (done.into_inner().unwrap(), unknown.into_inner());
    let last: u64 = ask(&mut cluster.connect(0), "GET counter").unwrap();
    let told = done.len() as u64;
    assert!((told..=told + unknown).contains(&last), "{last} after {told} steps and {unknown} unknown ones");
    cluster.assert_equal_digests();
}

#[test]
fn revisions_are_the_same_on_every_node_and_outlive_restarts_and_snapshots() {
    let mut cluster = start(Engine::Embedded);
    let mut connection = cluster.connect(0);
    for line in ["SET a 1", "SET b 1", "HSET h f 1", "HSET h f 1"] {
        let () = ask(&mut connection, line).unwrap();
    }
    let revisions = "RAFT.REVISION a b h none";
    let told: Vec<u64> = ask(&mut connection, revisions).unwrap();
    assert!(0 < told[0] && told[0] < told[1] && told[1] < told[2] && told[3] == 0, "{told:?}");
    let () = ask(&mut connection, "RAFT.SNAPSHOT CREATE").unwrap();
    let new = cluster.add(Engine::Embedded);
    cluster.launch(new);
    let join = format!("RAFT.CLUSTER JOIN 127.0.0.1:{}", cluster.nodes[0].raft_port);
    let () = ask(&mut cluster.connect(new), &join).unwrap();
    cluster.stop(1);
    cluster.launch(1);
    for node in 0..4 {
        let again: Vec<u64> = ask(&mut cluster.connect(node), revisions).unwrap();
        assert_eq!(again, told, "node {node}");
    }
    cluster.assert_equal_digests();
    let refused = ask::<Value>(&mut connection, "RAFT.IF a 1 PING").unwrap_err();
    assert_eq!(text_of(&refused), "ERR RAFT.IF runs commands on data alone");
}
