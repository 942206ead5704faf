//! `raft-proxy ctl`: what it shows, what it changes, and the codes that it exits with.

use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;
use tests::cluster::{Cluster, PATIENCE, binary};
use tests::engine::Engine::Embedded;
use tests::history::Writers;

fn ctl(port: u16, args: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command.arg("ctl").args(["--addr", &format!("127.0.0.1:{port}")]).args(args);
    command.stdin(Stdio::null()).output().unwrap()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// What it prints when it succeeds.
fn shows(port: u16, args: &[&str]) -> String {
    let output = ctl(port, args);
    assert_eq!(output.status.code(), Some(0), "{args:?}: {}", text(&output));
    String::from_utf8(output.stdout).unwrap()
}

fn json(port: u16, args: &[&str]) -> Value {
    serde_json::from_str(&shows(port, &[args, &["--json"]].concat())).unwrap()
}

/// Its exit code, and what it prints.
fn fails(port: u16, args: &[&str], code: i32, reason: &str) {
    let output = ctl(port, args);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {}", text(&output));
    assert!(text(&output).contains(reason), "{args:?}: {}", text(&output));
}

#[test]
fn it_shows_the_nodes_the_members_and_that_all_are_well() {
    let cluster = Cluster::start(&[Embedded; 3]);
    let leader = cluster.leader() as u64 + 1;
    let port = cluster.nodes[0].port;
    let status = json(port, &["status"]);
    assert_eq!(status.as_array().unwrap().len(), 3);
    for node in &cluster.nodes {
        let (client, raft) = (format!("127.0.0.1:{}", node.port), format!("127.0.0.1:{}", node.raft_port));
        let tables = [shows(port, &["status"]), shows(port, &["members"]), shows(port, &["health"])];
        assert!(tables.iter().all(|table| table.contains(&client)), "{tables:?}");
        assert!(tables[1].contains(&raft), "{tables:?}");
    }
    let members = json(port, &["members"]);
    let leads = |member: &&Value| member["role"] == "leader";
    let leaders: Vec<u64> = members
        .as_array()
        .unwrap()
        .iter()
        .filter(leads)
        .map(|member| member["id"].as_u64().unwrap())
        .collect();
    assert_eq!(leaders, [leader]);
    assert!(members.as_array().unwrap().iter().all(|member| member["membership"] == "voter"));
    let health = json(port, &["health"]);
    assert_eq!((&health["healthy"], &health["error"]), (&Value::Bool(true), &Value::Null));
}

#[test]
fn it_says_when_a_node_or_the_cluster_is_not_well() {
    let mut cluster = Cluster::start(&[Embedded; 3]);
    let leader = cluster.leader();
    let port = cluster.nodes[leader].port;
    cluster.kill((leader + 1) % 3);
    fails(port, &["health"], 2, "not every node is well");
    assert!(shows(port, &["members"]).contains("unreachable"));
    let output = ctl(port, &["health", "--json"]);
    let health: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(health["healthy"], false);
    let ill: Vec<&Value> =
        health["nodes"].as_array().unwrap().iter().filter(|node| node["healthy"] == false).collect();
    assert_eq!(ill.len(), 1);
    assert_eq!(ill[0]["error"], "unreachable");
    cluster.kill((leader + 2) % 3);
    fails(port, &["health"], 2, "1 of 3 voters are reachable: there is no majority");
    cluster.kill(leader);
    fails(port, &["health"], 1, "cannot connect");
}

#[test]
fn it_compares_all_nodes_while_writes_go_on() {
    let cluster = Cluster::start(&[Embedded; 3]);
    let port = cluster.nodes[1].port;
    let still = json(port, &["digest", "--all"]);
    assert_eq!(still["equal"], true);
    let writers = Writers::start(4, cluster.ports());
    writers.wait_for(200);
    let moving = json(port, &["digest", "--all"]);
    assert_eq!(moving["equal"], true);
    assert!(moving["index"].as_u64() > still["index"].as_u64());
    let digests: Vec<&Value> =
        moving["nodes"].as_array().unwrap().iter().map(|node| &node["digest"]).collect();
    assert!(digests.len() == 3 && digests.iter().all(|digest| *digest == digests[0]), "{moving}");
    drop(writers.finish());
    // The last entry is everywhere.
    cluster.assert_equal_digests();
    let (index, digest): (u64, String) = redis::cmd("RAFT.DIGEST").query(&mut cluster.connect(1)).unwrap();
    assert_eq!(shows(port, &["digest"]), format!("{digest} at index {index}\n"));
    assert_eq!(json(port, &["digest", "--at", &index.to_string()])["digest"], digest);
    fails(port, &["digest", "--at", "1"], 1, "ERR this node has applied");
}

#[test]
fn it_has_a_snapshot_made_and_changes_what_is_logged() {
    let cluster = Cluster::start(&[Embedded]);
    let port = cluster.nodes[0].port;
    let mut connection = cluster.connect(0);
    for number in 0..20 {
        let () = redis::cmd("SET").arg(number).arg(number).query(&mut connection).unwrap();
    }
    let applied = cluster.status(0).unwrap().applied;
    let made = json(port, &["snapshot"])["snapshot_index"].as_u64().unwrap();
    assert!(made >= applied, "{made} is before {applied}");
    assert_eq!(cluster.status(0).unwrap().snapshot, made);

    assert_eq!(shows(port, &["logs-level"]), "info,openraft=warn\n");
    assert_eq!(shows(port, &["logs-level", "warn"]), "the log's level is warn\n");
    assert_eq!(json(port, &["logs-level"])["level"], "warn");
    fails(port, &["logs-level", "loud"], 1, "must be error, warn, info or off");
}

#[test]
fn it_changes_the_members_and_who_leads() {
    let mut cluster = Cluster::prepare(&[], &[]);
    for index in 0..3 {
        cluster.add(Embedded);
        cluster.launch(index);
    }
    let port = |index: usize| cluster.nodes[index].port;
    let raft = |index: usize| format!("127.0.0.1:{}", cluster.nodes[index].raft_port);
    // A node may take a moment to listen.
    let () = redis::cmd("RAFT.CLUSTER").arg("INIT").query(&mut cluster.connect(0)).unwrap();
    cluster.connect(1);
    cluster.connect(2);
    fails(port(1), &["leave"], 1, "NOCLUSTER No Raft Cluster");
    assert_eq!(shows(port(1), &["join", "127.0.0.1:1", &raft(0)]), "the node has joined, or is joining\n");
    let membership = |index: usize, id: u64| -> String {
        let members = json(port(index), &["members"]);
        let member = members.as_array().unwrap().iter().find(|member| member["id"] == id);
        member.map_or_else(|| "none".to_owned(), |member| member["membership"].as_str().unwrap().to_owned())
    };
    let until = |id: u64, wanted: &str| {
        let deadline = Instant::now() + PATIENCE;
        while membership(0, id) != wanted {
            assert!(Instant::now() < deadline, "node {id} is never {wanted}");
            sleep(Duration::from_millis(50));
        }
    };
    until(2, "voter");
    let added = json(port(1), &["add", "0", &raft(2)]);
    assert_eq!(added["id"], 3, "{added}");
    fails(port(1), &["remove", "9"], 1, "node id does not exist");
    assert!(shows(port(2), &["join", &raft(1)]).contains("joined"));
    until(3, "voter");
    assert_eq!(shows(port(1), &["transfer", "3"]), "node 3 leads\n");
    assert_eq!(cluster.leader(), 2);
    assert_eq!(shows(port(0), &["demote", "2"]), "node 2 is a learner\n");
    until(2, "learner");
    assert_eq!(shows(port(0), &["promote", "2"]), "node 2 is a voter\n");
    until(2, "voter");
    assert_eq!(json(port(0), &["transfer"])["reply"], "OK");
    assert_ne!(cluster.leader(), 2);
    assert_eq!(shows(port(0), &["remove", "2"]), "node 2 was removed\n");
    until(2, "none");
    assert_eq!(shows(port(2), &["leave"]), "the node has left its cluster\n");
    until(3, "none");
    fails(port(0), &["remove", "1", "--force"], 1, "the last voter");
}

#[test]
fn a_password_is_given_by_flag_or_environment() {
    let cluster = Cluster::start(&[Embedded]);
    let port = cluster.nodes[0].port;
    let set = redis::cmd("CONFIG")
        .arg("SET")
        .arg("requirepass")
        .arg("hunter2")
        .query::<()>(&mut cluster.connect(0));
    set.unwrap();
    fails(port, &["status"], 1, "NOAUTH");
    fails(port, &["status", "--password", "wrong"], 1, "WRONGPASS");
    shows(port, &["status", "--password", "hunter2"]);
    let mut command = Command::new(binary());
    command.args(["ctl", "members", "--addr", &format!("127.0.0.1:{port}")]);
    let output = command.env("RAFT_PROXY_LISTEN_PASSWORD", "hunter2").output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
}

#[test]
fn a_wrong_command_line_exits_with_64() {
    for args in [
        &[][..],
        &["nonsense"],
        &["remove"],
        &["remove", "zero"],
        &["promote", "0"],
        &["add", "1"],
        &["join"],
        &["digest", "--at", "1", "--all"],
        &["status", "--timeout", "0"],
    ] {
        fails(1, args, 64, "");
    }
}
