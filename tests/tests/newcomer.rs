//! What somebody meets who is new to it: nodes that are started one by one, wrong addresses, commands that go wrong,
//! and a demo that is started twice.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use redis::RedisResult;
use serde_json::Value;
use tests::ask::{ask, text_of, wait_for, words};
use tests::cluster::{Cluster, SECRET, binary};
use tests::engine::Engine::{Embedded, StandIn};
use tests::ports;
use tests::process::Parent;

fn run(args: &[&str]) -> Output {
    Command::new(binary()).args(args).stdin(Stdio::null()).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn error_of<T: std::fmt::Debug>(result: RedisResult<T>) -> String {
    text_of(&result.unwrap_err())
}

/// What it says under a name in INFO.
fn info(cluster: &Cluster, index: usize, name: &str) -> String {
    let text: String = ask(&mut cluster.connect(index), "INFO").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("INFO has no {name}: {text}")).to_owned()
}

#[test]
fn a_node_that_is_started_alone_answers_and_says_at_once_that_it_cannot_serve() {
    let mut cluster = Cluster::prepare(&[Embedded; 3], &[]);
    cluster.launch(0);
    let mut connection = cluster.connect(0);
    assert_eq!(ask::<String>(&mut connection, "PING").unwrap(), "PONG");
    assert_eq!(info(&cluster, 0, "raft_state"), "loading");
    assert_eq!(info(&cluster, 0, "loading"), "1");
    // A node that is started again needs a moment, and has clients wait for so long.
    assert_eq!(error_of(ask::<()>(&mut connection, "SET k v")), "CLUSTERDOWN No raft leader");
    for line in ["SET k v", "GET k", "RAFT.READ EVENTUAL GET k", "RAFT.NODE REMOVE 3", "RAFT.TRANSFER_LEADER"]
    {
        let began = Instant::now();
        assert_eq!(error_of(ask::<()>(&mut connection, line)), "CLUSTERDOWN No raft leader", "{line}");
        assert!(began.elapsed() < Duration::from_millis(500), "{line}: {:?}", began.elapsed());
    }
    let slots: Vec<String> = ask(&mut connection, "CLUSTER SLOTS").unwrap();
    assert!(slots.is_empty(), "{slots:?}");
    let began = Instant::now();
    let address = format!("127.0.0.1:{}", cluster.nodes[0].port);
    let status = run(&["status", "--addr", &address]);
    assert_eq!(status.status.code(), Some(2), "{}", said(&status));
    assert!(said(&status).contains("no node leads: node 1 is starting"), "{}", said(&status));
    let table = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(table.contains("starting") && table.contains("unreachable"), "{table}");
    assert!(began.elapsed() < Duration::from_secs(3));
    // It ends as one that serves does.
    let began = Instant::now();
    cluster.stop(0);
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    cluster.launch_all();
    let () = ask(&mut cluster.connect(0), "SET k v").unwrap();
    assert_eq!(info(&cluster, 0, "raft_state"), "up");
    assert!(run(&["status", "--addr", &address]).status.success());
}

#[test]
fn a_node_that_was_removed_while_it_was_down_says_what_it_is_and_openraft_is_quiet_about_it() {
    let mut cluster = Cluster::start(&[Embedded; 3]);
    let leader = cluster.leader();
    let gone = (leader + 1) % 3;
    cluster.kill(gone);
    let lines = |log: &str| log.lines().filter(|line| line.contains(" openraft")).count();
    wait_for("openraft to complain", || lines(&cluster.log(leader)) > 0);
    // Twenty rounds of heartbeats, with several lines each.
    let mut connection = cluster.connect(leader);
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(3) {
        let () = ask(&mut connection, "SET k v").unwrap();
    }
    let log = cluster.log(leader);
    assert!(lines(&log) <= 24, "{} lines:\n{log}", lines(&log));
    let () = words(&format!("RAFT.NODE REMOVE {}", gone + 1)).query(&mut connection).unwrap();
    cluster.launch(gone);
    wait_for("the removed node to know", || info(&cluster, gone, "raft_state") == "removed");
    assert_eq!(info(&cluster, gone, "raft_role"), "removed");
    for line in ["SET k v", "GET k", "RAFT.NODE ADD 0 127.0.0.1:1"] {
        let began = Instant::now();
        let error = error_of(ask::<()>(&mut cluster.connect(gone), line));
        assert!(error.starts_with("NOCLUSTER"), "{line}: {error}");
        assert!(began.elapsed() < Duration::from_millis(500), "{line}: {:?}", began.elapsed());
    }
}

#[test]
fn nodes_that_came_in_by_init_and_join_redirect_without_a_restart() {
    let mut cluster = Cluster::prepare(&[], &[("cluster.routing", "redirect")]);
    for index in 0..2 {
        cluster.add(Embedded);
        cluster.launch(index);
    }
    let () = ask(&mut cluster.connect(0), "RAFT.CLUSTER INIT").unwrap();
    let seed = format!("RAFT.CLUSTER JOIN 127.0.0.1:{}", cluster.nodes[0].raft_port);
    let () = ask(&mut cluster.connect(1), &seed).unwrap();
    let mut follower = cluster.connect(1);
    let moved = format!("MOVED 12706 127.0.0.1:{}", cluster.nodes[0].port);
    let mut answer = String::new();
    wait_for("the one that joined to redirect", || {
        answer =
            ask::<()>(&mut follower, "SET k1 v").map_or_else(|error| text_of(&error), |()| "OK".to_owned());
        answer == moved
    });
    // And the leader is told apart from the others at once.
    let slots: String =
        ask::<redis::Value>(&mut follower, "CLUSTER SLOTS").map(|v| format!("{v:?}")).unwrap();
    assert!(slots.contains(&cluster.nodes[0].port.to_string()), "{slots}");
}

#[test]
fn a_kiwi_that_knows_a_user_is_logged_in_to() {
    let mut cluster = Cluster::prepare(&[StandIn], &[]);
    cluster.kiwi_mut(0).settings.push(("requirepass", "secret".to_owned()));
    cluster.nodes[0].set("storage.username", "default");
    cluster.nodes[0].set("storage.password", "secret");
    cluster.launch_all();
    let mut connection = cluster.connect(0);
    let () = ask(&mut connection, "SET k v").unwrap();
    cluster.settle();
    assert_eq!(ask::<String>(&mut connection, "GET k").unwrap(), "v");
}

#[test]
fn serve_without_a_file_says_what_to_do_and_makes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(binary());
    let output = command.arg("serve").current_dir(dir.path()).stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(64), "{}", said(&output));
    for wanted in ["--config FILE", "--node-data-dir", "raft-proxy demo"] {
        assert!(said(&output).contains(wanted), "{}", said(&output));
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_misspelt_variable_is_refused_as_a_misspelt_key_is() {
    let mut command = Command::new(binary());
    command.arg("check").env("RAFT_PROXY_LISTEN_PASSWROD", "hunter2");
    let output = command.env("RAFT_PROXY_SERVICE_HOST", "10.0.0.1").output().unwrap();
    assert_eq!(output.status.code(), Some(64), "{}", said(&output));
    assert!(said(&output).contains("did you mean \"RAFT_PROXY_LISTEN_PASSWORD\"?"), "{}", said(&output));
    assert!(!said(&output).contains("hunter2"));
}

#[test]
fn what_takes_too_long_is_called_so_and_errors_are_json_if_that_is_asked_for() {
    // Somebody who takes connections and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    for command in [&["members"][..], &["status"], &["transfer"]] {
        let args = [&["ctl", "--addr", &address, "--timeout", "1"], command].concat();
        let began = Instant::now();
        let output = run(&args);
        assert_eq!(output.status.code(), Some(1));
        let wanted = format!("timed out after 1s: {address} does not answer");
        assert!(said(&output).contains(&wanted), "{}", said(&output));
        assert!(began.elapsed() < Duration::from_secs(3));
        assert!(!said(&output).contains("temporarily"), "{}", said(&output));
    }
    let nobody = format!("127.0.0.1:{}", ports::free());
    for (args, code) in [
        (vec!["status", "--json", "--addr", &*nobody], 1),
        (vec!["ctl", "members", "--json", "--addr", &*nobody], 1),
        (vec!["ctl", "nonsense", "--json"], 64),
        (vec!["snapshot", "inspect", "/nowhere/at/all", "--json"], 1),
    ] {
        let output = run(&args);
        assert_eq!(output.status.code(), Some(code), "{args:?}");
        let error: Value = serde_json::from_slice(&output.stderr).expect("JSON");
        assert!(error["error"].as_str().is_some_and(|text| !text.is_empty()), "{error}");
        assert_eq!(error["exit_code"], code, "{error}");
    }
}

#[test]
fn a_backup_to_standard_output_is_the_whole_of_it_and_nothing_else() {
    let cluster = Cluster::start(&[Embedded]);
    let mut connection = cluster.connect(0);
    for number in 0..100 {
        let () = redis::cmd("SET").arg(number).arg("x".repeat(10_000)).query(&mut connection).unwrap();
    }
    let address = format!("127.0.0.1:{}", cluster.nodes[0].port);
    let output = run(&["backup", "--from", &address, "-"]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("keys"), "{}", said(&output));
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("backup");
    std::fs::write(&file, &output.stdout).unwrap();
    let inspected = run(&["snapshot", "inspect", file.to_str().unwrap(), "--json"]);
    let inspected: Value = serde_json::from_slice(&inspected.stdout).unwrap();
    assert_eq!(inspected["keys"], 100);
    // Nothing was made that is named so.
    assert!(!Path::new("-").exists());
    // Who reads no further is told of.
    let mut cut = Command::new(binary());
    cut.args(["backup", "--from", &address, "-"]).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut cut = cut.stderr(Stdio::null()).spawn().unwrap();
    drop(cut.stdout.take());
    assert_eq!(cut.wait().unwrap().code(), Some(1));
}

#[test]
fn a_damaged_storage_is_named_by_the_directory_whose_removal_heals_it() {
    let mut cluster = Cluster::start(&[Embedded]);
    let () = ask(&mut cluster.connect(0), "SET k v").unwrap();
    cluster.stop(0);
    let data = cluster.nodes[0].dir.join("data").join("data");
    let generation = data.join("1");
    for entry in std::fs::read_dir(&generation).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_string_lossy().starts_with("MANIFEST") {
            let mut file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
            file.write_all(&[0xff; 64]).unwrap();
        }
    }
    let output = cluster.command(0).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let wanted = format!("{} is damaged", data.display());
    assert!(said(&output).contains(&wanted), "{}", said(&output));
    std::fs::remove_dir_all(&data).unwrap();
    cluster.launch_all();
    assert_eq!(ask::<String>(&mut cluster.connect(0), "GET k").unwrap(), "v");
}

/// A demo that runs.
struct Demo(Parent);

impl Demo {
    /// Starts one and waits until it says that it runs; what it has said.
    fn start(args: &[&str]) -> (Self, Vec<String>) {
        let mut command = Command::new(binary());
        command.arg("demo").args(args).stdout(Stdio::piped()).stdin(Stdio::null());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        // What comes behind that is read by nobody.
        let said = lines.take_while(|line| !line.contains("Ctrl-C")).collect();
        (Self(Parent(child)), said)
    }

    fn stop(mut self) {
        kill(Pid::from_raw(self.0.0.id() as i32), Signal::SIGINT).unwrap();
        assert!(self.0.0.wait().unwrap().success());
    }
}

fn demo_port() -> String {
    let is_free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    (0..).map(|_| ports::free()).find(|port| is_free(port + 10_000)).unwrap().to_string()
}

#[test]
fn a_second_demo_in_a_directory_changes_nothing_there_and_claims_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    let (first, port) = (demo_port(), demo_port());
    let (demo, text) = Demo::start(&["--nodes", "1", "--port", &first, "--dir", path]);
    assert!(text.iter().any(|line| line.starts_with("A cluster of 1 runs in")), "{text:?}");
    let config = || std::fs::read_to_string(dir.path().join("node1/cluster.conf")).unwrap();
    let before = config();
    let fails = |args: &[&str], reason: &str| {
        let output = run(&[&["demo", "--dir", path, "--port", &port], args].concat());
        assert_eq!(output.status.code(), Some(64), "{args:?}: {}", said(&output));
        assert!(said(&output).contains(reason), "{args:?}: {}", said(&output));
        assert_eq!(config(), before, "{args:?}");
    };
    fails(&["--nodes", "1"], "another demo runs in");
    demo.stop();
    fails(&["--nodes", "5"], "holds a cluster of 1, which --nodes 5 does not change");
    fails(&["--backend", "memory"], "whose storage is embedded, not memory");
    // A node that was started by hand.
    let raft = before.lines().find_map(|line| line.strip_prefix("raft = \"")).unwrap().trim_end_matches('"');
    let by_hand = TcpListener::bind(raft).unwrap();
    fails(&[], "node 1 of");
    drop(by_hand);
    // It goes on with what is there.
    let (demo, text) = Demo::start(&["--port", &port, "--dir", path]);
    assert!(text.iter().any(|line| line.starts_with("A cluster of 1 runs in")), "{text:?}");
    demo.stop();
    assert_ne!(config(), before);
    assert!(!config().contains(SECRET));
}
