//! Clusters whose nodes have a Kiwi each: the stand-in, or a real one where `KIWI_BIN` names it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use std::path::Path;
use std::time::{Duration, Instant};

use tests::cluster::{Cluster, PATIENCE};
use tests::history::Writers;
use tests::kiwi::{Kiwi, real};

/// Three nodes, each with its Kiwi.
struct Nodes {
    cluster: Cluster,
    kiwis: Vec<Kiwi>,
}

impl Nodes {
    fn start(settings: &[(&str, &str)]) -> Self {
        let settings = [&[("storage.kind", "kiwi"), ("storage.settle_time", "1s")], settings].concat();
        let mut cluster = Cluster::prepare(3, &settings);
        let kiwis: Vec<Kiwi> =
            (0..3).map(|index| Kiwi::start(&cluster.dir().join(format!("kiwi{index}")), &[])).collect();
        for (node, kiwi) in cluster.nodes.iter_mut().zip(&kiwis) {
            node.settings.push(("storage.address".to_owned(), kiwi.address()));
        }
        for index in 0..3 {
            cluster.launch(index);
        }
        cluster.leader();
        Self { cluster, kiwis }
    }

    fn ports(&self) -> Vec<u16> {
        self.cluster.nodes.iter().map(|node| node.port).collect()
    }

    /// Waits until every Kiwi has everything.
    fn settle(&self) {
        let deadline = Instant::now() + PATIENCE;
        for index in 0..3 {
            loop {
                let storage = self.cluster.status(index).map(|status| status.storage);
                if storage
                    .as_ref()
                    .is_some_and(|storage| storage.ok && storage.detail.contains("; 0 changes"))
                {
                    break;
                }
                assert!(Instant::now() < deadline, "{storage:?}\n{}", self.cluster.log(index));
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

#[test]
fn what_is_written_is_on_every_kiwi() {
    let nodes = Nodes::start(&[("storage.keep_values", "0"), ("storage.cache_size", "0")]);
    let mut client = nodes.cluster.connect(0);
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
    nodes.cluster.assert_equal_digests();
    nodes.settle();
    for (index, kiwi) in nodes.kiwis.iter().enumerate() {
        let mut plain = kiwi.connect();
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
        let mut through = nodes.cluster.connect(index);
        let value: String = redis::cmd("GET").arg("long").query(&mut through).unwrap();
        assert_eq!(value, long);
        let value: Vec<String> = redis::cmd("LRANGE").arg("list").arg(0).arg(-1).query(&mut through).unwrap();
        assert_eq!(value, ["a", "b", "c"]);
    }
}

#[test]
fn a_leader_without_its_kiwi_hands_over_and_what_it_missed_arrives_later() {
    let mut nodes = Nodes::start(&[("storage.keep_values", "0"), ("storage.cache_size", "0")]);
    let leader = nodes.cluster.leader();
    let () = redis::cmd("SET").arg("k").arg("before").query(&mut nodes.cluster.connect(leader)).unwrap();
    nodes.settle();
    nodes.kiwis[leader].kill();
    let mut there = nodes.cluster.connect(leader);
    let refused = redis::cmd("GET").arg("k").query::<String>(&mut there).unwrap_err();
    assert!(refused.to_string().contains("the storage"), "{refused}");
    let deadline = Instant::now() + PATIENCE;
    let next = loop {
        let next = nodes.cluster.leader();
        if next != leader {
            break next;
        }
        assert!(Instant::now() < deadline, "{}", nodes.cluster.log(leader));
        std::thread::sleep(Duration::from_millis(50));
    };
    let mut at_next = nodes.cluster.connect(next);
    let value: String = redis::cmd("GET").arg("k").query(&mut at_next).unwrap();
    assert_eq!(value, "before");
    let () = redis::cmd("SET").arg("k").arg("after").query(&mut at_next).unwrap();
    nodes.kiwis[leader].launch();
    nodes.settle();
    let value: String = redis::cmd("GET").arg("k").query(&mut nodes.kiwis[leader].connect()).unwrap();
    assert_eq!(value, "after");
    nodes.cluster.assert_equal_digests();
}

/// Waits until a node says this of its storage.
fn wait_for_storage(cluster: &Cluster, index: usize, text: &str) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let detail = cluster.status(index).map(|status| status.storage.detail);
        if detail.as_ref().is_some_and(|detail| detail.contains(text)) {
            return;
        }
        assert!(Instant::now() < deadline, "{detail:?}\n{}", cluster.log(index));
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_kiwi_that_is_not_this_nodes_is_not_used_and_keeps_what_it_has() {
    let mut nodes = Nodes::start(&[]);
    let victim = (nodes.cluster.leader() + 1) % 3;
    let mut client = nodes.cluster.connect(victim);
    let () = redis::cmd("SET").arg("k").arg("v").query(&mut client).unwrap();
    nodes.settle();
    let refused =
        redis::cmd("SET").arg("__raft_proxy__:mark:0").arg("x").query::<()>(&mut client).unwrap_err();
    assert!(refused.to_string().contains("reserved"), "{refused}");
    // Another node's.
    nodes.cluster.kill(victim);
    let address = nodes.kiwis[(victim + 1) % 3].address();
    nodes.cluster.nodes[victim].settings[0].1 = address;
    nodes.cluster.launch(victim);
    wait_for_storage(&nodes.cluster, victim, "the data of another node");
    // Somebody's.
    nodes.cluster.kill(victim);
    let stranger = Kiwi::start(&nodes.cluster.dir().join("stranger"), &[]);
    let () = redis::cmd("SET").arg("precious").arg("v").query(&mut stranger.connect()).unwrap();
    nodes.cluster.nodes[victim].settings[0].1 = stranger.address();
    nodes.cluster.launch(victim);
    wait_for_storage(&nodes.cluster, victim, "without this node's mark");
    let value: String = redis::cmd("GET").arg("precious").query(&mut stranger.connect()).unwrap();
    assert_eq!(value, "v");
}

/// What may happen to a Kiwi behind the back of its node.
#[derive(Clone, Copy, Debug)]
enum Loss {
    Flushed,
    OneKeyRemoved,
    Wiped,
    OlderCopy,
    PowerCut,
}

/// Has it happen; the older copy is in `copy`.
fn inflict(loss: Loss, kiwi: &mut Kiwi, copy: &Path) {
    match loss {
        Loss::Flushed => redis::cmd("FLUSHALL").query(&mut kiwi.connect()).unwrap(),
        Loss::OneKeyRemoved => redis::cmd("DEL").arg("early").query(&mut kiwi.connect()).unwrap(),
        Loss::Wiped => {
            kiwi.kill();
            std::fs::remove_dir_all(kiwi.data_dir()).unwrap();
            kiwi.launch();
        }
        Loss::OlderCopy => {
            kiwi.kill();
            std::fs::remove_dir_all(kiwi.data_dir()).unwrap();
            copy_dir(copy, &kiwi.data_dir());
            kiwi.launch();
        }
        Loss::PowerCut => {
            kiwi.cut_power();
            kiwi.launch();
        }
    }
}

fn copy_dir(from: &Path, to: &Path) {
    let copied = std::process::Command::new("cp").arg("-r").arg(from).arg(to).status().unwrap();
    assert!(copied.success());
}

/// The values that a node gives to `GET`, or its error.
fn get(client: &mut redis::Connection, key: &str) -> Result<Option<String>, String> {
    redis::cmd("GET").arg(key).query(client).map_err(|error| error.to_string())
}

fn recovers_from(loss: Loss, settings: &[(&str, &str)]) {
    let all = [&[("storage.keep_values", "0"), ("storage.cache_size", "0")], settings].concat();
    let mut nodes = Nodes::start(&all);
    let victim = (nodes.cluster.leader() + 1) % 3;
    let mut client = nodes.cluster.connect(victim);
    let () = redis::cmd("SET").arg("early").arg("value").query(&mut client).unwrap();
    nodes.settle();
    let copy = nodes.cluster.dir().join("copy");
    nodes.kiwis[victim].kill();
    copy_dir(&nodes.kiwis[victim].data_dir(), &copy);
    nodes.kiwis[victim].launch();
    nodes.settle();
    let writers = Writers::start(8, nodes.ports());
    writers.wait_for(200);
    for field in 0..200 {
        let name = format!("f{field}");
        let () = redis::cmd("HSET").arg("hash").arg(&name).arg(name.repeat(20)).query(&mut client).unwrap();
        let () = redis::cmd("RPUSH").arg("list").arg(name.repeat(10)).query(&mut client).unwrap();
    }
    inflict(loss, &mut nodes.kiwis[victim], &copy);
    let deadline = Instant::now() + PATIENCE;
    let rebuilt = |nodes: &Nodes| nodes.cluster.log(victim).contains("the storage has been rebuilt");
    while !rebuilt(&nodes) || get(&mut client, "early") != Ok(Some("value".to_owned())) {
        let seen = get(&mut client, "early");
        assert!(
            seen.as_ref().is_ok_and(|value| value.as_deref() == Some("value")) || seen.is_err(),
            "{seen:?}"
        );
        assert!(Instant::now() < deadline, "{loss:?} {seen:?}\n{}", nodes.cluster.log(victim));
        std::thread::sleep(Duration::from_millis(20));
    }
    writers.wait_for(100);
    let history = writers.finish();
    nodes.settle();
    history.check(&mut nodes.cluster.connect(victim));
    nodes.cluster.assert_equal_digests();
    let on_kiwi: Vec<String> =
        redis::cmd("LRANGE").arg("list").arg(0).arg(-1).query(&mut nodes.kiwis[victim].connect()).unwrap();
    assert_eq!(on_kiwi.len(), 200, "{loss:?}");
    assert!(on_kiwi.iter().enumerate().all(|(at, value)| *value == format!("f{at}").repeat(10)));
}

#[test]
fn a_kiwi_that_was_flushed_is_filled_again() {
    recovers_from(Loss::Flushed, &[]);
}

#[test]
fn a_kiwi_that_was_wiped_is_filled_from_snapshot_and_log() {
    recovers_from(Loss::Wiped, &[("raft.snapshot_log_bytes", "64KiB"), ("raft.keep_entries", "10")]);
}

#[test]
fn an_older_copy_of_a_kiwi_is_noticed_and_replaced() {
    recovers_from(Loss::OlderCopy, &[]);
}

#[test]
fn a_value_that_somebody_has_removed_from_kiwi_is_noticed_by_its_reader() {
    recovers_from(Loss::OneKeyRemoved, &[("raft.snapshot_log_bytes", "64KiB"), ("raft.keep_entries", "10")]);
}

#[test]
fn a_kiwi_that_lost_its_tail_in_a_power_cut_is_filled_again() {
    // Only the stand-in can lose power.
    if real().is_none() {
        recovers_from(Loss::PowerCut, &[]);
    }
}

#[test]
fn no_acknowledged_write_is_lost_or_doubled_when_nodes_and_kiwis_are_killed() {
    let mut nodes = Nodes::start(&[("storage.keep_values", "0"), ("storage.cache_size", "0")]);
    let writers = Writers::start(16, nodes.ports());
    writers.wait_for(300);
    for round in 0..6 {
        let leader = nodes.cluster.leader();
        let victim = (leader + round) % 3;
        match round % 3 {
            0 => {
                nodes.cluster.kill(victim);
                writers.wait_for(50);
                nodes.cluster.launch(victim);
            }
            1 => {
                nodes.kiwis[victim].kill();
                writers.wait_for(50);
                nodes.kiwis[victim].launch();
            }
            _ => {
                nodes.cluster.kill(victim);
                nodes.kiwis[victim].kill();
                writers.wait_for(50);
                nodes.cluster.launch(victim);
                nodes.kiwis[victim].launch();
            }
        }
        nodes.cluster.leader();
        writers.wait_for(100);
    }
    let history = writers.finish();
    println!("{} acknowledged, {} unknown", history.acknowledged(), history.unknown());
    nodes.settle();
    for index in 0..3 {
        history.check(&mut nodes.cluster.connect(index));
    }
    nodes.cluster.assert_equal_digests();
}
