//! `raft-proxy demo`: a whole cluster of child processes on this machine.
//!
//! Each node is the same `raft-proxy serve` that an operator would run, with its own `cluster.conf`, data and log
//! under the demo's directory, so that what is seen here can be taken along.

mod directory;
mod kiwis;
mod process;

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::ArgMatches;
use clap::parser::ValueSource;
use indicatif::{ProgressBar, ProgressStyle};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use raft::status::{MemberStatus, Role};

use directory::{Directory, node_dir};
use kiwis::Kiwi;
use process::{ending, last_lines};

use super::failure::Failure;
use super::{private, status, stop};

/// How long the first election may take.
const ELECTION: Duration = Duration::from_secs(30);
/// How long a node may take to stop by itself.
const STOPPING: Duration = Duration::from_secs(10);
/// How far above its client port a node's Raft port is, as in Redis Cluster.
const RAFT_PORT_OFFSET: u16 = 10_000;

struct DemoNode {
    id: u16,
    port: u16,
    config: PathBuf,
    log: PathBuf,
    child: Child,
    ended: bool,
}

/// What runs, and where.
struct Demo {
    dir: PathBuf,
    nodes: Vec<DemoNode>,
    /// The Kiwi of each node, if that is the storage. They end behind the nodes.
    kiwis: Vec<Kiwi>,
}

/// Starts the nodes, shows how they are, stops them.
pub(super) fn run(args: &ArgMatches) -> Result<(), Failure> {
    private::keep();
    // Holds the directory until the nodes have ended.
    let home = Directory::open(args.get_one::<String>("dir").map(PathBuf::from))?;
    let given = |name: &str| args.value_source(name) == Some(ValueSource::CommandLine);
    let nodes = args.get_one::<u16>("nodes").copied().filter(|_| given("nodes"));
    let backend = args.get_one::<String>("backend").map(String::as_str).filter(|_| given("backend"));
    let (count, backend) = home.shape(nodes, backend)?;
    let port = *args.get_one::<u16>("port").unwrap_or(&6400);
    let program = args.get_one::<PathBuf>("kiwi-bin").map(PathBuf::as_path);
    let program = match (backend.as_str(), program) {
        ("kiwi", program) => Some(kiwis::find(program)?),
        (_, None) => None,
        (_, Some(_)) => return Err(Failure::Usage("--kiwi-bin goes with --backend kiwi".to_owned())),
    };
    let stop = stop::flag()?;
    check_ports(count, port, program.is_some())?;
    write_configs(home.path(), count, port, &backend)?;
    let mut demo = Demo { dir: home.path().to_owned(), nodes: Vec::new(), kiwis: Vec::new() };
    let outcome = demo.start(count, port, program.as_deref(), &stop).and_then(|()| demo.show(&stop));
    stop_all(&mut demo.nodes);
    outcome
}

impl Demo {
    fn start(
        &mut self,
        count: u16,
        port: u16,
        program: Option<&Path>,
        stop: &AtomicBool,
    ) -> Result<(), Failure> {
        for id in (1..=count).filter(|_| program.is_some()) {
            let (dir, port) = (node_dir(&self.dir, id), port + id - 1 + kiwis::PORT_OFFSET);
            self.kiwis.extend(program.map(|program| Kiwi::start(program, &dir, port)).transpose()?);
        }
        for kiwi in &mut self.kiwis {
            kiwi.wait(stop)?;
        }
        for id in 1..=count {
            self.nodes.push(start(&self.dir, id, port + id - 1)?);
        }
        Ok(())
    }

    fn show(&mut self, stop: &AtomicBool) -> Result<(), Failure> {
        let Some(members) = wait_for_leader(&mut self.nodes, stop)? else { return Ok(()) };
        self.print_start(&members);
        let line = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
            line.set_style(style);
        }
        while !stop.load(Ordering::Relaxed) {
            note_ended(&mut self.nodes, &line)?;
            note_ended_kiwis(&mut self.kiwis, &line)?;
            if !line.is_hidden() {
                line.set_message(summary(&self.nodes));
            }
            line.tick();
            std::thread::sleep(Duration::from_millis(500));
        }
        line.finish_and_clear();
        // Whoever has read the start may have gone, as `head` does.
        let _ = writeln!(std::io::stdout(), "Stopping.");
        Ok(())
    }

    fn print_start(&self, members: &[MemberStatus]) {
        let leader = leader(members);
        println!("A cluster of {} runs in {}:", members.len(), self.dir.display());
        for (index, node) in self.nodes.iter().enumerate() {
            let role = if leader == Some(u64::from(node.id)) { "leader" } else { "follower" };
            let kiwi = self.kiwis.get(index);
            let kiwi = kiwi.map(|kiwi| format!("  its Kiwi 127.0.0.1:{}  pid {}", kiwi.port, kiwi.pid()));
            println!(
                "  node {}  127.0.0.1:{}  {role:8}  pid {}{}",
                node.id,
                node.port,
                node.child.id(),
                kiwi.unwrap_or_default()
            );
        }
        let first = self.nodes.first().map_or(6400, |node| node.port);
        let last = self.nodes.last().map_or(first, |node| node.port);
        println!("Try:");
        println!("  redis-cli -p {first} SET greeting hello");
        println!("  redis-cli -p {last} GET greeting");
        if let Some(kiwi) = self.kiwis.last() {
            println!(
                "  redis-cli -p {} GET greeting    (what is on that Kiwi; write through the nodes only)",
                kiwi.port
            );
        }
        println!("  raft-proxy status --addr 127.0.0.1:{first}");
        println!("Ctrl-C stops everything.");
    }
}

fn check_ports(count: u16, port: u16, with_kiwis: bool) -> Result<(), Failure> {
    let kiwis = with_kiwis.then_some(kiwis::PORT_OFFSET);
    for offset in [Some(0), Some(RAFT_PORT_OFFSET), kiwis].into_iter().flatten() {
        for port in port + offset..port + offset + count {
            TcpListener::bind(("127.0.0.1", port)).map_err(|error| {
                Failure::Usage(format!("port {port}: {error}; choose others with --port"))
            })?;
        }
    }
    Ok(())
}

/// Writes each node's `cluster.conf`. The directory of an earlier demo keeps its secret, and its data.
fn write_configs(dir: &Path, count: u16, port: u16, backend: &str) -> Result<(), Failure> {
    let secret_file = dir.join("secret");
    let secret = match fs::read_to_string(&secret_file) {
        Ok(secret) => {
            private::close(&secret_file).map_err(Failure::because(secret_file.display()))?;
            secret.trim().to_owned()
        }
        Err(_) => {
            let secret: String = (0..32).map(|_| char::from(rand::random_range(b'a'..=b'z'))).collect();
            private::write(&secret_file, &secret)?;
            secret
        }
    };
    let members: Vec<String> =
        (1..=count).map(|id| format!("\"{id}=127.0.0.1:{}\"", port + RAFT_PORT_OFFSET + id - 1)).collect();
    for id in 1..=count {
        let node = node_dir(dir, id);
        private::make_directory(&node)?;
        let text = format!(
            "[node]\nid = {id}\ndata_dir = {:?}\n\n[listen]\nresp = \"127.0.0.1:{}\"\nraft = \"127.0.0.1:{}\"\n\n\
             [cluster]\nsecret = {secret:?}\nmembers = [{}]\n\n[storage]\nkind = {backend:?}\n{}",
            node.join("data").display().to_string(),
            port + id - 1,
            port + RAFT_PORT_OFFSET + id - 1,
            members.join(", "),
            match backend {
                "kiwi" => format!("address = \"127.0.0.1:{}\"\n", port + id - 1 + kiwis::PORT_OFFSET),
                _ => String::new(),
            },
        );
        private::write(&node.join("cluster.conf"), &text)?;
    }
    Ok(())
}

fn start(dir: &Path, id: u16, port: u16) -> Result<DemoNode, Failure> {
    let node = node_dir(dir, id);
    let (config, log) = (node.join("cluster.conf"), node.join("raft-proxy.log"));
    let output = fs::OpenOptions::new().create(true).append(true).open(&log);
    let output = output.map_err(Failure::because(log.display()))?;
    let program = std::env::current_exe().map_err(Failure::because("cannot find this program"))?;
    let child = std::process::Command::new(program)
        .args(["serve", "--until-stdin-closes", "--config"])
        .arg(&config)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(output)
        // Ctrl-C reaches this process only, which stops the nodes one after the other.
        .process_group(0)
        .spawn()
        .map_err(Failure::because(format!("cannot start node {id}")))?;
    Ok(DemoNode { id, port, config, log, child, ended: false })
}

/// The cluster's status once there is a leader; none if the demo is to stop.
fn wait_for_leader(nodes: &mut [DemoNode], stop: &AtomicBool) -> Result<Option<Vec<MemberStatus>>, Failure> {
    let deadline = Instant::now() + ELECTION;
    while Instant::now() < deadline {
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        for node in nodes.iter_mut() {
            if let Ok(Some(status)) = node.child.try_wait() {
                return Err(Failure::Failed(format!(
                    "node {} {}\n{}",
                    node.id,
                    ending(status),
                    last_lines(&node.log)
                )));
            }
        }
        if let Some(members) = ask_any(nodes).filter(|members| leader(members).is_some()) {
            return Ok(Some(members));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Err(Failure::Failed(format!(
        "no leader after {}\n{}",
        conf::value::write_duration(ELECTION),
        nodes.first().map(|node| last_lines(&node.log)).unwrap_or_default()
    )))
}

fn ask_any(nodes: &[DemoNode]) -> Option<Vec<MemberStatus>> {
    let living = nodes.iter().filter(|node| !node.ended);
    let ask = |node: &DemoNode| status::ask(&format!("127.0.0.1:{}", node.port), None, status::PATIENCE).ok();
    living.filter_map(ask).next()
}

fn leader(members: &[MemberStatus]) -> Option<u64> {
    members
        .iter()
        .filter_map(|member| member.node.as_ref())
        .find(|node| is_leader(node.role))
        .map(|node| node.id)
}

fn is_leader(role: Role) -> bool {
    role == Role::Leader
}

fn summary(nodes: &[DemoNode]) -> String {
    let Some(members) = ask_any(nodes) else { return "no node answers".to_owned() };
    let up: Vec<_> = members.iter().filter_map(|member| member.node.as_ref()).collect();
    match up.iter().find(|node| is_leader(node.role)) {
        Some(node) => format!(
            "leader: node {} on {}  term {}  applied {}  {} of {} up",
            node.id,
            node.resp,
            node.term,
            node.applied,
            up.len(),
            members.len()
        ),
        None => format!("no leader  {} of {} up", up.len(), members.len()),
    }
}

/// Says which nodes have ended, and how to start them again.
fn note_ended(nodes: &mut [DemoNode], line: &ProgressBar) -> Result<(), Failure> {
    for node in nodes.iter_mut().filter(|node| !node.ended) {
        let status = node.child.try_wait().map_err(Failure::because("cannot look at a node"))?;
        let Some(status) = status else { continue };
        node.ended = true;
        let again = format!("raft-proxy serve --config {}", node.config.display());
        line.suspend(|| println!("node {} {}; start it again with: {again}", node.id, ending(status)));
    }
    Ok(())
}

fn note_ended_kiwis(kiwis: &mut [Kiwi], line: &ProgressBar) -> Result<(), Failure> {
    for kiwi in kiwis {
        if let Some(status) = kiwi.look()? {
            let (port, ending, again) = (kiwi.port, ending(status), kiwi.command());
            line.suspend(|| println!("the Kiwi of port {port} {ending}; start it again with: {again}"));
        }
    }
    Ok(())
}

fn stop_all(nodes: &mut [DemoNode]) {
    for node in nodes.iter_mut().filter(|node| !node.ended) {
        if let Ok(pid) = i32::try_from(node.child.id()) {
            // A node that has just ended cannot be signalled, and need not be.
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
    }
    let deadline = Instant::now() + STOPPING;
    for node in nodes {
        while Instant::now() < deadline && matches!(node.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(20));
        }
        // Both fail only if it has ended already.
        let _ = node.child.kill();
        let _ = node.child.wait();
    }
}
