//! Clusters whose nodes have a Kiwi each: the stand-in, or a real one where `KIWI_BIN` names it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use std::time::{Duration, Instant};

use tests::cluster::{Cluster, PATIENCE};
use tests::history::Writers;
use tests::kiwi::Kiwi;

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

#[test]
fn a_kiwi_that_is_not_this_nodes_is_not_used() {
    let mut nodes = Nodes::start(&[]);
    let victim = (nodes.cluster.leader() + 1) % 3;
    let () = redis::cmd("SET").arg("k").arg("v").query(&mut nodes.cluster.connect(victim)).unwrap();
    nodes.settle();
    let detail = |nodes: &Nodes| nodes.cluster.status(victim).map(|status| status.storage.detail);
    let wait_for = |nodes: &Nodes, text: &str| {
        let deadline = Instant::now() + PATIENCE;
        while !detail(nodes).is_some_and(|detail| detail.contains(text)) {
            assert!(Instant::now() < deadline, "{:?}", detail(nodes));
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    let mut client = nodes.cluster.connect(victim);
    let refused =
        redis::cmd("SET").arg("__raft_proxy__:mark:0").arg("x").query::<()>(&mut client).unwrap_err();
    assert!(refused.to_string().contains("reserved"), "{refused}");
    // Emptied behind the node's back.
    let () = redis::cmd("FLUSHALL").query(&mut nodes.kiwis[victim].connect()).unwrap();
    wait_for(&nodes, "none of this node's data any more");
    // Another node's.
    nodes.cluster.kill(victim);
    let address = nodes.kiwis[(victim + 1) % 3].address();
    nodes.cluster.nodes[victim].settings[0].1 = address;
    nodes.cluster.launch(victim);
    wait_for(&nodes, "the data of another node");
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
