//! Measurements over many minutes, of what is promised for every minute: how long a failover takes, and that no leader
//! is deposed without a cause. `make proof` runs them and the usual tests don't.
//!
//! `FAILOVERS` (50) and `MINUTES` (30) set how many and how long. The writers and the load run on the same cores as the
//! three nodes.

use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tests::cluster::Cluster;
use tests::engine::Engine;
use tests::history::Writers;

/// The longest gap that is aimed at, for 99 of 100 failovers.
const GAP: Duration = Duration::from_millis(1500);

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

fn milliseconds(sorted: &[Duration], hundredth: usize) -> u128 {
    sorted[(sorted.len() * hundredth / 100).min(sorted.len() - 1)].as_millis()
}

/// The gap is the longest time between two acknowledged writes of all writers, seen from the kill on.
fn gap_after_kill(cluster: &mut Cluster, writers: &Writers, leader: usize) -> Duration {
    cluster.kill(leader);
    let (mut last, mut seen, mut gap) = (Instant::now(), writers.acknowledged(), Duration::ZERO);
    let mut more = 0;
    while more < 200 {
        let now = writers.acknowledged();
        if now > seen {
            gap = gap.max(last.elapsed());
            more += now - seen;
            (last, seen) = (Instant::now(), now);
        }
        assert!(last.elapsed() < Duration::from_secs(60), "nobody leads\n{}", cluster.log((leader + 1) % 3));
        sleep(Duration::from_micros(500));
    }
    gap
}

#[test]
#[ignore = "takes minutes; see `make proof`"]
fn writes_go_on_soon_after_a_leader_is_killed() {
    let times = number("FAILOVERS", 50);
    let mut cluster = Cluster::start(&[Engine::Embedded; 3]);
    let writers = Writers::start(8, cluster.ports());
    writers.wait_for(200);
    let mut gaps = Vec::new();
    for _ in 0..times {
        let leader = cluster.leader();
        gaps.push(gap_after_kill(&mut cluster, &writers, leader));
        cluster.launch(leader);
        writers.wait_for(500);
        cluster.settle();
    }
    let history = writers.finish();
    gaps.sort();
    println!(
        "{times} failovers under load: write gap p50 {} ms, p90 {} ms, p99 {} ms, longest {} ms; {} acknowledged, {} unknown, {} refused",
        milliseconds(&gaps, 50),
        milliseconds(&gaps, 90),
        milliseconds(&gaps, 99),
        milliseconds(&gaps, 100),
        history.acknowledged(),
        history.unknown(),
        history.refused(),
    );
    cluster.leader();
    history.check(&mut cluster.connect(0));
    cluster.assert_equal_digests();
    let p99 = gaps[(gaps.len() * 99 / 100).min(gaps.len() - 1)];
    assert!(p99 < GAP, "p99 is {p99:?}");
}

/// Ends with the test.
struct Load(Child);

impl Load {
    /// Fifty connections, pipelined, without an end; every name written again and again.
    fn start(port: u16, number: u64) -> Self {
        let child = Command::new("redis-benchmark")
            .args([
                "-p",
                &port.to_string(),
                "-c",
                "50",
                "-P",
                "16",
                "-n",
                "2000000000",
                "-r",
                "1000000",
                "-d",
                "100",
            ])
            .args(["-q", "SET", &format!("load{number}:__rand_int__"), "__data__"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-benchmark, of the package redis-tools");
        Self(child)
    }

    fn ended(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
#[ignore = "takes half an hour; see `make proof`"]
fn nobody_stands_for_election_without_a_cause_under_full_load() {
    let minutes = number("MINUTES", 30);
    // Snapshots all the time.
    let cluster = Cluster::start_with(&[Engine::Embedded; 3], &[("raft.snapshot_log_bytes", "256MiB")]);
    let leader = cluster.leader();
    let term = cluster.status(leader).unwrap().term;
    let mut loads: Vec<Load> =
        (0..3).map(|index| Load::start(cluster.nodes[index].port, index as u64)).collect();
    let (began, mut snapshots, mut snapshot) = (Instant::now(), 0, 0);
    let first = cluster.status(leader).unwrap().applied;
    while began.elapsed() < Duration::from_secs(60 * minutes) {
        sleep(Duration::from_secs(1));
        let status = cluster.status(leader).unwrap();
        assert_eq!(
            (status.term, status.leader),
            (term, Some(leader as u64 + 1)),
            "after {:?}\n{}",
            began.elapsed(),
            (0..3).map(|index| cluster.log(index)).collect::<Vec<_>>().join("\n---\n")
        );
        if status.snapshot > snapshot {
            (snapshots, snapshot) = (snapshots + 1, status.snapshot);
        }
        assert!(loads.iter_mut().all(|load| !load.ended()), "a load was told an error and has ended");
    }
    let applied = cluster.status(leader).unwrap().applied - first;
    drop(loads);
    println!("{minutes} minutes of full load: {applied} entries, {snapshots} snapshots, no election");
    assert!(snapshots > 0, "there was no snapshot");
    for index in 0..3 {
        assert_eq!(cluster.status(index).unwrap().term, term);
    }
    // So much data takes a while to be read: all are to be at the end of the log before.
    let deadline = Instant::now() + Duration::from_secs(60);
    while (0..3)
        .any(|index| cluster.status(index).unwrap().applied < cluster.status(leader).unwrap().last_log)
    {
        assert!(Instant::now() < deadline, "the followers do not catch up");
        sleep(Duration::from_millis(200));
    }
    cluster.assert_equal_digests();
}
