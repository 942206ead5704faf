//! Clusters whose nodes have a Kiwi each, on every row of the table that is one.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use tests::ask::{ask, wait_for};
use tests::cluster::{Cluster, PATIENCE};
use tests::engine::{self, ALL_ON_KIWI, Engine};
use tests::history::Writers;
use tests::kiwi::Kiwi;
use tests::ports;

#[test]
fn what_is_written_is_on_every_kiwi() {
    engine::on_each_kiwi(write_and_look);
}

fn write_and_look(engine: Engine) {
    let cluster = Cluster::start_with(&[engine; 3], &ALL_ON_KIWI);
    let mut client = cluster.connect(0);
    let long = "x".repeat(100_000);
    let () = redis::pipe()
        .cmd("SET")
        .arg("string")
        .arg("value")
        .cmd("SET")
        .arg("long")
        .arg(&long)
        .cmd("HSET")
        .arg("hash")
        .arg("field")
        .arg("value")
        .cmd("RPUSH")
        .arg("list")
        .arg("a")
        .arg("b")
        .arg("c")
        .cmd("SADD")
        .arg("set")
        .arg("m")
        .arg(b"\xff\xfe")
        .cmd("ZADD")
        .arg("zset")
        .arg("1.5")
        .arg("m")
        .query(&mut client)
        .unwrap();
    cluster.assert_equal_digests();
    cluster.settle();
    for index in 0..3 {
        let mut plain = cluster.kiwi(index).connect();
        let ask = |plain: &mut redis::Connection, command: &[&str]| -> Vec<String> {
            let mut call = redis::cmd(command[0]);
            command[1..].iter().for_each(|arg| {
                call.arg(arg);
            });
            match call.query::<redis::Value>(plain).unwrap() {
                redis::Value::Array(items) => {
                    items.into_iter().map(|item| redis::from_redis_value(item).unwrap()).collect()
                }
                other => vec![redis::from_redis_value(other).unwrap()],
            }
        };
        assert_eq!(ask(&mut plain, &["GET", "string"]), ["value"]);
        assert_eq!(ask(&mut plain, &["STRLEN", "long"]), ["100000"]);
        assert_eq!(ask(&mut plain, &["HGET", "hash", "field"]), ["value"]);
        assert_eq!(ask(&mut plain, &["LRANGE", "list", "0", "-1"]), ["a", "b", "c"]);
        assert_eq!(ask(&mut plain, &["SCARD", "set"]), ["2"]);
        assert_eq!(ask(&mut plain, &["ZSCORE", "zset", "m"]), ["1.5"]);
        let mut through = cluster.connect(index);
        let value: String = redis::cmd("GET").arg("long").query(&mut through).unwrap();
        assert_eq!(value, long);
        let value: Vec<String> = redis::cmd("LRANGE").arg("list").arg(0).arg(-1).query(&mut through).unwrap();
        assert_eq!(value, ["a", "b", "c"]);
    }
}

#[test]
fn a_walk_over_all_content_does_not_wait_for_each_small_collection() {
    engine::on_each_kiwi(walk_over_small_collections);
}

/// Kiwi's batcher lets every request that comes alone wait for this long.
const KIWI_WAITS: Duration = Duration::from_millis(10);

fn walk_over_small_collections(engine: Engine) {
    const PAIRS: u32 = 1500;
    let cluster = Cluster::start_with(&[engine; 1], &ALL_ON_KIWI);
    let mut client = cluster.connect(0);
    let mut writes = redis::pipe();
    for number in 0..PAIRS {
        writes.cmd("HSET").arg(format!("hash:{number}")).arg("field").arg(number).ignore();
        writes.cmd("RPUSH").arg(format!("list:{number}")).arg(number).ignore();
    }
    let () = writes.query(&mut client).unwrap();
    cluster.settle();
    let began = Instant::now();
    let (_, _): (u64, String) = redis::cmd("RAFT.DIGEST").query(&mut client).unwrap();
    let took = began.elapsed();
    println!("{engine:?}: {took:?}");
    assert!(took < KIWI_WAITS * (2 * PAIRS) / 20, "{took:?}");
}

#[test]
fn a_leader_without_its_kiwi_hands_over_and_what_it_missed_arrives_later() {
    engine::on_each_kiwi(kill_the_leaders_kiwi);
}

fn kill_the_leaders_kiwi(engine: Engine) {
    let mut cluster = Cluster::start_with(&[engine; 3], &ALL_ON_KIWI);
    let leader = cluster.leader();
    let () = redis::cmd("SET").arg("k").arg("before").query(&mut cluster.connect(leader)).unwrap();
    cluster.settle();
    cluster.kiwi_mut(leader).kill();
    let mut there = cluster.connect(leader);
    let refused = redis::cmd("GET").arg("k").query::<String>(&mut there).unwrap_err();
    assert!(refused.to_string().contains("the storage"), "{refused}");
    let deadline = Instant::now() + PATIENCE;
    let next = loop {
        let next = cluster.leader();
        if next != leader {
            break next;
        }
        assert!(Instant::now() < deadline, "{}", cluster.log(leader));
        std::thread::sleep(Duration::from_millis(50));
    };
    let mut at_next = cluster.connect(next);
    let value: String = redis::cmd("GET").arg("k").query(&mut at_next).unwrap();
    assert_eq!(value, "before");
    let () = redis::cmd("SET").arg("k").arg("after").query(&mut at_next).unwrap();
    cluster.kiwi_mut(leader).launch();
    cluster.settle();
    let value: String = redis::cmd("GET").arg("k").query(&mut cluster.kiwi(leader).connect()).unwrap();
    assert_eq!(value, "after");
    cluster.assert_equal_digests();
}

#[test]
fn far_more_than_is_held_in_memory_waits_for_a_kiwi_and_arrives() {
    engine::on_each_kiwi(write_much_while_a_kiwi_is_away);
}

fn write_much_while_a_kiwi_is_away(engine: Engine) {
    const KEYS: u64 = 400_000;
    let mut cluster = Cluster::start_with(&[engine; 3], &ALL_ON_KIWI);
    let leader = cluster.leader();
    let away = (leader + 1) % 3;
    let mut client = cluster.connect(leader);
    cluster.kiwi_mut(away).kill();
    let () = ask(&mut client, "HSET from field value").unwrap();
    let () = ask(&mut client, "RENAME from to").unwrap();
    for first in (0..KEYS).step_by(1000) {
        let mut call = redis::cmd("MSET");
        for number in first..first + 1000 {
            call.arg(format!("key:{number}")).arg(number);
        }
        let () = call.query(&mut client).unwrap();
    }
    let () = ask(&mut client, "RENAME to last").unwrap();
    // The last ones are not written down yet.
    wait_for("the changes wait for a Kiwi", || waiting(&cluster, away) > KEYS / 2);
    cluster.kill(away);
    cluster.launch(away);
    cluster.kiwi_mut(away).launch();
    cluster.settle();
    assert_eq!(waiting(&cluster, away), 0);
    let mut plain = cluster.kiwi(away).connect();
    for first in (0..KEYS).step_by(1000) {
        let mut call = redis::cmd("MGET");
        (first..first + 1000).for_each(|number| {
            call.arg(format!("key:{number}"));
        });
        let values: Vec<u64> = call.query(&mut plain).unwrap();
        assert!(values.into_iter().eq(first..first + 1000), "{first}");
    }
    let value: String = ask(&mut plain, "HGET last field").unwrap();
    let gone: u64 = ask(&mut plain, "EXISTS from to").unwrap();
    assert_eq!((value.as_str(), gone), ("value", 0));
    cluster.assert_equal_digests();
}

fn waiting(cluster: &Cluster, index: usize) -> u64 {
    cluster.backend(index, "pending_changes").parse().unwrap()
}

#[test]
fn content_is_compared_while_a_snapshot_is_installed() {
    engine::on_each_kiwi(compare_while_installing);
}

fn compare_while_installing(engine: Engine) {
    let often = [("raft.snapshot_log_bytes", "1MiB"), ("raft.keep_entries", "10")];
    let mut cluster = Cluster::start_with(&[engine; 3], &[&ALL_ON_KIWI[..], &often].concat());
    let leader = cluster.leader();
    let away = (leader + 1) % 3;
    let mut client = cluster.connect(leader);
    let mut lists = redis::pipe();
    for number in 0..3000 {
        lists.cmd("RPUSH").arg(format!("list:{number}")).arg(number).arg("end").ignore();
    }
    let () = lists.query(&mut client).unwrap();
    cluster.assert_equal_digests();
    cluster.settle();
    cluster.kill(away);
    let before = cluster.status(leader).unwrap().applied;
    let filler = "v".repeat(64 * 1024);
    wait_for("the log is purged", || {
        let () = redis::cmd("SET").arg("filler").arg(&filler).query(&mut client).unwrap();
        cluster.status(leader).is_some_and(|status| status.purged > before)
    });
    cluster.launch(away);
    let mut asked = 0;
    while cluster.status(away).is_none_or(|status| status.snapshot <= before) {
        let digest: redis::RedisResult<(u64, String)> = ask(&mut cluster.connect(away), "RAFT.DIGEST");
        asked += u32::from(digest.is_ok());
        if let Err(error) = digest {
            assert!(!error.to_string().contains("lost"), "{error}");
        }
    }
    println!("{engine:?}: {asked} times");
    cluster.assert_equal_digests();
}

#[test]
fn a_kiwi_that_is_not_this_nodes_is_not_used_and_keeps_what_it_has() {
    engine::on_each_kiwi(put_others_in_a_kiwis_place);
}

fn put_others_in_a_kiwis_place(engine: Engine) {
    let mut cluster = Cluster::start(&[engine; 3]);
    let victim = (cluster.leader() + 1) % 3;
    let () = redis::cmd("SET").arg("k").arg("v").query(&mut cluster.connect(victim)).unwrap();
    cluster.settle();
    let mut client = cluster.connect(victim);
    let refused =
        redis::cmd("SET").arg("__raft_proxy__:mark:0").arg("x").query::<()>(&mut client).unwrap_err();
    assert!(refused.to_string().contains("reserved"), "{refused}");
    // Another node's.
    cluster.kill(victim);
    let address = cluster.kiwi((victim + 1) % 3).address();
    cluster.nodes[victim].set("storage.address", &address);
    cluster.launch(victim);
    cluster.wait_for_storage(victim, "the data of another node");
    // Somebody's.
    cluster.kill(victim);
    let stranger = Kiwi::start_anywhere(engine, &[]);
    let () = redis::cmd("SET").arg("precious").arg("v").query(&mut stranger.connect()).unwrap();
    cluster.nodes[victim].set("storage.address", &stranger.address());
    cluster.launch(victim);
    cluster.wait_for_storage(victim, "without this node's mark");
    let value: String = redis::cmd("GET").arg("precious").query(&mut stranger.connect()).unwrap();
    assert_eq!(value, "v");
}

#[test]
fn how_it_stands_with_kiwi_is_told_over_resp_and_to_prometheus() {
    engine::on_each_kiwi(ask_how_it_stands);
}

fn ask_how_it_stands(engine: Engine) {
    let mut cluster =
        Cluster::prepare(&[engine], &[("storage.keep_values", "0"), ("storage.cache_size", "1MiB")]);
    let http = ports::free();
    cluster.nodes[0].set("listen.http", &format!("127.0.0.1:{http}"));
    cluster.launch_all();
    let mut client = cluster.connect(0);
    let () = redis::cmd("SET").arg("k").arg("v").query(&mut client).unwrap();
    cluster.settle();
    for _ in 0..3 {
        let value: String = redis::cmd("GET").arg("k").query(&mut client).unwrap();
        assert_eq!(value, "v");
    }
    let text = |name: &str| cluster.backend(0, name);
    assert_eq!(
        (text("kind"), text("state"), text("instances")),
        ("kiwi".into(), "up".into(), "several".into())
    );
    assert_eq!(text("address"), cluster.kiwi(0).address());
    assert_eq!(text("pending_changes"), "0");
    assert!(text("cache_hits").parse::<u64>().unwrap() >= 2);
    let info: String = redis::cmd("INFO").arg("storage").query(&mut client).unwrap();
    assert!(info.contains("storage_kind:kiwi\r\n") && info.contains("storage_state:up\r\n"), "{info}");
    let metrics = scrape(http);
    for line in
        ["raft_proxy_storage_up 1", "raft_proxy_storage_cache_hits_total ", "raft_proxy_storage_cache_bytes "]
    {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
    cluster.kiwi_mut(0).kill();
    cluster.wait_for_storage(0, "nobody listens");
    assert_eq!(cluster.backend(0, "state"), "down");
    assert!(scrape(http).contains("raft_proxy_storage_up 0"));
}

fn scrape(port: u16) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn no_acknowledged_write_is_lost_or_doubled_when_nodes_and_kiwis_are_killed() {
    engine::on_each_kiwi(kill_nodes_and_kiwis);
}

fn kill_nodes_and_kiwis(engine: Engine) {
    let mut cluster = Cluster::start_with(&[engine; 3], &ALL_ON_KIWI);
    let writers = Writers::start(16, cluster.ports());
    writers.wait_for(300);
    for round in 0..6 {
        let leader = cluster.leader();
        let victim = (leader + round) % 3;
        match round % 3 {
            0 => {
                cluster.kill(victim);
                writers.wait_for(50);
                cluster.launch(victim);
            }
            1 => {
                cluster.kiwi_mut(victim).kill();
                writers.wait_for(50);
                cluster.kiwi_mut(victim).launch();
            }
            _ => {
                cluster.kill(victim);
                cluster.kiwi_mut(victim).kill();
                writers.wait_for(50);
                cluster.launch(victim);
                cluster.kiwi_mut(victim).launch();
            }
        }
        cluster.leader();
        writers.wait_for(100);
    }
    let history = writers.finish();
    println!("{} acknowledged, {} unknown", history.acknowledged(), history.unknown());
    cluster.settle();
    for index in 0..3 {
        history.check(&mut cluster.connect(index));
    }
    cluster.assert_equal_digests();
}
