//! The systems that are measured: started here, on free ports, in temporary directories; ended by pid.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tests::cluster::Cluster;
use tests::engine::Engine;
use tests::ports;

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
    pub name: &'static str,
    /// How it is reached.
    pub target: Target,
    pids: Vec<u32>,
}

/// Everything that was started.
pub(crate) struct Systems {
    systems: Vec<System>,
    processes: Vec<Child>,
    _cluster: Option<Cluster>,
    _dirs: Vec<TempDir>,
}

impl System {
    /// CPU seconds, user and system, of all its processes since they started.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        self.pids.iter().map(|pid| cpu_seconds(*pid)).sum()
    }
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
        let wanted = |name: &str| names.iter().any(|wanted| wanted == name);
        let mut systems =
            Self { systems: Vec::new(), processes: Vec::new(), _cluster: None, _dirs: Vec::new() };
        if wanted("leader") || wanted("follower") {
            systems.start_cluster(wanted("leader"), wanted("follower"));
        }
        if wanted("redis") {
            systems.start_redis();
        }
        if wanted("etcd") {
            systems.start_etcd();
        }
        systems
    }

    /// All of them.
    pub(crate) fn all(&self) -> &[System] {
        &self.systems
    }

    fn start_cluster(&mut self, at_leader: bool, at_follower: bool) {
        let cluster = Cluster::start(&[Engine::Embedded; 3]);
        let leader = cluster.leader();
        let pids: Vec<u32> = (0..3).map(|index| cluster.pid(index)).collect();
        let mut add = |name, index: usize| {
            let target = Target::Resp(cluster.nodes[index].port);
            self.systems.push(System { name, target, pids: pids.clone() });
        };
        if at_leader {
            add("raft-proxy ×3, leader", leader);
        }
        if at_follower {
            add("raft-proxy ×3, follower", (leader + 1) % 3);
        }
        self._cluster = Some(cluster);
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
            name: "redis ×1, appendfsync always",
            target: Target::Resp(port),
            pids: vec![pid],
        });
        self._dirs.push(dir);
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
        self.systems.push(System { name: "etcd ×3", target: Target::Etcd(ports[0].0), pids });
        self._dirs.push(dir);
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
