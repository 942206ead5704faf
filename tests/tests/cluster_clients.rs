//! Clients of Redis Cluster of other people's making, through the loss of a leader: redis-py's `RedisCluster`,
//! redis-rs's cluster client, ioredis's `Cluster`.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use redis::cluster::ClusterClientBuilder;
use redis::cluster_read_routing::RandomReplicaStrategy;
use redis::{Commands, RedisResult};
use serde_json::Value;
use tests::cluster::{Cluster, PATIENCE};
use tests::engine::Engine;
use tests::needs::not_run;

/// Writers of one client: each may have one command under way when the leader dies.
const WRITERS: usize = 6;

/// What a client has been through.
struct Report {
    acknowledged: Vec<String>,
    unknown: usize,
    errors: Vec<String>,
    longest_gap: Duration,
}

impl Report {
    /// No error but outcomes that nobody can know, and everything acknowledged is there.
    fn check(&self, name: &str, cluster: &Cluster) {
        println!(
            "{name}: {} acknowledged, {} unknown, the longest gap {:?}",
            self.acknowledged.len(),
            self.unknown,
            self.longest_gap
        );
        assert!(self.errors.is_empty(), "{name}: {:?}", &self.errors[..self.errors.len().min(10)]);
        assert!(self.unknown <= WRITERS, "{name}: {} unknown outcomes", self.unknown);
        assert!(self.acknowledged.len() >= 1300, "{name}: {}", self.acknowledged.len());
        assert!(self.longest_gap < Duration::from_secs(6), "{name}: {:?}", self.longest_gap);
        let mut connection = cluster.connect(cluster.leader());
        for keys in self.acknowledged.chunks(500) {
            let values: Vec<Option<String>> = connection.mget(keys).unwrap();
            for (key, value) in keys.iter().zip(values) {
                assert_eq!(value.as_ref(), Some(key), "{name}: an acknowledged write is gone");
            }
        }
    }
}

/// A client in a process of its own.
struct Tour {
    child: Child,
    said: std::io::Lines<BufReader<std::process::ChildStdout>>,
    keys: PathBuf,
}

impl Tour {
    fn start(mut program: Command, script: &str, cluster: &Cluster) -> Self {
        let keys = cluster.dir().join(format!("{script}.keys"));
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tours").join(script);
        program.arg(script).args(cluster.ports().iter().map(u16::to_string)).arg(&keys);
        let mut child = program.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
        assert_eq!(said.next().expect("the tour ended early").unwrap(), "started");
        Self { child, said, keys }
    }

    /// The leader is gone: the client goes on, and tells what it has been through.
    fn go_on(mut self) -> Report {
        writeln!(self.child.stdin.as_ref().unwrap(), "gone").unwrap();
        let line = self.said.next().expect("the tour ended early").unwrap();
        assert!(self.child.wait().unwrap().success(), "{line}");
        let told: Value = serde_json::from_str(&line).unwrap();
        let list = |name: &str| told[name].as_array().unwrap().iter().map(|item| item.to_string()).collect();
        let keys = std::fs::read_to_string(&self.keys).unwrap();
        assert!(told["reads"].as_u64().unwrap() > 300, "{told}");
        Report {
            acknowledged: keys.lines().map(str::to_owned).collect(),
            unknown: told["unknown"].as_u64().unwrap() as usize,
            errors: list("errors"),
            longest_gap: Duration::from_millis(told["longest_gap_ms"].as_u64().unwrap()),
        }
    }
}

/// Waits until a node that does not lead has served reads to a client that said READONLY.
fn wait_for_reads_from_replicas(cluster: &Cluster) {
    let leader = cluster.leader();
    let deadline = Instant::now() + PATIENCE;
    let reads = |index: usize| -> bool {
        let list: String = redis::cmd("CLIENT").arg("LIST").query(&mut cluster.connect(index)).unwrap();
        list.lines().any(|line| line.contains(" cmd=get "))
    };
    while !(0..3).filter(|index| *index != leader && cluster.runs(*index)).any(reads) {
        assert!(Instant::now() < deadline, "no replica is read from");
        thread::sleep(Duration::from_millis(20));
    }
}

fn through_the_loss_of_a_leader(
    routing: &str,
    name: &str,
    start: impl FnOnce(&Cluster) -> Box<dyn FnOnce() -> Report>,
) {
    let mut cluster = Cluster::start_with(&[Engine::Embedded; 3], &[("cluster.routing", routing)]);
    let go_on = start(&cluster);
    wait_for_reads_from_replicas(&cluster);
    let leader = cluster.leader();
    cluster.kill(leader);
    let report = go_on();
    cluster.launch(leader);
    report.check(&format!("{name}, {routing}"), &cluster);
    cluster.assert_equal_digests();
}

#[test]
fn redis_py_follows_a_failover_and_reads_from_replicas() {
    for routing in ["auto", "redirect"] {
        through_the_loss_of_a_leader(routing, "redis-py", |cluster| {
            let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
            let tour = Tour::start(Command::new(python), "cluster_tour.py", cluster);
            Box::new(|| tour.go_on())
        });
    }
}

#[test]
fn ioredis_follows_a_failover_and_reads_from_replicas() {
    let mut probe = Command::new("node");
    let is_there = probe.args(["-e", "require('ioredis')"]).stderr(Stdio::null()).status();
    if !is_there.is_ok_and(|status| status.success()) {
        not_run("there is no node with ioredis here (`make node`, NODE_PATH)");
        return;
    }
    for routing in ["auto", "redirect"] {
        through_the_loss_of_a_leader(routing, "ioredis", |cluster| {
            let tour = Tour::start(Command::new("node"), "cluster_tour.cjs", cluster);
            Box::new(|| tour.go_on())
        });
    }
}

#[test]
fn redis_rs_follows_a_failover_and_reads_from_replicas() {
    for routing in ["auto", "redirect"] {
        through_the_loss_of_a_leader(routing, "redis-rs", |cluster| {
            let load = RedisRs::start(cluster.ports());
            load.wait_for(300);
            Box::new(move || load.go_on())
        });
    }
}

/// Writers with redis-rs's cluster client, each with a connection of its own.
struct RedisRs {
    report: Arc<Mutex<Report>>,
    stop: Arc<AtomicBool>,
    writers: Vec<thread::JoinHandle<()>>,
}

impl RedisRs {
    fn start(ports: Vec<u16>) -> Self {
        let report =
            Report { acknowledged: Vec::new(), unknown: 0, errors: Vec::new(), longest_gap: Duration::ZERO };
        let (report, stop) = (Arc::new(Mutex::new(report)), Arc::new(AtomicBool::new(false)));
        let writers = (0..WRITERS)
            .map(|writer| {
                let (ports, report, stop) = (ports.clone(), Arc::clone(&report), Arc::clone(&stop));
                thread::spawn(move || Self::write(writer, &ports, &report, &stop))
            })
            .collect();
        Self { report, stop, writers }
    }

    fn write(writer: usize, ports: &[u16], report: &Mutex<Report>, stop: &AtomicBool) {
        let nodes = ports.iter().map(|port| format!("redis://127.0.0.1:{port}/"));
        let client =
            ClusterClientBuilder::new(nodes).read_routing_strategy(RandomReplicaStrategy).build().unwrap();
        let mut connection = client.get_connection().unwrap();
        let mut last = Instant::now();
        for number in 0.. {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            let key = format!("rs:{writer}:{number}");
            let written: RedisResult<()> = connection.set(&key, &key);
            // A replica may not have it yet.
            let read: RedisResult<Option<String>> = connection.get(&key);
            let is_broken = [written.as_ref().err(), read.as_ref().err()]
                .into_iter()
                .flatten()
                .any(redis::RedisError::is_io_error);
            let mut told = report.lock().unwrap();
            match written {
                Ok(()) => {
                    told.longest_gap = told.longest_gap.max(last.elapsed());
                    last = Instant::now();
                    told.acknowledged.push(key);
                }
                Err(error) if error.code() == Some("TIMEOUT") || error.is_io_error() => told.unknown += 1,
                Err(error) => told.errors.push(error.to_string()),
            }
            told.errors
                .extend(read.err().filter(|error| !error.is_io_error()).map(|error| error.to_string()));
            drop(told);
            // This client looks for the nodes anew only if it is redirected: one that has lost a node is made anew, as
            // its pools do.
            if is_broken {
                connection = client.get_connection().unwrap();
            }
        }
    }

    fn wait_for(&self, more: usize) {
        let acknowledged = || self.report.lock().unwrap().acknowledged.len();
        let (target, deadline) = (acknowledged() + more, Instant::now() + PATIENCE);
        while acknowledged() < target {
            assert!(
                Instant::now() < deadline,
                "writes do not flow: {:?}",
                self.report.lock().unwrap().errors
            );
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn go_on(self) -> Report {
        self.wait_for(1000);
        thread::sleep(Duration::from_secs(1));
        self.stop.store(true, Ordering::Relaxed);
        for writer in self.writers {
            writer.join().unwrap();
        }
        Arc::into_inner(self.report).unwrap().into_inner().unwrap()
    }
}
