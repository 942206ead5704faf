//! A cluster moves from Kiwis to the embedded storage and back, one node after the other, while clients write.

use std::thread::sleep;
use std::time::{Duration, Instant};

use tests::cluster::{Cluster, PATIENCE};
use tests::engine::{self, ALL_ON_KIWI, Engine};
use tests::history::Writers;

/// Waits until a node's storage can be used, of the kind that is wanted, and has nothing to catch up on.
fn wait_for_storage(cluster: &Cluster, index: usize, kind: &str) {
    let deadline = Instant::now() + PATIENCE * 2;
    loop {
        let status = cluster.status(index);
        let is_there = |applied: u64| {
            let others = (0..3).filter_map(|other| cluster.status(other)).map(|status| status.applied);
            others.max().is_some_and(|most| most <= applied + 500)
        };
        if status.as_ref().is_some_and(|status| {
            status.storage.ok && status.storage_kind == kind && is_there(status.applied)
        }) {
            return;
        }
        assert!(Instant::now() < deadline, "{status:#?}\n{}", cluster.log(index));
        sleep(Duration::from_millis(50));
    }
}

/// From Kiwi to embedded and back, under writes, `kill -9` in the place of every other stop.
fn migrate_there_and_back(engine: Engine, settings: &[(&str, &str)]) {
    let mut cluster = Cluster::start_with(&[engine; 3], &[&ALL_ON_KIWI, settings].concat());
    let writers = Writers::start(8, cluster.ports());
    writers.wait_for(500);
    for (round, kind) in ["embedded", "kiwi", "embedded", "kiwi"].into_iter().enumerate() {
        for index in 0..3 {
            if (index + round) % 2 == 0 {
                cluster.stop(index);
            } else {
                cluster.kill(index);
            }
            cluster.nodes[index].set("storage.kind", kind);
            cluster.launch(index);
            cluster.leader();
            wait_for_storage(&cluster, index, kind);
            writers.wait_for(300);
        }
    }
    let history = writers.finish();
    println!("{} acknowledged, {} unknown", history.acknowledged(), history.unknown());
    cluster.settle();
    cluster.assert_equal_digests();
    for index in 0..3 {
        history.check(&mut cluster.connect(index));
        let restored = cluster.log(index).matches("is restored from it").count();
        println!("node {}: restored from a snapshot {restored} times", index + 1);
    }
}

#[test]
fn nodes_change_their_storage_one_by_one_and_catch_up_from_the_log() {
    engine::on_each_kiwi(|engine| migrate_there_and_back(engine, &[]));
}

#[test]
fn nodes_change_their_storage_one_by_one_and_catch_up_from_snapshots() {
    let settings = [("raft.snapshot_log_bytes", "64KiB"), ("raft.keep_entries", "10")];
    engine::on_each_kiwi(|engine| migrate_there_and_back(engine, &settings));
}
