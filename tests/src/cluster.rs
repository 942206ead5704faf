//! A cluster of `raft-proxy` processes that can be killed, paused and restarted.

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use adapter::Health;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use raft::status::{MemberStatus, NodeStatus, Role};
use tempfile::TempDir;

use crate::ask::{ask, wait_for};
use crate::engine::Engine;
use crate::kiwi::Kiwi;
use crate::link::Link;
pub use crate::node::Node;
use crate::{ports, process};

/// The secret of the tests' clusters.
pub const SECRET: &str = "a-secret-of-the-tests";
/// How long anything may take before a test gives up.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The `raft-proxy` binary: `RAFT_PROXY_BIN`, or the one beside the tests.
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("RAFT_PROXY_BIN") {
        return path.into();
    }
    beside_tests("raft-proxy")
}

/// A binary that is built beside the tests.
pub fn beside_tests(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let deps = test.parent().unwrap();
    let dir = if deps.ends_with("deps") { deps.parent().unwrap() } else { deps };
    let path = dir.join(name);
    assert!(path.exists(), "{} is missing: build it with `make build`", path.display());
    path
}

/// A cluster's timing means something only while it has the machine to itself.
static MACHINE: Mutex<()> = Mutex::new(());

/// Several nodes on loopback. All are ended when this is dropped. There is one at a time in a process: another waits.
pub struct Cluster {
    /// The nodes; node `i` has the id `i + 1`.
    pub nodes: Vec<Node>,
    settings: Vec<(String, String)>,
    dir: TempDir,
    machine: Option<MutexGuard<'static, ()>>,
}

impl Cluster {
    /// Starts a node on each engine, with default settings, and waits for a leader.
    pub fn start(engines: &[Engine]) -> Self {
        Self::start_with(engines, &[])
    }

    /// Starts a node on each engine, with the given settings (`raft.keep_entries`, `10`), and waits for a leader.
    pub fn start_with(engines: &[Engine], settings: &[(&str, &str)]) -> Self {
        let mut cluster = Self::prepare(engines, settings);
        cluster.launch_all();
        cluster
    }

    /// Starts nodes that reach each other through links, and waits for a leader.
    pub fn start_linked(engines: &[Engine], settings: &[(&str, &str)]) -> Self {
        let mut cluster = Self::prepare(engines, settings);
        for node in &mut cluster.nodes {
            node.link = Some(Link::to(node.raft_port));
        }
        cluster.launch_all();
        cluster
    }

    /// The link to a node of [`Self::start_linked`].
    pub fn link(&self, index: usize) -> &Link {
        self.nodes[index].link.as_ref().expect("the nodes are linked")
    }

    /// Cuts a node of [`Self::start_linked`] off from all others, in both directions.
    pub fn isolate(&self, index: usize) {
        for other in (0..self.nodes.len()).filter(|other| *other != index) {
            self.link(other).cut_from(self.nodes[index].id);
        }
        self.link(index).cut();
    }

    /// Mends all links.
    pub fn mend_all(&self) {
        (0..self.nodes.len()).for_each(|index| self.link(index).mend());
    }

    /// Starts all nodes, and the Kiwis that do not run yet, and waits for a leader.
    pub fn launch_all(&mut self) {
        self.launch_each();
        self.leader();
    }

    /// Starts all nodes, and the Kiwis beside them, and waits for nothing.
    pub fn launch_each(&mut self) {
        for index in 0..self.nodes.len() {
            if let Some(kiwi) = self.nodes[index].kiwi.as_mut().filter(|kiwi| !kiwi.runs()) {
                kiwi.launch();
            }
            self.launch(index);
        }
    }

    /// Gives every node a listener for HTTP.
    pub fn with_http(mut self) -> Self {
        for node in &mut self.nodes {
            let address = format!("{}:{}", node.host, ports::free());
            node.set("listen.http", &address);
        }
        self
    }

    /// Where a node of [`Self::with_http`] listens for HTTP.
    pub fn http(&self, index: usize) -> &str {
        let settings = &self.nodes[index].settings;
        let found = settings.iter().find(|(name, _)| name == "listen.http");
        found.map(|(_, address)| &**address).expect("the node has HTTP")
    }

    /// Lays out a node on each engine without starting any.
    pub fn prepare(engines: &[Engine], settings: &[(&str, &str)]) -> Self {
        // A test that failed has poisoned it and ended its own nodes.
        let machine = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
        let mut cluster = Self::prepare_beside_others(engines, settings);
        cluster.machine = Some(machine);
        cluster
    }

    /// As [`Self::prepare`], while other clusters may be there.
    pub fn prepare_beside_others(engines: &[Engine], settings: &[(&str, &str)]) -> Self {
        let dir = TempDir::with_prefix("raft-proxy-test-").unwrap();
        let nodes =
            engines.iter().zip(1..).map(|(engine, id)| Node::prepare(*engine, id, dir.path())).collect();
        let settings =
            settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { nodes, settings, dir, machine: None }
    }

    /// Lays out one more node, which waits to join, without starting it; its index.
    pub fn add(&mut self, engine: Engine) -> usize {
        let id = self.nodes.len() as u64 + 1;
        self.nodes.push(Node { founder: false, ..Node::prepare(engine, id, self.dir.path()) });
        self.nodes.len() - 1
    }

    /// The directory that all nodes are in.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The ports for clients.
    pub fn ports(&self) -> Vec<u16> {
        self.nodes.iter().map(|node| node.port).collect()
    }

    /// The command that runs a node, without having started it.
    pub fn command(&self, index: usize) -> Command {
        let node = &self.nodes[index];
        let members: Vec<String> = self
            .nodes
            .iter()
            .filter(|_| node.founder)
            .filter(|node| node.founder)
            .map(|node| {
                let port = node.link.as_ref().map_or(node.raft_port, |link| link.port);
                format!("{}={}:{port}", node.id, node.host)
            })
            .collect();
        let mut command = match &node.namespace {
            None => Command::new(binary()),
            Some(name) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", name]).arg(binary());
                command
            }
        };
        command
            .arg("serve")
            .args(["--node-id", &node.id.to_string()])
            .arg("--node-data-dir")
            .arg(node.dir.join("data"))
            .args(["--listen-resp", &format!("{}:{}", node.host, node.port)])
            .args(["--listen-raft", &format!("{}:{}", node.host, node.raft_port)])
            .args(["--cluster-members", &members.join(",")])
            .env("RAFT_PROXY_CLUSTER_SECRET", SECRET)
            .envs(node.environment.iter().map(|(name, value)| (name, value)))
            // A test that panics closes the pipe, and the node goes.
            .arg("--until-stdin-closes")
            .stdin(Stdio::piped());
        let protected = "listen.protected_mode";
        if node.namespace.is_some() && !node.settings.iter().any(|(name, _)| name == protected) {
            // The tests are on another machine then.
            command.args(["--listen-protected-mode", "false"]);
        }
        if let Some(step) = &node.stop_at {
            command.env("STOP_AT_STEP", step);
        }
        if let Some(version) = node.speaks {
            command.env("SPEAK_CLUSTER_VERSION", version.to_string());
            command.env("SPEAK_PEER_VERSIONS", format!("1-{version}"));
        }
        for (name, value) in self.settings.iter().chain(&node.settings) {
            command.arg(format!("--{}", name.replace(['.', '_'], "-"))).arg(value);
        }
        command
    }

    /// Starts a node's process, for the first time or again.
    pub fn launch(&mut self, index: usize) {
        fs::create_dir_all(&self.nodes[index].dir).unwrap();
        let log = File::options().create(true).append(true).open(self.log_path(index)).unwrap();
        let mut command = self.command(index);
        command.stdout(log.try_clone().unwrap()).stderr(log);
        let node = &mut self.nodes[index];
        assert!(node.child.is_none(), "node {} runs already", node.id);
        node.child = Some(command.spawn().unwrap());
    }

    /// A node's log file.
    pub fn log_path(&self, index: usize) -> PathBuf {
        self.nodes[index].dir.join("log")
    }

    /// Sends a signal to a node.
    pub fn signal(&self, index: usize, signal: Signal) {
        kill(Pid::from_raw(self.pid(index) as i32), signal).unwrap();
    }

    /// A node's process id.
    pub fn pid(&self, index: usize) -> u32 {
        self.nodes[index].child.as_ref().expect("the node runs").id()
    }

    /// Whether a node's process was started and not ended through this.
    pub fn runs(&self, index: usize) -> bool {
        self.nodes[index].child.is_some()
    }

    /// `kill -9`.
    pub fn kill(&mut self, index: usize) {
        let mut child = self.nodes[index].child.take().expect("the node runs");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Stops a node as an operator does, and checks that it exits with 0.
    pub fn stop(&mut self, index: usize) {
        self.signal(index, Signal::SIGTERM);
        let code = self.wait_for_end(index);
        assert_eq!(code, Some(0), "node {}\n{}", index + 1, self.log(index));
    }

    /// Waits until a node's process has ended by itself; its exit code, none if a signal ended it.
    pub fn wait_for_end(&mut self, index: usize) -> Option<i32> {
        let mut child = self.nodes[index].child.take().expect("the node runs");
        process::wait_for_end(&mut child, PATIENCE, || format!("node {}\n{}", index + 1, self.log(index)))
            .code()
    }

    /// A node's log so far.
    pub fn log(&self, index: usize) -> String {
        fs::read_to_string(self.log_path(index)).unwrap_or_default()
    }

    /// A connection to a node, retried until it answers.
    pub fn connect(&self, index: usize) -> redis::Connection {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match try_connect(&self.nodes[index]) {
                Ok(connection) => return connection,
                Err(error) => {
                    assert!(Instant::now() < deadline, "node {}: {error}\n{}", index + 1, self.log(index));
                    sleep(Duration::from_millis(20));
                }
            }
        }
    }

    /// What a node says of all members.
    pub fn members(&self, index: usize) -> Option<Vec<MemberStatus>> {
        let mut connection = try_connect(&self.nodes[index]).ok()?;
        let text: String = redis::cmd("RAFT.STATUS").query(&mut connection).ok()?;
        Some(serde_json::from_str(&text).unwrap())
    }

    /// What a node says of itself.
    pub fn status(&self, index: usize) -> Option<NodeStatus> {
        let id = self.nodes[index].id;
        self.members(index)?.into_iter().find(|member| member.id == id)?.node
    }

    /// Waits until a running node says that it leads and the other running ones agree; its index.
    pub fn leader(&self) -> usize {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let statuses: Vec<NodeStatus> =
                (0..self.nodes.len()).filter(|i| self.runs(*i)).filter_map(|i| self.status(i)).collect();
            let leader = statuses.iter().find(|status| status.role == Role::Leader).map(|status| status.id);
            let running = (0..self.nodes.len()).filter(|i| self.runs(*i)).count();
            if let Some(id) = leader
                && statuses.len() == running
                && statuses.iter().all(|status| status.leader == Some(id))
            {
                return id as usize - 1;
            }
            assert!(Instant::now() < deadline, "no leader\n{statuses:#?}\n{}", self.log(0));
            sleep(Duration::from_millis(20));
        }
    }

    /// Waits until a new cluster, all of whose nodes run, has come to the newest version of its forms.
    pub fn wait_for_newest_version(&self) {
        let is_newest =
            |index| self.status(index).is_some_and(|status| status.cluster_version == status.newest_version);
        wait_for("the newest version", || (0..self.nodes.len()).all(is_newest));
    }

    /// Waits until a node says this of its storage.
    pub fn wait_for_storage(&self, index: usize, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let detail = self.status(index).map(|status| status.storage.detail);
            if detail.as_ref().is_some_and(|detail| detail.contains(text)) {
                return;
            }
            assert!(Instant::now() < deadline, "{detail:?}\n{}", self.log(index));
            sleep(Duration::from_millis(50));
        }
    }

    /// Waits until all running nodes have applied the same index, and checks that their content is equal.
    pub fn assert_equal_digests(&self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let digests: Vec<(u64, String)> =
                (0..self.nodes.len()).filter(|i| self.runs(*i)).map(|i| self.digest(i)).collect();
            let (index, digest) = &digests[0];
            if digests.iter().all(|(other, _)| other == index) {
                assert!(digests.iter().all(|(_, other)| other == digest), "replicas differ: {digests:?}");
                return;
            }
            assert!(Instant::now() < deadline, "replicas do not meet: {digests:?}");
            sleep(Duration::from_millis(50));
        }
    }

    /// What `RAFT.BACKEND` says under a name.
    pub fn backend(&self, index: usize, name: &str) -> String {
        let mut told: HashMap<String, redis::Value> = ask(&mut self.connect(index), "RAFT.BACKEND").unwrap();
        let value = told.remove(name).unwrap_or_else(|| panic!("RAFT.BACKEND has no {name}"));
        redis::from_redis_value(value).unwrap()
    }

    /// The Kiwi beside a node.
    pub fn kiwi(&self, index: usize) -> &Kiwi {
        self.nodes[index].kiwi.as_ref().expect("the node has a Kiwi")
    }

    /// The Kiwi beside a node, to start or to end it.
    pub fn kiwi_mut(&mut self, index: usize) -> &mut Kiwi {
        self.nodes[index].kiwi.as_mut().expect("the node has a Kiwi")
    }

    /// Waits until every running node has applied what any of them has, and its content is where it is kept in the end.
    pub fn settle(&self) {
        let deadline = Instant::now() + PATIENCE;
        let running = || (0..self.nodes.len()).filter(|index| self.runs(*index));
        let applied = running().filter_map(|index| Some(self.status(index)?.applied)).max().unwrap_or(0);
        for index in running() {
            let has_arrived = |storage: &Health| {
                let is_there = storage.ok && storage.detail.contains("; 0 changes");
                is_there || !self.nodes[index].engine.is_kiwi()
            };
            loop {
                let status = self.status(index);
                if status
                    .as_ref()
                    .is_some_and(|status| status.applied >= applied && has_arrived(&status.storage))
                {
                    break;
                }
                assert!(Instant::now() < deadline, "{status:?}\n{}", self.log(index));
                sleep(Duration::from_millis(20));
            }
        }
    }

    fn digest(&self, index: usize) -> (u64, String) {
        redis::cmd("RAFT.DIGEST").query(&mut self.connect(index)).unwrap()
    }
}

fn try_connect(node: &Node) -> redis::RedisResult<redis::Connection> {
    let password = node.settings.iter().find(|(name, _)| name == "listen.password");
    let password = password.map_or_else(String::new, |(_, password)| format!(":{password}@"));
    let client = redis::Client::open(format!("redis://{password}{}:{}/", node.host, node.port))?;
    let connection = client.get_connection_with_timeout(Duration::from_secs(2))?;
    connection.set_read_timeout(Some(PATIENCE))?;
    Ok(connection)
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            if let Some(mut child) = node.child.take() {
                // Both fail only if it has ended already.
                let _ = child.kill();
                let _ = child.wait();
            }
        }
        if std::thread::panicking() {
            for index in 0..self.nodes.len() {
                eprintln!("--- log of node {}\n{}", index + 1, self.log(index));
            }
        }
    }
}
