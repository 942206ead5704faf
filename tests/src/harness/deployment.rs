//! The nodes: processes in places that outlive them.
//!
//! A *slot* is a machine, so to speak: a network namespace, addresses, a disk, a clock. In it runs a *node*, with an
//! id that is never used again; another one may come into its place.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use raft::status::{MemberStatus, NodeStatus, Role};

use super::client::{Answer, Connection, Shared};
use super::failure::{Failure, Result};
use super::ground::{Disk, Ground};
use super::process::Process;
use crate::clock_shim::WallClock;
use crate::cluster::{SECRET, beside_tests, binary};
use crate::differential::resp::Frame;
use crate::engine::Engine;
use crate::netns::Network;
use crate::ports;

/// How long anything may take that is not measured.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// How long an operator's command may take.
const OPERATOR_PATIENCE: Duration = Duration::from_secs(12);
/// How long a node may take to say how things are. One that stands still never does.
const LOOKS: Duration = Duration::from_secs(2);
/// Between two looks.
const POLL: Duration = Duration::from_millis(50);
/// Slots without a node, for those who come.
const SPARE_SLOTS: usize = 2;
/// The size of a node's disk.
const DISK_SIZE: &str = "256m";
/// Snapshots and purges of the log within seconds, and a Kiwi that is not waited for longer than it needs.
const SETTINGS: [(&str, &str); 5] = [
    ("raft.lease_reads", "true"),
    ("raft.snapshot_log_bytes", "1MiB"),
    ("raft.keep_entries", "50"),
    ("log.performance_interval", "0s"),
    ("storage.settle_time", "1s"),
];

/// A place for a node.
pub struct Slot {
    /// Its address.
    pub host: String,
    /// The network namespace, if it has one.
    pub namespace: Option<String>,
    /// Its disk: the directory in which everything of a node is but its log.
    pub disk: PathBuf,
    /// The wall clock of its processes, if it can be moved.
    pub clock: Option<WallClock>,
    /// Who lives here.
    pub node: Option<Node>,
    ports: [u16; 3],
    log: PathBuf,
    environment: Vec<(String, String)>,
    _mounted: Option<Disk>,
}

/// A member of the cluster, or one that is to be.
pub struct Node {
    /// Its id.
    pub id: u64,
    /// The sidecar, if it was started.
    pub sidecar: Option<Process>,
    /// The Kiwi beside it, if it was started.
    pub storage: Option<Process>,
    /// One of those who form the cluster; else it waits to join.
    founder: bool,
}

/// All slots.
pub struct Deployment {
    /// The slots; the first ones begin with the founders, in order of their ids.
    pub slots: Vec<Slot>,
    /// Their network, if they have namespaces.
    pub network: Option<Network>,
    /// What keeps the nodes' data.
    pub engine: Engine,
    /// The clients of the round, who are told who comes and goes.
    pub clients: Option<Arc<Shared>>,
    founders: usize,
    next_id: u64,
}

impl Deployment {
    /// Starts so many nodes, with everything that they have in a directory, and waits for a leader.
    pub fn start(engine: Engine, nodes: usize, ground: &Ground, dir: &Path) -> Result<Self> {
        let count = nodes + SPARE_SLOTS;
        let network =
            if ground.network { Some(Network::new(count).map_err(Failure::Machine)?) } else { None };
        let slots = (0..count).map(|index| Slot::new(index, network.as_ref(), ground, dir));
        let slots = slots.collect::<Result<Vec<_>>>()?;
        let mut deployment =
            Self { slots, network, engine, clients: None, founders: nodes, next_id: nodes as u64 + 1 };
        for slot in 0..nodes {
            deployment.slots[slot].node = Some(Node::new(slot as u64 + 1, true));
            deployment.launch(slot)?;
        }
        deployment.wait_for_leader()?;
        Ok(deployment)
    }

    /// The slots in which nodes are.
    pub fn members(&self) -> Vec<usize> {
        (0..self.slots.len()).filter(|slot| self.slots[*slot].node.is_some()).collect()
    }

    /// A slot without a node.
    pub fn spare(&self) -> Result<usize> {
        let free = (0..self.slots.len()).find(|slot| self.slots[*slot].node.is_none());
        free.ok_or_else(|| Failure::Machine("no slot is free".to_owned()))
    }

    /// The node in a slot.
    pub fn node(&mut self, slot: usize) -> Result<&mut Node> {
        let node = self.slots[slot].node.as_mut();
        node.ok_or_else(|| Failure::Machine(format!("nobody is in slot {}", slot + 1)))
    }

    /// The id of the node in a slot.
    pub fn id(&self, slot: usize) -> u64 {
        self.slots[slot].node.as_ref().map_or(0, |node| node.id)
    }

    /// An id that nobody has had.
    pub fn new_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id - 1
    }

    /// Puts a node that waits to join into a slot, without starting it.
    pub fn settle(&mut self, slot: usize, id: u64) {
        self.slots[slot].node = Some(Node::new(id, false));
        self.tell_clients();
    }

    /// Takes a node out of its slot for good, with everything that it had.
    pub fn clear(&mut self, slot: usize) -> Result<()> {
        self.slots[slot].node = None;
        self.tell_clients();
        remove_contents(&self.slots[slot].disk)
    }

    /// Has clients turn to those who are there.
    pub fn tell_clients(&self) {
        let members = self.members().into_iter().map(|slot| (slot, self.slots[slot].address())).collect();
        if let Some(mut told) = self.clients.as_ref().and_then(|clients| clients.members.write().ok()) {
            *told = members;
        }
    }

    /// Starts a node's processes that do not run.
    pub fn launch(&mut self, slot: usize) -> Result<()> {
        if self.engine.is_kiwi() && self.node(slot)?.storage.is_none() {
            self.launch_storage(slot)?;
        }
        let mut command = self.command(slot)?;
        let log = self.slots[slot].log.clone();
        let node = self.node(slot)?;
        if node.sidecar.as_mut().is_some_and(|process| process.ended().is_none()) {
            return Err(Failure::Machine(format!("node {} runs already", node.id)));
        }
        node.sidecar = Some(Process::start(&mut command, &log)?);
        Ok(())
    }

    /// Starts the Kiwi beside a node, and waits until it listens.
    pub fn launch_storage(&mut self, slot: usize) -> Result<()> {
        let place = &self.slots[slot];
        let (dir, port) = (place.disk.join("kiwi"), place.ports[2]);
        fs::create_dir_all(&dir)?;
        let config = place.disk.join("kiwi.conf");
        fs::write(&config, format!("port {port}\nbinding 127.0.0.1\ndata-dir {}\n", dir.display()))?;
        let program = match self.engine {
            Engine::Kiwi => PathBuf::from(std::env::var_os("KIWI_BIN").unwrap_or_default()),
            _ => beside_tests("kiwi-stand-in"),
        };
        let mut command = place.command(&program);
        command.arg("--config").arg(config).current_dir(&place.disk);
        let log = place.log.with_extension("kiwi.log");
        let process = Process::start(&mut command, &log)?;
        self.node(slot)?.storage = Some(process);
        let connects = format!("exec 3<>/dev/tcp/127.0.0.1/{port}");
        self.until("the Kiwi to listen", |deployment| {
            let mut command = deployment.slots[slot].command(Path::new("bash"));
            command.args(["-c", &connects]).output().is_ok_and(|output| output.status.success())
        })
    }

    fn command(&self, slot: usize) -> Result<Command> {
        let place = &self.slots[slot];
        let node = place.node.as_ref();
        let node = node.ok_or_else(|| Failure::Machine(format!("nobody is in slot {}", slot + 1)))?;
        let mut command = place.command(&binary());
        command
            .arg("serve")
            .args(["--node-id", &node.id.to_string()])
            .arg("--node-data-dir")
            .arg(place.disk.join("data"))
            .args(["--listen-resp", &place.address().to_string()])
            .args(["--listen-raft", &place.raft_address()])
            .env("RAFT_PROXY_CLUSTER_SECRET", SECRET)
            .env("RAFT_PROXY_LISTEN_PASSWORD", SECRET)
            .envs(place.environment.iter().map(|(name, value)| (name, value)))
            .arg("--until-stdin-closes");
        if node.founder {
            let members: Vec<String> = (0..self.founders)
                .map(|slot| format!("{}={}", slot + 1, self.slots[slot].raft_address()))
                .collect();
            command.args(["--cluster-members", &members.join(",")]);
        }
        if self.engine.is_kiwi() {
            command.args(["--storage-kind", "kiwi"]);
            command.args(["--storage-address", &format!("127.0.0.1:{}", place.ports[2])]);
        }
        for (name, value) in SETTINGS {
            command.arg(format!("--{}", name.replace(['.', '_'], "-"))).arg(value);
        }
        Ok(command)
    }

    /// Sends a signal to a node.
    pub fn signal(&mut self, slot: usize, signal: Signal) -> Result<()> {
        self.sidecar(slot)?.signal(signal)
    }

    /// A node's process.
    pub fn sidecar(&mut self, slot: usize) -> Result<&mut Process> {
        let node = self.node(slot)?;
        let id = node.id;
        node.sidecar.as_mut().ok_or_else(|| Failure::Machine(format!("node {id} was not started")))
    }

    /// Whether a node's process is there.
    pub fn runs(&mut self, slot: usize) -> bool {
        let node = self.slots[slot].node.as_mut();
        node.and_then(|node| node.sidecar.as_mut()).is_some_and(|process| process.ended().is_none())
    }

    /// What a node has said since it was given this place.
    pub fn log(&self, slot: usize) -> String {
        fs::read_to_string(&self.slots[slot].log).unwrap_or_default()
    }

    /// The last lines of what a node has said.
    pub fn tail(&self, slot: usize) -> String {
        let log = self.log(slot);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(12)..].join("\n")
    }

    /// What a node answers an operator.
    pub fn ask(&self, slot: usize, words: &str) -> std::result::Result<Frame, String> {
        self.ask_within(slot, words, OPERATOR_PATIENCE)
    }

    /// What a node answers within a time.
    pub fn ask_within(
        &self,
        slot: usize,
        words: &str,
        patience: Duration,
    ) -> std::result::Result<Frame, String> {
        ask(self.slots[slot].address(), words, patience)
    }

    /// What a node says of all members.
    pub fn table(&self, slot: usize) -> Option<Vec<MemberStatus>> {
        let frame = self.ask_within(slot, "RAFT.STATUS", LOOKS).ok()?;
        serde_json::from_slice(frame.bytes()?).ok()
    }

    /// What a node says of itself.
    pub fn status(&self, slot: usize) -> Option<NodeStatus> {
        let id = self.id(slot);
        self.table(slot)?.into_iter().find(|member| member.id == id)?.node
    }

    /// The slot of whoever leads, as it says itself; of several, the one with the highest term.
    pub fn leader(&mut self) -> Option<usize> {
        let members = self.members();
        let running: Vec<usize> = members.into_iter().filter(|slot| self.runs(*slot)).collect();
        let statuses = running.into_iter().filter_map(|slot| Some((slot, self.status(slot)?)));
        let leaders = statuses.filter(|(_, status)| status.role == Role::Leader);
        leaders.max_by_key(|(_, status)| status.term).map(|(slot, _)| slot)
    }

    /// Waits for somebody to lead.
    pub fn wait_for_leader(&mut self) -> Result<usize> {
        self.until("a leader", |deployment| deployment.leader().is_some())?;
        self.leader().ok_or_else(|| Failure::Broken("a leader has gone at once".to_owned()))
    }

    /// Asks one running node after the other until one does what it is asked for.
    pub fn operate(&mut self, words: &str, not: Option<usize>) -> Result<Frame> {
        let deadline = Instant::now() + PATIENCE;
        let mut said = String::new();
        while Instant::now() < deadline {
            for slot in self.members() {
                if Some(slot) == not || !self.runs(slot) || self.ask_within(slot, "PING", LOOKS).is_err() {
                    continue;
                }
                match self.ask(slot, words) {
                    Ok(frame) => return Ok(frame),
                    Err(error) => said = format!("node {}: {error}", self.id(slot)),
                }
            }
            sleep(POLL);
        }
        Err(Failure::NoFault(format!("{words}: {said}")))
    }

    /// Waits until something is so.
    pub fn until(&mut self, what: &str, mut is: impl FnMut(&mut Self) -> bool) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !is(self) {
            if Instant::now() >= deadline {
                return Err(Failure::Broken(format!("in vain waited {PATIENCE:?} for {what}")));
            }
            sleep(POLL);
        }
        Ok(())
    }

    /// Waits until clients were answered so many more times.
    pub fn until_answered(&mut self, more: u64) -> Result<()> {
        let Some(clients) = self.clients.clone() else { return Ok(()) };
        let answered = || clients.answered.load(std::sync::atomic::Ordering::Relaxed);
        let target = answered() + more;
        self.until("clients to be answered", |_| answered() >= target)
    }
}

impl Slot {
    fn new(index: usize, network: Option<&Network>, ground: &Ground, dir: &Path) -> Result<Self> {
        let disk = dir.join(format!("disk{}", index + 1));
        fs::create_dir_all(&disk)?;
        let mounted =
            if ground.disks { Some(Disk::mount(&disk, DISK_SIZE).map_err(Failure::Machine)?) } else { None };
        let clock = ground.clocks.as_ref().map(|shim| {
            let clock = shim.clock(dir.join(format!("clock{}", index + 1)));
            (shim.environment(&clock), clock)
        });
        let (environment, clock) =
            clock.map_or((Vec::new(), None), |(environment, clock)| (environment.into(), Some(clock)));
        Ok(Self {
            host: network.map_or_else(|| "127.0.0.1".to_owned(), |network| network.host(index)),
            namespace: network.map(|network| network.name(index)),
            disk,
            clock,
            node: None,
            ports: if network.is_some() { [6400, 6500, 6600] } else { [0; 3].map(|_| ports::free()) },
            log: dir.join(format!("node{}.log", index + 1)),
            environment,
            _mounted: mounted,
        })
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        let host = self.host.parse().unwrap_or(std::net::Ipv4Addr::LOCALHOST.into());
        SocketAddr::new(host, self.ports[0])
    }

    /// Where nodes connect.
    pub fn raft_address(&self) -> String {
        format!("{}:{}", self.host, self.ports[1])
    }

    /// A program in this slot's namespace.
    pub fn command(&self, program: &Path) -> Command {
        match &self.namespace {
            None => Command::new(program),
            Some(name) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", name]).arg(program);
                command
            }
        }
    }
}

impl Node {
    fn new(id: u64, founder: bool) -> Self {
        Self { id, sidecar: None, storage: None, founder }
    }
}

/// Removes everything in a directory, which may be a mount.
pub fn remove_contents(dir: &Path) -> Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() { fs::remove_dir_all(&path)? } else { fs::remove_file(&path)? }
    }
    Ok(())
}

/// What a node at an address answers to a command of words; or the error, or why there is no answer.
pub fn ask(address: SocketAddr, words: &str, patience: Duration) -> std::result::Result<Frame, String> {
    let connection = Connection::open(address, patience);
    let words: Vec<&str> = words.split(' ').collect();
    match connection.map_err(|error| error.to_string())?.call(&words) {
        Answer::Reply(Frame::Error(text)) | Answer::Refused(text) | Answer::Lost(text) => Err(text),
        Answer::Reply(frame) => Ok(frame),
    }
}
