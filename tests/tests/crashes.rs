//! The sidecar, its Kiwi, or both are killed at every step of carrying values over, of a snapshot, of an installation,
//! under everything that must not be done twice.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tests::ask::ask;
use tests::cluster::{Cluster, PATIENCE};
use tests::engine::{self, ALL_ON_KIWI, Engine};
use tests::ledger::Ledgers;

/// The steps, and after how many times one is taken. Those of the second list come when Kiwi has lost its data.
const STEPS: [&str; 12] = [
    "apply-begun:30",
    "apply-committed:30",
    "flush-cut:2",
    "flush-planned:2",
    "flush-sending:2",
    "flush-sending:5",
    "flush-sent:2",
    "flush-marked:2",
    "flush-confirmed:2",
    "flush-evicted:2",
    "snapshot-reading:2",
    "snapshot-written",
];
const STEPS_OF_A_REBUILD: [&str; 6] = [
    "install-loaded",
    "install-filled",
    "install-switched",
    "rebuild-applied",
    // Its keys on an empty Kiwi once were data that nobody owned.
    "kiwi-probing",
    "kiwi-emptied",
];

#[derive(Clone, Copy, Debug)]
enum Victim {
    Sidecar,
    Kiwi,
    Both,
}

#[test]
fn a_crash_at_any_step_loses_nothing_and_does_nothing_twice() {
    engine::on_each_kiwi(crash_at_every_step);
}

fn crash_at_every_step(engine: Engine) {
    let often = [("raft.snapshot_log_bytes", "64KiB"), ("raft.keep_entries", "10")];
    let mut cluster = Cluster::start_with(&[engine; 3], &[&ALL_ON_KIWI[..], &often].concat());
    let writers = Ledgers::start(12, &cluster.ports());
    writers.wait_for(200);
    let steps =
        STEPS.map(|step| (step, false)).into_iter().chain(STEPS_OF_A_REBUILD.map(|step| (step, true)));
    for (number, (step, lossy)) in steps.enumerate() {
        for (turn, victim) in [Victim::Sidecar, Victim::Kiwi, Victim::Both].into_iter().enumerate() {
            crash(&mut cluster, (number + turn) % 3, step, lossy, victim);
            writers.wait_for(50);
        }
    }
    let ledger = writers.finish();
    println!("{} pages", ledger.pages());
    cluster.settle();
    for index in 0..3 {
        ledger.check(&mut cluster.connect(index));
    }
    cluster.assert_equal_digests();
}

/// Has a node stop at a step, and kills the victim there.
fn crash(cluster: &mut Cluster, index: usize, step: &str, lossy: bool, victim: Victim) {
    println!("{step} {victim:?} of node {}", index + 1);
    // A rebuild from a snapshot that was just made has no log to apply: once more, then.
    let is_reached = (0..3).any(|_| {
        if lossy {
            wait_until_filled(cluster, index);
        }
        cluster.kill(index);
        if lossy {
            // What the sidecar has just sent must have landed, or it would be there without marks.
            cluster.kiwi_mut(index).kill();
            cluster.kiwi_mut(index).launch();
            let () = redis::cmd("FLUSHALL").query(&mut cluster.kiwi(index).connect()).unwrap();
        }
        cluster.nodes[index].stop_at = Some(step.to_owned());
        cluster.launch(index);
        cluster.nodes[index].stop_at = None;
        stops(cluster, index)
    });
    assert!(is_reached, "{step} was not reached\n{}", cluster.log(index));
    if !matches!(victim, Victim::Kiwi) {
        cluster.kill(index);
    }
    if !matches!(victim, Victim::Sidecar) {
        cluster.kiwi_mut(index).kill();
        cluster.kiwi_mut(index).launch();
    }
    match victim {
        Victim::Kiwi => cluster.signal(index, Signal::SIGCONT),
        Victim::Sidecar | Victim::Both => cluster.launch(index),
    }
    cluster.leader();
}

/// What begins with removing everything from Kiwi is done once more after a crash: until it is known to be done,
/// nothing may count as being there for good.
#[test]
fn a_crash_behind_a_flush_and_a_rename_loses_nothing() {
    engine::on_each_kiwi(|engine| {
        let mut cluster = Cluster::start_with(&[engine], &ALL_ON_KIWI);
        for step in ["flush-marked", "flush-confirmed", "flush-evicted"] {
            println!("{step}");
            let () = ask(&mut cluster.connect(0), "SET old value").unwrap();
            cluster.settle();
            cluster.kill(0);
            cluster.nodes[0].stop_at = Some(step.to_owned());
            cluster.launch(0);
            cluster.nodes[0].stop_at = None;
            cluster.leader();
            flush_and_rename(&mut cluster.connect(0), step);
            assert!(stops(&cluster, 0), "{step} was not reached\n{}", cluster.log(0));
            cluster.kill(0);
            cluster.launch(0);
            cluster.leader();
            cluster.settle();
            for mut connection in [cluster.connect(0), cluster.kiwi(0).connect()] {
                let found: (String, String, Vec<String>, u64) = (
                    ask(&mut connection, "GET string").unwrap(),
                    ask(&mut connection, "HGET hash field").unwrap(),
                    ask(&mut connection, "LRANGE moved 0 -1").unwrap(),
                    ask(&mut connection, "EXISTS old").unwrap(),
                );
                let list = vec![step.to_owned(), "end".to_owned()];
                assert_eq!(found, (step.to_owned(), step.to_owned(), list, 0));
            }
        }
    });
}

/// Does both in one pipeline, so that both are in one flush.
fn flush_and_rename(connection: &mut redis::Connection, value: &str) {
    let mut all = redis::pipe();
    all.cmd("FLUSHALL").ignore();
    all.cmd("SET").arg("string").arg(value).ignore();
    all.cmd("HSET").arg("from").arg("field").arg(value).ignore();
    all.cmd("RPUSH").arg("list").arg(value).arg("end").ignore();
    all.cmd("RENAME").arg("from").arg("hash").ignore();
    all.cmd("RENAME").arg("list").arg("moved").ignore();
    let () = all.query(connection).unwrap();
}

/// Waits until the node's Kiwi has been given everything that an earlier loss has cost.
fn wait_until_filled(cluster: &Cluster, index: usize) {
    let deadline = Instant::now() + PATIENCE;
    let is_filled = |info: &String| {
        ["storage_state:up", "storage_refilling:0", "storage_rebuilding:0"]
            .iter()
            .all(|line| info.contains(line))
    };
    loop {
        let info: Option<String> = redis::cmd("INFO").arg("storage").query(&mut cluster.connect(index)).ok();
        if info.as_ref().is_some_and(is_filled) {
            return;
        }
        assert!(Instant::now() < deadline, "{info:?}\n{}", cluster.log(index));
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Waits for a while until the node stops itself.
fn stops(cluster: &Cluster, index: usize) -> bool {
    let deadline = Instant::now() + PATIENCE / 2;
    let path = format!("/proc/{}/stat", cluster.pid(index));
    while Instant::now() < deadline {
        let stat = std::fs::read_to_string(&path).unwrap_or_default();
        if stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T')) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    false
}
