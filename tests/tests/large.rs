//! A hash of ten million fields goes through everything that moves data, and no process ever holds it whole.
//!
//! It takes minutes, so `make proof` runs it and the usual tests don't. `LARGE_FIELDS` sets another number of fields.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tests::cluster::{Cluster, binary};
use tests::engine::{self, Engine};

/// What one command sets.
const AT_ONCE: u64 = 500;
/// Commands that are sent together.
const PIPELINE: u64 = 16;
/// How long any of the steps may take.
const PATIENCE: Duration = Duration::from_secs(1800);
/// What a process may hold more than it did before a step, while ten million fields take well over a GiB as a list.
/// Most of it is what RocksDB and the allocator keep for the next use.
const MOST_MORE_MIB: u64 = 400;

/// Little memory for caches, so that what else is held is seen; a log that does not reach back.
const SETTINGS: [(&str, &str); 8] = [
    ("raft.snapshot_log_bytes", "32MiB"),
    ("raft.keep_entries", "10"),
    ("raft.entry_cache_bytes", "8MiB"),
    ("raft.request_timeout", "60s"),
    ("storage.block_cache_bytes", "32MiB"),
    ("storage.write_buffer_bytes", "32MiB"),
    ("storage.keep_values", "0"),
    ("storage.cache_size", "8MiB"),
];

fn fields() -> u64 {
    std::env::var("LARGE_FIELDS").map_or(10_000_000, |text| text.parse().expect("LARGE_FIELDS is a number"))
}

fn field(number: u64) -> String {
    format!("field:{number:08}")
}

/// Sixteen bytes that cannot be packed.
fn value(number: u64) -> String {
    format!("{:016x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29))
}

fn fill(connection: &mut redis::Connection, count: u64) {
    let mut next = 0;
    while next < count {
        let mut pipe = redis::pipe();
        for _ in 0..PIPELINE {
            let command = pipe.cmd("HSET").arg("huge");
            for number in next..(next + AT_ONCE).min(count) {
                command.arg(field(number)).arg(value(number));
            }
            command.ignore();
            next += AT_ONCE;
            if next >= count {
                break;
            }
        }
        let () = pipe.query(connection).unwrap();
    }
}

/// A line of `/proc/<pid>/status` in MiB; none if the process is gone.
fn memory(pid: u32, what: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with(what))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? / 1024)
}

/// The most that a process holds during a step.
struct Watch {
    name: String,
    pid: u32,
    before: u64,
}

impl Watch {
    fn begin(name: impl Into<String>, pid: u32) -> Self {
        // Sets the peak back; see proc(5).
        fs::write(format!("/proc/{pid}/clear_refs"), "5").unwrap();
        Self { name: name.into(), pid, before: memory(pid, "VmRSS").unwrap() }
    }

    fn end(self) {
        let peak = memory(self.pid, "VmHWM").unwrap();
        println!("{}: {} MiB before, {peak} MiB at most", self.name, self.before);
        assert!(peak <= self.before + MOST_MORE_MIB, "{} held {peak} MiB", self.name);
    }
}

/// Runs a program to its end; the most that it held, MiB.
fn run_watched(command: &mut Command) -> u64 {
    let mut child: Child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    let (pid, most) = (child.id(), AtomicU64::new(0));
    loop {
        if let Some(peak) = memory(pid, "VmHWM") {
            most.fetch_max(peak, Ordering::Relaxed);
        }
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "{status}");
            return most.into_inner();
        }
        sleep(Duration::from_millis(20));
    }
}

fn connect(cluster: &Cluster, index: usize) -> redis::Connection {
    let connection = cluster.connect(index);
    connection.set_read_timeout(Some(PATIENCE)).unwrap();
    connection
}

fn digest(cluster: &Cluster, index: usize) -> (u64, String) {
    redis::cmd("RAFT.DIGEST").query(&mut connect(cluster, index)).unwrap()
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        sleep(Duration::from_millis(200));
    }
    println!("{what}: {:?}", began.elapsed());
}

fn check(connection: &mut redis::Connection, count: u64) {
    let there: u64 = redis::cmd("HLEN").arg("huge").query(connection).unwrap();
    assert_eq!(there, count);
    for number in (0..count).step_by((count / 100).max(1) as usize) {
        let found: String = redis::cmd("HGET").arg("huge").arg(field(number)).query(connection).unwrap();
        assert_eq!(found, value(number));
    }
}

fn move_a_huge_hash(engine: Engine) {
    let count = fields();
    let mut cluster = Cluster::start_with(&[engine; 3], &SETTINGS);
    let leader = cluster.leader();
    let (follower, away) = ((leader + 1) % 3, (leader + 2) % 3);
    cluster.kill(away);
    let began = Instant::now();
    let filling = Watch::begin("the leader, filled", cluster.pid(leader));
    fill(&mut connect(&cluster, leader), count);
    println!("{count} fields written in {:?}", began.elapsed());
    filling.end();
    wait_until("the log is given up", || cluster.status(leader).is_some_and(|status| status.purged > 100));

    let sending = Watch::begin("the leader, sending it", cluster.pid(leader));
    cluster.launch(away);
    sleep(Duration::from_secs(1));
    let receiving = Watch::begin("a node, given it", cluster.pid(away));
    wait_until("a node that was away has it by snapshot", || {
        let (leader, away) = (cluster.status(leader), cluster.status(away));
        away.zip(leader).is_some_and(|(away, leader)| away.snapshot > 0 && away.applied >= leader.applied)
    });
    wait_until("it is where it is kept", || {
        cluster
            .status(away)
            .is_some_and(|status| !engine.is_kiwi() || status.storage.detail.contains("; 0 changes"))
    });
    sending.end();
    receiving.end();
    let digests: Vec<_> = (0..3).map(|index| digest(&cluster, index)).collect();
    assert!(digests.iter().all(|digest| *digest == digests[0]), "{digests:?}");
    check(&mut connect(&cluster, away), count);

    let file = cluster.dir().join("backup");
    let dumping = Watch::begin("a follower, backed up", cluster.pid(follower));
    let from = format!("127.0.0.1:{}", cluster.nodes[follower].port);
    let most = run_watched(Command::new(binary()).args(["backup", "--from", &from]).arg(&file));
    println!("backup: {most} MiB at most, a file of {} MiB", fs::metadata(&file).unwrap().len() >> 20);
    dumping.end();
    assert!(most <= MOST_MORE_MIB);
    let kept = tempfile::tempdir().unwrap();
    let copy = kept.path().join("backup");
    fs::copy(&file, &copy).unwrap();
    drop(cluster);
    restore(engine, &copy, &digests[0].1, count);
}

fn restore(engine: Engine, file: &Path, content: &str, count: u64) {
    let mut cluster = Cluster::prepare(&[engine], &SETTINGS);
    let serve = cluster.command(0);
    let mut restore = Command::new(binary());
    restore.arg("restore").arg(file).env("RAFT_PROXY_CLUSTER_SECRET", tests::cluster::SECRET);
    restore.args(serve.get_args().filter(|arg| *arg != "serve" && *arg != "--until-stdin-closes"));
    let most = run_watched(&mut restore);
    println!("restore: {most} MiB at most");
    assert!(most <= MOST_MORE_MIB);
    cluster.launch_each();
    let starting = Watch::begin("a node, restored", cluster.pid(0));
    wait_until("it leads", || cluster.status(0).is_some_and(|status| status.leader == Some(status.id)));
    wait_until("it is where it is kept", || {
        cluster
            .status(0)
            .is_some_and(|status| !engine.is_kiwi() || status.storage.detail.contains("; 0 changes"))
    });
    starting.end();
    assert_eq!(digest(&cluster, 0).1, content);
    check(&mut connect(&cluster, 0), count);
}

#[test]
#[ignore = "it takes minutes: make proof"]
fn a_hash_of_ten_million_fields_is_never_held_whole() {
    engine::on_each(move_a_huge_hash);
}
