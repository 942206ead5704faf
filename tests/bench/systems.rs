//! The systems that are measured: started here, on free ports, in temporary directories; ended by pid.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tests::cluster::Cluster;
use tests::engine::{self, Engine};
use tests::kiwi::Kiwi;
use tests::ports;

use crate::Operation;

/// How a system is reached.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    /// A RESP port.
    Resp(u16),
    /// etcd's client port.
    Etcd(u16),
}

/// One row's system: where to send, and whose CPU to count.
pub(crate) struct System {
    /// Its name in the table.
    pub name: String,
    /// The name of the system that it is compared with.
    pub beside: String,
    /// How it is reached.
    pub target: Target,
    pids: Vec<u32>,
}

/// Everything that was started.
pub(crate) struct Systems {
    systems: Vec<System>,
    processes: Vec<Child>,
    clusters: Vec<Cluster>,
    kiwis: Vec<Kiwi>,
    dirs: Vec<TempDir>,
}

/// What can be asked for.
pub(crate) const NAMES: [&str; 7] =
    ["leader", "follower", "redis", "etcd", "kiwi", "on-kiwi", "on-kiwi-uncached"];
/// The system that those without a Kiwi are compared with.
const LEADER: &str = "raft-proxy ×3, leader";

impl System {
    /// Whether an operation means something there: etcd answers what is sent at once in any order.
    pub(crate) fn does(&self, operation: Operation) -> bool {
        operation != Operation::SetGet || !matches!(self.target, Target::Etcd(_))
    }

    /// CPU seconds, user and system, of all its processes since they started.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        self.pids.iter().map(|pid| cpu_seconds(*pid)).sum()
    }
}

/// A real Kiwi if there is one.
fn which_kiwi() -> Engine {
    *engine::kiwis().last().expect("ENGINES leaves a Kiwi")
}

fn kiwi_alone() -> String {
    format!("{} ×1", which_kiwi())
}

/// Three nodes, and which of them leads.
fn launch(engine: Engine, settings: &[(&str, &str)]) -> (Cluster, usize) {
    let mut cluster = Cluster::prepare_beside_others(&[engine; 3], settings);
    cluster.launch_all();
    let leader = cluster.leader();
    (cluster, leader)
}

/// Seconds in which the machine's cores had nothing to do since it started, all together.
pub(crate) fn idle_seconds() -> f64 {
    let uptime = fs::read_to_string("/proc/uptime").unwrap();
    uptime.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// `utime` and `stime` of proc(5), in ticks of 10 ms as on every Linux architecture that matters here.
fn cpu_seconds(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let behind_name = stat.rsplit_once(')').unwrap().1;
    let fields: Vec<&str> = behind_name.split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    ticks as f64 / 100.0
}

impl Systems {
    /// Starts what the names need.
    pub(crate) fn start(names: &[String]) -> Self {
        let unknown = names.iter().find(|name| !NAMES.contains(&&name[..]));
        assert!(unknown.is_none(), "there is no system {unknown:?}, but {}", NAMES.join(", "));
        let wanted = |name: &str| names.iter().any(|wanted| wanted == name);
        let mut systems = Self {
            systems: Vec::new(),
            processes: Vec::new(),
            clusters: Vec::new(),
            kiwis: Vec::new(),
            dirs: Vec::new(),
        };
        if wanted("leader") || wanted("follower") {
            systems.start_cluster(wanted("leader"), wanted("follower"));
        }
        if wanted("redis") {
            systems.start_redis();
        }
        if wanted("etcd") {
            systems.start_etcd();
        }
        if wanted("kiwi") {
            systems.start_kiwi();
        }
        if wanted("on-kiwi") {
            systems.start_on_kiwi("", &[]);
        }
        if wanted("on-kiwi-uncached") {
            systems.start_on_kiwi(", no cache", &[("storage.cache_size", "0")]);
        }
        systems
    }

    /// All of them.
    pub(crate) fn all(&self) -> &[System] {
        &self.systems
    }

    /// Waits until all content is where it is kept in the end.
    pub(crate) fn settle(&self) {
        for cluster in &self.clusters {
            cluster.settle();
        }
    }

    fn start_cluster(&mut self, at_leader: bool, at_follower: bool) {
        let (cluster, leader) = launch(Engine::Embedded, &[]);
        let pids: Vec<u32> = (0..3).map(|index| cluster.pid(index)).collect();
        let mut add = |name: &str, index: usize| {
            let target = Target::Resp(cluster.nodes[index].port);
            let (name, beside) = (name.to_owned(), LEADER.to_owned());
            self.systems.push(System { name, beside, target, pids: pids.clone() });
        };
        if at_leader {
            add(LEADER, leader);
        }
        if at_follower {
            add("raft-proxy ×3, follower", (leader + 1) % 3);
        }
        self.clusters.push(cluster);
    }

    fn start_kiwi(&mut self) {
        let kiwi = Kiwi::start_anywhere(which_kiwi(), &[]);
        let (target, pids) = (Target::Resp(kiwi.port), vec![kiwi.pid()]);
        self.systems.push(System { name: kiwi_alone(), beside: kiwi_alone(), target, pids });
        self.kiwis.push(kiwi);
    }

    fn start_on_kiwi(&mut self, how: &str, settings: &[(&str, &str)]) {
        let engine = which_kiwi();
        let (cluster, leader) = launch(engine, settings);
        let pids = (0..3).flat_map(|index| [cluster.pid(index), cluster.kiwi(index).pid()]).collect();
        let target = Target::Resp(cluster.nodes[leader].port);
        let name = format!("raft-proxy ×3 on {engine} ×3, leader{how}");
        self.systems.push(System { name, beside: kiwi_alone(), target, pids });
        self.clusters.push(cluster);
    }

    fn start_redis(&mut self) {
        let dir = TempDir::with_prefix("raft-proxy-bench-").unwrap();
        let port = ports::free();
        let mut command = Command::new("redis-server");
        command.args([
            "--port",
            &port.to_string(),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "yes",
        ]);
        command.args(["--appendfsync", "always", "--dir"]).arg(dir.path());
        let pid = self.spawn(command, port);
        self.systems.push(System {
            name: "redis ×1, appendfsync always".to_owned(),
            beside: LEADER.to_owned(),
            target: Target::Resp(port),
            pids: vec![pid],
        });
        self.dirs.push(dir);
    }

    fn start_etcd(&mut self) {
        let dir = TempDir::with_prefix("raft-proxy-bench-").unwrap();
        let ports: Vec<(u16, u16)> = (0..3).map(|_| (ports::free(), ports::free())).collect();
        let members: Vec<String> =
            ports.iter().enumerate().map(|(i, (_, peer))| format!("n{i}=http://127.0.0.1:{peer}")).collect();
        let commands: Vec<Command> = ports
            .iter()
            .enumerate()
            .map(|(i, ports)| etcd(i, *ports, &members.join(","), dir.path()))
            .collect();
        // All must be there before any answers.
        let children: Vec<Child> = commands.into_iter().map(|mut command| command.spawn().unwrap()).collect();
        let pids = children.iter().map(Child::id).collect();
        self.processes.extend(children);
        for (client, _) in &ports {
            wait_until_open(*client);
        }
        std::thread::sleep(Duration::from_secs(3));
        let (name, beside) = ("etcd ×3".to_owned(), LEADER.to_owned());
        self.systems.push(System { name, beside, target: Target::Etcd(ports[0].0), pids });
        self.dirs.push(dir);
    }

    fn spawn(&mut self, mut command: Command, port: u16) -> u32 {
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let pid = child.id();
        self.processes.push(child);
        wait_until_open(port);
        pid
    }
}

fn etcd(index: usize, (client, peer): (u16, u16), members: &str, dir: &Path) -> Command {
    let mut command = Command::new("etcd");
    let (client, peer) = (format!("http://127.0.0.1:{client}"), format!("http://127.0.0.1:{peer}"));
    command.args([
        "--name",
        &format!("n{index}"),
        "--initial-cluster",
        members,
        "--initial-cluster-state",
        "new",
    ]);
    command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
    command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
    command.arg("--data-dir").arg(dir.join(format!("n{index}")));
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn wait_until_open(port: u16) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < deadline, "nothing listens on port {port}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

impl Drop for Systems {
    fn drop(&mut self) {
        for child in &mut self.processes {
            // Both fail only if it has ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
