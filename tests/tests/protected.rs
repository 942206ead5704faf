//! Who gets in and who reads what: protected mode, placeholders, files that are their owner's alone.

use std::fs::Permissions;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tests::ask::wait_for;
use tests::cluster::{Cluster, PATIENCE, SECRET, binary};
use tests::engine::Engine::Embedded;
use tests::http;
use tests::netns::Network;
use tests::ports;

fn run(args: &[&str]) -> Output {
    Command::new(binary()).args(args).stdin(Stdio::null()).output().unwrap()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A node in a namespace, and the tests on another machine.
struct Elsewhere {
    cluster: Cluster,
    network: Network,
}

impl Elsewhere {
    /// None where there are no namespaces.
    fn new() -> Option<Self> {
        let network = match Network::new(1) {
            Ok(network) => network,
            Err(reason) => {
                println!("NOT RUN: no network namespaces here: {reason}");
                return None;
            }
        };
        let mut cluster = Cluster::prepare(&[Embedded], &[]);
        cluster.nodes[0].host = network.host(0);
        cluster.nodes[0].namespace = Some(network.name(0));
        cluster.nodes[0].set("listen.protected_mode", "true");
        let mut cluster = cluster.with_http();
        cluster.launch(0);
        let elsewhere = Self { cluster, network };
        wait_for("the node to answer", || TcpStream::connect(elsewhere.address()).is_ok());
        wait_for("the node to lead", || elsewhere.inside(&["status"]).status.success());
        Some(elsewhere)
    }

    fn address(&self) -> String {
        format!("{}:{}", self.network.host(0), self.cluster.nodes[0].port)
    }

    /// `raft-proxy ctl`, on the node's own machine.
    fn inside(&self, args: &[&str]) -> Output {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.network.name(0)]).arg(binary());
        command.arg("ctl").args(["--addr", &self.address()]).args(args);
        command.stdin(Stdio::null()).output().unwrap()
    }

    /// Sends lines on the node's own machine, and answers what comes back for a second.
    fn say_inside(&self, lines: &str) -> String {
        let script = r#"exec 3<>"/dev/tcp/$1/$2"; printf "%s\r\nQUIT\r\n" "$3" >&3; timeout 5 cat <&3"#;
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.network.name(0), "bash", "-c", script, "bash"]);
        command.args([&self.network.host(0), &self.cluster.nodes[0].port.to_string(), lines]);
        text(&command.stdin(Stdio::null()).output().unwrap())
    }

    /// Sends lines from here, and answers what comes back until the node closes the connection.
    fn say(&self, lines: &[&str]) -> Vec<String> {
        let mut stream = TcpStream::connect(self.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        // Who refuses may have closed already.
        let _ = stream.write_all(format!("{}\r\nQUIT\r\n", lines.join("\r\n")).as_bytes());
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).lines().map(str::to_owned).collect()
    }
}

#[test]
fn a_node_without_a_password_serves_its_own_machine_only() {
    let Some(node) = Elsewhere::new() else { return };
    let http = node.cluster.http(0).to_owned();
    let denied = "-DENIED Redis is running in protected mode because protected mode is enabled and no password is set for \
                  the default user. In this mode connections are only accepted from the loopback interface.";
    for line in ["PING", "SET k v", "CONFIG SET protected-mode no", "AUTH x"] {
        let said = node.say(&[line]);
        assert!(said.len() == 1 && said[0].starts_with(denied), "{line}: {said:?}");
    }
    for (method, path) in [("GET", "/metrics"), ("GET", "/config"), ("PUT", "/log-level"), ("GET", "/")] {
        let answer = http::call(&http, method, path, &[], "{}");
        assert_eq!(answer.status, 403, "{method} {path}");
        let said = answer.json()["error"].as_str().unwrap().to_owned();
        assert!(format!("-{said}").starts_with(denied), "{said}");
    }
    // An orchestrator may ask from anywhere.
    assert_eq!(http::get(&http, "/livez").status, 200);
    assert_eq!(http::get(&http, "/readyz").status, 200);
    assert!(node.inside(&["logs-level", "warn"]).status.success());
    // With the mode off, everybody is served, and nobody else changes the cluster.
    let said = node.say_inside("CONFIG SET protected-mode no");
    assert!(said.starts_with("+OK"), "{said}");
    let changes = [
        "CONFIG SET maxclients 5",
        "CONFIG REWRITE",
        "RAFT.NODE ADD 7 127.0.0.1:1",
        "RAFT.NODE REMOVE 1 FORCE",
        "RAFT.CLUSTER JOIN 127.0.0.1:1",
        "RAFT.TRANSFER_LEADER",
        "CLUSTER MEET 127.0.0.1 1",
        "CLUSTER FORGET x",
    ];
    let said = node.say(&changes);
    assert_eq!(said.len(), changes.len() + 1, "{said:?}");
    for (line, said) in changes.iter().zip(&said) {
        assert!(said.starts_with("-DENIED no password is set"), "{line}: {said}");
    }
    assert_eq!(node.say(&["SET k v", "CONFIG GET protected-mode"])[..2], ["+OK", "*2"]);
    assert_eq!(http::get(&http, "/config").status, 200);
    assert_eq!(http::call(&http, "PUT", "/log-level", &[], "{\"level\":\"info\"}").status, 403);
    // With a password, whoever has it may, wherever he is, and protected mode is of no matter.
    let said = node.say_inside("CONFIG SET requirepass pw protected-mode yes");
    assert!(said.starts_with("+OK"), "{said}");
    assert!(node.say(&["PING"])[0].starts_with("-NOAUTH"));
    assert_eq!(node.say(&["AUTH pw", "CONFIG SET maxclients 5", "PING"])[..3], ["+OK", "+OK", "+PONG"]);
    let bearer = [("Authorization", "Bearer pw")];
    assert_eq!(http::call(&http, "PUT", "/log-level", &bearer, "{\"level\":\"info\"}").status, 200);
}

#[test]
fn check_and_serve_name_the_danger_of_listening_everywhere_without_a_password() {
    let everywhere =
        ["--listen-resp", "0.0.0.0:0", "--listen-raft", "0.0.0.0:0", "--listen-http", "0.0.0.0:0"];
    let output = run(&[&["check"], &everywhere[..]].concat());
    let said = text(&output);
    assert!(output.status.success(), "{said}");
    assert!(!said.contains("is good") && said.contains("is not safe"), "{said}");
    assert!(said.contains("no password is set, so clients of other machines are refused"), "{said}");
    assert!(said.contains("cluster.secret is empty: anybody who reaches listen.raft"), "{said}");
    let open = text(&run(&[&["check", "--listen-protected-mode", "false"], &everywhere[..]].concat()));
    assert!(open.contains("anybody who reaches listen.resp (0.0.0.0:0) and listen.http"), "{open}");
    let mut safe = Command::new(binary());
    safe.arg("check").args(everywhere).env("RAFT_PROXY_CLUSTER_SECRET", SECRET);
    let safe = text(&safe.env("RAFT_PROXY_LISTEN_PASSWORD", "pw").output().unwrap());
    assert!(safe.starts_with("The configuration is good"), "{safe}");
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let serve = ["serve", "--until-stdin-closes", "--node-data-dir", data.to_str().unwrap()];
    let served = run(&[&serve[..], &everywhere[..]].concat());
    assert!(served.status.success(), "{}", text(&served));
    assert!(text(&served).contains("no password is set"), "{}", text(&served));
}

#[test]
fn the_placeholders_of_the_examples_are_refused_with_what_to_do() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/three-nodes/node1.conf");
    for command in ["check", "serve"] {
        let output = run(&[command, "--config", example.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(64), "{}", text(&output));
        let said = text(&output);
        assert!(said.contains("cluster.secret: is the placeholder of an example"), "{said}");
        assert!(said.contains("head -c 24 /dev/urandom | base64"), "{said}");
        assert!(!said.contains("replace-me"), "{said}");
    }
    let mut command = Command::new(binary());
    command.args(["check", "--config"]).arg(&example).env("RAFT_PROXY_CLUSTER_SECRET", SECRET);
    let said = text(&command.output().unwrap());
    assert!(said.contains("listen.password: is the placeholder of an example"), "{said}");
}

/// Runs a program as somebody whose files are open to others.
fn openly(args: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", "umask 022; exec \"$@\"", "sh"]).arg(binary()).args(args);
    command.env("RAFT_PROXY_CLUSTER_SECRET", SECRET).stdin(Stdio::null());
    command
}

/// Everything below a directory that others than its owner may do something with.
fn open_to_others(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let mode = std::fs::symlink_metadata(&path).unwrap().permissions().mode();
        if mode & 0o077 != 0 {
            found.push(format!("{mode:o} {}", path.display()));
        }
        if path.is_dir() {
            found.extend(open_to_others(&path));
        }
    }
    found
}

#[test]
fn data_logs_and_backups_are_their_owners_alone() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).display().to_string();
    let (port, raft) = (ports::free(), ports::free());
    let (resp, raft) = (format!("127.0.0.1:{port}"), format!("127.0.0.1:{raft}"));
    // It was there before, and open.
    std::fs::create_dir(at("data")).unwrap();
    std::fs::set_permissions(at("data"), Permissions::from_mode(0o755)).unwrap();
    let (data, log) = (at("data"), at("log"));
    let node = [
        "--node-data-dir",
        &data,
        "--listen-resp",
        &resp,
        "--listen-raft",
        &raft,
        "--cluster-members",
        &format!("1={raft}"),
    ];
    let mut serve = openly(&[&["serve", "--until-stdin-closes", "--log-file", &log], &node[..]].concat());
    let mut served = serve.stdin(Stdio::piped()).spawn().unwrap();
    let status = ["status", "--addr", &resp];
    wait_for("the node to lead", || run(&status).status.success());
    let set = redis::Client::open(format!("redis://{resp}/")).unwrap().get_connection();
    redis::cmd("SET").arg("k").arg("v").query::<()>(&mut set.unwrap()).unwrap();
    let backup = at("backup");
    assert!(openly(&["backup", "--from", &resp, &backup]).output().unwrap().status.success());
    drop(served.stdin.take());
    assert!(served.wait().unwrap().success());
    let recovered = openly(&[&["recover", "--unsafe"], &node[..]].concat()).output().unwrap();
    assert!(recovered.status.success(), "{}", text(&recovered));
    for (name, enabled) in [("restored", "true"), ("alone", "false")] {
        let path = at(name);
        let to = ["restore", &backup, "--cluster-enabled", enabled, "--dir", &path];
        let restored = openly(&[&to[..], &["--cluster-members", &format!("1={raft}")]].concat());
        let restored = { restored }.output().unwrap();
        assert!(restored.status.success(), "{}", text(&restored));
    }
    assert_eq!(open_to_others(dir.path()), Vec::<String>::new());
}

#[test]
fn a_demos_secret_and_configuration_are_their_owners_alone_also_those_of_an_earlier_one() {
    let dir = tempfile::tempdir().unwrap();
    let is_free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let port = (0..).map(|_| ports::free()).find(|port| is_free(port + 10_000)).unwrap();
    let (path, port) = (dir.path().to_str().unwrap().to_owned(), port.to_string());
    let demo = ["demo", "--nodes", "1", "--port", &port, "--dir", &path];
    for _ in 0..2 {
        let mut running = openly(&demo).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(running.stdout.take().unwrap()).lines();
        let last = lines.map_while(Result::ok).find(|line| line.contains("Ctrl-C"));
        kill(Pid::from_raw(running.id() as i32), Signal::SIGTERM).unwrap();
        assert!(running.wait().unwrap().success());
        assert!(last.is_some());
        assert_eq!(open_to_others(dir.path()), Vec::<String>::new());
        // As an earlier version has left them.
        for name in ["secret", "node1/cluster.conf", "node1", "node1/data"] {
            let mode = if dir.path().join(name).is_dir() { 0o755 } else { 0o644 };
            std::fs::set_permissions(dir.path().join(name), Permissions::from_mode(mode)).unwrap();
        }
    }
}

#[test]
fn config_get_does_not_show_the_password_and_what_it_shows_is_no_password() {
    let cluster = Cluster::start(&[Embedded]);
    let mut connection = cluster.connect(0);
    connection.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let () = redis::cmd("CONFIG").arg(&["SET", "requirepass", "hunter2"]).query(&mut connection).unwrap();
    let shown: Vec<(String, String)> =
        redis::cmd("CONFIG").arg(&["GET", "*"]).query(&mut connection).unwrap();
    assert!(shown.iter().all(|(_, value)| !value.contains("hunter2")), "{shown:?}");
    let password = shown.iter().find(|(name, _)| name == "requirepass").unwrap();
    assert_eq!(password.1, "(secret)");
    let again = redis::cmd("CONFIG").arg(&["SET", "requirepass", "(secret)"]).query::<()>(&mut connection);
    assert!(again.is_err());
    let () = redis::cmd("AUTH").arg("hunter2").query(&mut connection).unwrap();
}
