//! Members that come and go, and leaders that change, as an operator asks for.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]
#![allow(clippy::print_stdout, reason = "what was measured is shown on request")]

use std::collections::HashMap;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use raft::handle::Role;
use redis::{RedisResult, Value};
use tests::cluster::{Cluster, PATIENCE, SECRET, binary};
use tests::engine::Engine;
use tests::history::Writers;
use tests::netns::Network;

const EMBEDDED: Engine = Engine::Embedded;

/// What an operator does. Nodes are named by their index.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Starts a node and has it join by node 0's address, or by that of the leader.
    Join(usize),
    /// Has whoever leads removed, and ends it.
    RemoveLeader,
    /// Has a node that does not lead removed, asked on itself, and ends it.
    Leave(usize),
    /// Has this node lead.
    Transfer(usize),
}

/// Asks a node, and answers the reply or the error's text.
fn ask(cluster: &Cluster, index: usize, command: &str) -> Result<Value, String> {
    let mut words = command.split(' ');
    let mut call = redis::cmd(words.next().unwrap());
    words.for_each(|word| {
        call.arg(word);
    });
    let answer: RedisResult<Value> = call.query(&mut cluster.connect(index));
    answer.map_err(|error| {
        let detail = error.detail().unwrap_or_default();
        format!("{} {detail}", error.code().unwrap_or_default()).trim().to_owned()
    })
}

fn ok(cluster: &Cluster, index: usize, command: &str) -> Value {
    ask(cluster, index, command)
        .unwrap_or_else(|error| panic!("{command} on node {}: {error}\n{}", index + 1, cluster.log(index)))
}

fn voters(cluster: &Cluster, index: usize) -> Vec<u64> {
    let members = cluster.members(index).unwrap_or_default();
    members.into_iter().filter(|member| member.voter).map(|member| member.id).collect()
}

fn wait_for_voters(cluster: &Cluster, index: usize, wanted: &[u64]) {
    until(cluster, &format!("the voters {wanted:?}"), || voters(cluster, index) == wanted);
}

fn until(cluster: &Cluster, what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        let members = (0..cluster.nodes.len()).filter(|i| cluster.runs(*i)).map(|i| cluster.members(i));
        assert!(Instant::now() < deadline, "in vain waited for {what}: {:#?}", members.collect::<Vec<_>>());
        sleep(Duration::from_millis(30));
    }
}

fn raft_address(cluster: &Cluster, index: usize) -> String {
    let node = &cluster.nodes[index];
    format!("127.0.0.1:{}", node.link.as_ref().map_or(node.raft_port, |link| link.port))
}

fn run(cluster: &mut Cluster, step: Step) {
    println!("{step:?}");
    let leader = cluster.leader();
    match step {
        Step::Join(index) => {
            cluster.launch(index);
            let seed = raft_address(cluster, leader);
            ok(cluster, index, &format!("RAFT.CLUSTER JOIN {seed}"));
            let id = cluster.nodes[index].id;
            until(cluster, "the new voter", || voters(cluster, leader).contains(&id));
        }
        Step::RemoveLeader => {
            let id = cluster.nodes[leader].id;
            let through = (0..cluster.nodes.len()).find(|i| *i != leader && cluster.runs(*i)).unwrap();
            ok(cluster, through, &format!("RAFT.NODE REMOVE {id}"));
            cluster.stop(leader);
        }
        Step::Leave(index) => {
            ok(cluster, index, "RAFT.CLUSTER LEAVE");
            cluster.stop(index);
        }
        Step::Transfer(index) => {
            ok(cluster, index, &format!("RAFT.TRANSFER_LEADER {}", cluster.nodes[index].id));
        }
    }
}

#[test]
fn a_cluster_grows_from_one_to_five_and_shrinks_to_one_under_load_without_an_error() {
    let mut cluster = Cluster::prepare(&[], &[]);
    for _ in 0..5 {
        cluster.add(EMBEDDED);
    }
    cluster.launch(0);
    ok(&cluster, 0, "RAFT.CLUSTER INIT");
    // The clients of a node that goes would be told so: these are on one that stays.
    let writers = Writers::start(8, vec![cluster.nodes[0].port]);
    let steps = [
        Step::Join(1),
        Step::Join(2),
        Step::Join(3),
        Step::Join(4),
        Step::Transfer(3),
        Step::RemoveLeader,
        Step::Leave(1),
        Step::Transfer(2),
        Step::RemoveLeader,
        Step::Transfer(4),
        Step::RemoveLeader,
    ];
    for step in steps {
        writers.wait_for(50);
        run(&mut cluster, step);
    }
    wait_for_voters(&cluster, 0, &[1]);
    writers.wait_for(50);
    let history = writers.finish();
    println!("{} acknowledged", history.acknowledged());
    history.check(&mut cluster.connect(0));
    assert_eq!(
        (history.refused(), history.unknown()),
        (0, 0),
        "clients were told errors\n{}",
        cluster.log(0)
    );
}

#[test]
fn a_change_whose_author_is_killed_is_finished_by_the_next_leader() {
    let mut cluster = Cluster::start(&[EMBEDDED; 3]);
    let writers = Writers::start(8, cluster.ports());
    writers.wait_for(100);
    // A node that is not there yet: the change cannot end before its author dies.
    let new = cluster.add(EMBEDDED);
    let (author, address) = (cluster.leader(), raft_address(&cluster, new));
    ok(&cluster, (author + 1) % 3, &format!("RAFT.NODE ADD 4 {address}"));
    let busy = ask(&cluster, (author + 1) % 3, "RAFT.NODE DEMOTE 1").unwrap_err();
    assert_eq!(
        busy,
        "ERR a membership change is in progress: node 4 is catching up before it becomes a voter"
    );
    cluster.kill(author);
    cluster.launch(new);
    ok(&cluster, new, &format!("RAFT.CLUSTER JOIN {}", raft_address(&cluster, (author + 1) % 3)));
    wait_for_voters(&cluster, new, &[1, 2, 3, 4]);
    cluster.launch(author);
    cluster.leader();
    // Removals, each with its leader killed somewhere in the middle.
    for (round, id) in [4, 3].into_iter().enumerate() {
        let leader = cluster.leader();
        let (through, pause) = ((0..2).find(|i| *i != leader).unwrap(), 3 + 12 * round as u64);
        let mut connection = cluster.connect(through);
        let removal = std::thread::spawn(move || {
            let answer: RedisResult<Value> =
                redis::cmd("RAFT.NODE").arg("REMOVE").arg(id).query(&mut connection);
            answer
        });
        sleep(Duration::from_millis(pause));
        cluster.kill(leader);
        let answer = removal.join().unwrap();
        println!("round {round}: killed after {pause} ms: {answer:?}");
        cluster.launch(leader);
        // Asked again it is done once, whatever became of it.
        until(&cluster, "the removal", || {
            matches!(
                ask(&cluster, through, &format!("RAFT.NODE REMOVE {id}")),
                Ok(_) | Err(_) if !cluster.members(through).unwrap_or_default().iter().any(|m| m.id == id)
            )
        });
        let removed = id as usize - 1;
        // It may be one that has just been started again.
        cluster.kill(removed);
        cluster.leader();
    }
    writers.wait_for(100);
    let history = writers.finish();
    println!("{} acknowledged, {} unknown", history.acknowledged(), history.unknown());
    wait_for_voters(&cluster, 0, &[1, 2]);
    history.check(&mut cluster.connect(0));
    cluster.assert_equal_digests();
}

#[test]
fn ids_are_never_used_again_not_even_after_a_restart_of_all_nodes() {
    let mut cluster = Cluster::start(&[EMBEDDED; 3]);
    let leader = cluster.leader();
    let gone = (leader + 1) % 3;
    let id = gone as u64 + 1;
    ok(&cluster, leader, &format!("RAFT.NODE REMOVE {id}"));
    cluster.stop(gone);
    let used = "ERR node id has already been used in this cluster";
    let add = format!("RAFT.NODE ADD {id} 127.0.0.1:1");
    assert_eq!(ask(&cluster, leader, &add).unwrap_err(), used);
    let rest: Vec<usize> = (0..3).filter(|index| *index != gone).collect();
    for index in &rest {
        cluster.kill(*index);
    }
    for index in &rest {
        cluster.launch(*index);
    }
    let leader = cluster.leader();
    assert_eq!(ask(&cluster, leader, &add).unwrap_err(), used);
    // The node that was removed, with an empty directory, is no new one.
    std::fs::remove_dir_all(cluster.nodes[gone].dir.join("data")).unwrap();
    let output = cluster.command(gone).stdin(Stdio::null()).output().unwrap();
    let said =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("was removed from its cluster"), "{said}");
    // Zero asks for an id that nobody has had.
    let Value::Array(answer) = ok(&cluster, leader, "RAFT.NODE ADD 0 127.0.0.1:1") else {
        panic!("no array")
    };
    assert_eq!(answer[0], Value::Int(4));
    ok(&cluster, leader, "RAFT.NODE REMOVE 4");
    let Value::Array(answer) = ok(&cluster, leader, "RAFT.NODE ADD 0 127.0.0.1:1") else {
        panic!("no array")
    };
    assert_eq!(answer[0], Value::Int(5));
}

#[test]
fn a_removal_that_would_lose_the_quorum_is_refused_unless_it_is_forced() {
    let mut cluster = Cluster::start(&[EMBEDDED; 3]);
    let leader = cluster.leader();
    let (dead, alive) = ((leader + 1) % 3, (leader + 2) % 3);
    cluster.kill(dead);
    for what in ["REMOVE", "DEMOTE"] {
        let refused = ask(&cluster, alive, &format!("RAFT.NODE {what} {}", alive + 1)).unwrap_err();
        assert_eq!(
            refused,
            "ERR 1 of the 2 voters that would be left answer, and 2 are needed to commit anything: the cluster would \
             lose its quorum. FORCE does it all the same"
        );
    }
    assert_eq!(voters(&cluster, leader), [1, 2, 3]);
    // The dead one may go.
    ok(&cluster, alive, &format!("RAFT.NODE REMOVE {}", dead + 1));
    assert_eq!(voters(&cluster, leader).len(), 2);
    ok(&cluster, alive, &format!("RAFT.NODE DEMOTE {}", alive + 1));
    assert_eq!(voters(&cluster, leader), [leader as u64 + 1]);
    let last = ask(&cluster, alive, &format!("RAFT.NODE REMOVE {} FORCE", leader + 1)).unwrap_err();
    assert!(last.contains("the last voter"), "{last}");
    // A learner that was demoted stays one until it is promoted.
    let () = redis::cmd("SET").arg("k").arg("v").query(&mut cluster.connect(alive)).unwrap();
    ok(&cluster, alive, &format!("RAFT.NODE PROMOTE {}", alive + 1));
    assert_eq!(voters(&cluster, leader).len(), 2);
}

#[test]
fn a_node_that_returns_from_a_partition_neither_raises_the_term_nor_deposes_the_leader() {
    let cluster = Cluster::start_linked(&[EMBEDDED; 3], &[]);
    let leader = cluster.leader();
    let term = cluster.status(leader).unwrap().term;
    let away = (leader + 1) % 3;
    cluster.link(away).cut();
    // Many times the longest election timeout: it hears nobody, and everybody hears it.
    for _ in 0..20 {
        let () = redis::cmd("SET").arg("k").arg("v").query(&mut cluster.connect(leader)).unwrap();
        sleep(Duration::from_millis(250));
    }
    assert_eq!(cluster.status(away).unwrap().term, term, "{}", cluster.log(away));
    cluster.link(away).mend();
    let value: String = redis::cmd("GET").arg("k").query(&mut cluster.connect(away)).unwrap();
    assert_eq!(value, "v");
    assert_eq!(cluster.leader(), leader);
    for index in 0..3 {
        assert_eq!(cluster.status(index).unwrap().term, term, "node {}\n{}", index + 1, cluster.log(index));
    }
}

/// `TRANSFERS=100` measures; without it there are 20.
#[test]
fn leadership_is_transferred_to_the_chosen_node_in_milliseconds_and_clients_see_no_error() {
    let times = std::env::var("TRANSFERS").ok().and_then(|times| times.parse().ok()).unwrap_or(20);
    let cluster = Cluster::start(&[EMBEDDED; 3]);
    let writers = Writers::start(4, cluster.ports());
    writers.wait_for(100);
    let mut took = Vec::new();
    let mut leader = cluster.leader();
    for round in 0..times {
        let target = (leader + 1 + round % 2) % 3;
        let mut connection = cluster.connect(round % 3);
        let began = Instant::now();
        let answer: RedisResult<String> =
            redis::cmd("RAFT.TRANSFER_LEADER").arg(target + 1).query(&mut connection);
        took.push(began.elapsed());
        let logs = || (0..3).map(|index| cluster.log(index)).collect::<Vec<_>>().join("\n---\n");
        assert_eq!(answer.as_deref(), Ok("OK"), "round {round}\n{}", logs());
        assert_eq!(cluster.status(target).unwrap().role, Role::Leader, "round {round}\n{}", logs());
        leader = target;
        writers.wait_for(10);
    }
    let history = writers.finish();
    took.sort();
    let (p50, p99) = (took[took.len() / 2], took[(took.len() * 99 / 100).min(took.len() - 1)]);
    println!("{times} transfers under load: p50 {p50:?}, p99 {p99:?}, worst {:?}", took[took.len() - 1]);
    assert!(p50 < Duration::from_millis(400), "p50 is {p50:?}");
    assert_eq!((history.refused(), history.unknown()), (0, 0), "clients were told errors");
    history.check(&mut cluster.connect(0));
    cluster.assert_equal_digests();
}

#[test]
fn a_node_that_lost_its_majority_for_good_becomes_a_cluster_of_its_own() {
    let mut cluster = Cluster::start(&[EMBEDDED; 3]);
    let () = redis::cmd("SET").arg("k").arg("v").query(&mut cluster.connect(0)).unwrap();
    cluster.leader();
    cluster.assert_equal_digests();
    let old = cluster.status(0).unwrap().cluster_id;
    let recover = |cluster: &Cluster, flags: &[&str]| {
        let data = cluster.nodes[0].dir.join("data");
        let members: Vec<String> =
            cluster.nodes.iter().map(|node| format!("{}=127.0.0.1:{}", node.id, node.raft_port)).collect();
        let mut command = Command::new(binary());
        command.arg("recover").args(flags).args(["--node-id", "1", "--node-data-dir"]).arg(data);
        command.args(["--cluster-members", &members.join(",")]);
        command.args(["--listen-raft", &raft_address(cluster, 0)]);
        command.env("RAFT_PROXY_CLUSTER_SECRET", SECRET).stdin(Stdio::null()).output().unwrap()
    };
    // Not while it runs.
    let output = recover(&cluster, &["--unsafe"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("in use"), "{output:?}");
    for index in 0..3 {
        cluster.kill(index);
    }
    // Not without a confirmation.
    let output = recover(&cluster, &[]);
    assert_eq!(output.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--unsafe"), "{output:?}");
    let output = recover(&cluster, &["--unsafe", "--cluster-id", &old]);
    assert_eq!(output.status.code(), Some(64), "{output:?}");
    let output = recover(&cluster, &["--unsafe"]);
    assert!(output.status.success(), "{output:?}");
    cluster.launch(0);
    assert_eq!(cluster.leader(), 0);
    let status = cluster.status(0).unwrap();
    assert_ne!(status.cluster_id, old);
    assert_eq!(voters(&cluster, 0), [1]);
    let value: String = redis::cmd("GET").arg("k").query(&mut cluster.connect(0)).unwrap();
    assert_eq!(value, "v");
    let files = std::fs::read_dir(cluster.nodes[0].dir.join("data")).unwrap().flatten();
    let record = files.map(|file| file.path()).find(|path| path.to_string_lossy().contains("recovered-"));
    let record = std::fs::read_to_string(record.expect("there is a record")).unwrap();
    assert!(record.contains(&old) && record.contains(&status.cluster_id), "{record}");
    // One of the old cluster is not let in, and takes nobody with it.
    cluster.launch(1);
    sleep(Duration::from_secs(2));
    assert_eq!(voters(&cluster, 0), [1]);
    cluster.kill(1);
    // Ids of the old cluster stay used; a new node comes in.
    let used = ask(&cluster, 0, "RAFT.NODE ADD 2 127.0.0.1:1").unwrap_err();
    assert_eq!(used, "ERR node id has already been used in this cluster");
    let new = cluster.add(EMBEDDED);
    cluster.launch(new);
    ok(&cluster, new, &format!("RAFT.CLUSTER JOIN {}", raft_address(&cluster, 0)));
    wait_for_voters(&cluster, 0, &[1, 4]);
    let value: String = redis::cmd("GET").arg("k").query(&mut cluster.connect(new)).unwrap();
    assert_eq!(value, "v");
}

#[test]
fn a_node_without_members_waits_and_is_let_in_by_its_seeds() {
    let mut cluster = Cluster::prepare(&[], &[]);
    for _ in 0..2 {
        cluster.add(EMBEDDED);
    }
    let seed = raft_address(&cluster, 0);
    // The second names a node that is not there too, and starts before there is a cluster.
    cluster.nodes[1].set("cluster.join", &format!("127.0.0.1:1,{seed}"));
    cluster.launch(1);
    cluster.launch(0);
    for command in ["GET k", "SET k v", "RAFT.NODE ADD 9 127.0.0.1:1", "RAFT.TRANSFER_LEADER"] {
        let refused = ask(&cluster, 0, command).unwrap_err();
        assert_eq!(refused, "NOCLUSTER No Raft Cluster", "{command}");
    }
    let Value::SimpleString(answer) = ok(&cluster, 0, "RAFT.CLUSTER INIT") else { panic!("no status") };
    let id = answer.strip_prefix("OK ").unwrap();
    assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{answer}");
    for command in ["RAFT.CLUSTER INIT", "RAFT.CLUSTER INIT other", &format!("RAFT.CLUSTER JOIN {seed}")] {
        assert_eq!(ask(&cluster, 0, command).unwrap_err(), "ERR Already cluster member", "{command}");
    }
    wait_for_voters(&cluster, 0, &[1, 2]);
    // Restarts: each finds its cluster by its directory.
    for index in 0..2 {
        cluster.kill(index);
        cluster.launch(index);
    }
    cluster.leader();
    let () = redis::cmd("SET").arg("k").arg("v").query(&mut cluster.connect(1)).unwrap();
    let value: String = redis::cmd("GET").arg("k").query(&mut cluster.connect(0)).unwrap();
    assert_eq!(value, "v");
    assert_eq!(cluster.status(1).unwrap().cluster_id, id);
}

#[test]
fn nodes_that_are_started_in_any_order_form_one_cluster() {
    const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    for order in ORDERS {
        let mut cluster = Cluster::prepare(&[EMBEDDED; 3], &[]);
        let [first, second, third] = order;
        cluster.launch(first);
        sleep(Duration::from_millis(300));
        cluster.launch(second);
        // Two are a majority: they go on without the third, which finds a cluster that is there.
        cluster.leader();
        let () = redis::cmd("SET").arg("k").arg(first).query(&mut cluster.connect(second)).unwrap();
        cluster.launch(third);
        let leader = cluster.leader();
        let value: usize = redis::cmd("GET").arg("k").query(&mut cluster.connect(third)).unwrap();
        assert_eq!(value, first, "{order:?}");
        let id = cluster.status(leader).unwrap().cluster_id;
        for index in 0..3 {
            assert_eq!(voters(&cluster, index), [1, 2, 3], "{order:?}");
            assert_eq!(cluster.status(index).unwrap().cluster_id, id, "{order:?}");
        }
        cluster.assert_equal_digests();
    }
}

/// A name server in a namespace, and what the namespaces say about where it is. It goes when this is dropped.
struct NameServer(std::process::Child, Vec<std::path::PathBuf>);

impl NameServer {
    /// Serves these options of dnsmasq in the first namespace, for all of them.
    fn start(network: &Network, count: usize, options: &[String]) -> Self {
        let server = Command::new("ip")
            .args([
                "netns",
                "exec",
                &network.name(0),
                "/usr/sbin/dnsmasq",
                "--keep-in-foreground",
                "--no-resolv",
            ])
            .args(["--no-hosts", "--conf-file=/dev/null", "--pid-file=", "--user=root"])
            .args(options)
            .spawn()
            .unwrap();
        let files = (0..count).map(|index| {
            let dir = std::path::Path::new("/etc/netns").join(network.name(index));
            std::fs::create_dir_all(&dir).unwrap();
            std::fs::write(dir.join("resolv.conf"), format!("nameserver {}\n", network.host(0))).unwrap();
            dir
        });
        Self(server, files.collect())
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
        for dir in &self.1 {
            let _ = std::fs::remove_dir_all(dir);
        }
    }
}

#[test]
fn a_node_finds_its_seeds_by_srv_records_as_they_are_now() {
    let network = match Network::new(2) {
        Ok(network) => network,
        Err(reason) => return println!("NOT RUN: no network namespaces here: {reason}"),
    };
    let mut cluster = Cluster::prepare(&[], &[]);
    for index in 0..2 {
        cluster.add(EMBEDDED);
        cluster.nodes[index].host = network.host(index);
        cluster.nodes[index].namespace = Some(network.name(index));
    }
    let service = |port: u16| {
        vec![
            format!("--host-record=node1.kiwi.test,{}", network.host(0)),
            format!("--srv-host=_raft._tcp.kiwi.test,node1.kiwi.test,{port},10"),
            // Nobody is there, and it is asked first.
            "--srv-host=_raft._tcp.kiwi.test,nobody.kiwi.test,1,1".to_owned(),
        ]
    };
    cluster.nodes[1].set("cluster.join", "_raft._tcp.kiwi.test");
    // Where the records say, there is no member yet.
    let names = NameServer::start(&network, 2, &service(1));
    cluster.launch(0);
    cluster.launch(1);
    ok(&cluster, 0, "RAFT.CLUSTER INIT");
    until(&cluster, "a try in vain", || cluster.log(1).contains("no seed has let this node in yet"));
    drop(names);
    let _names = NameServer::start(&network, 2, &service(cluster.nodes[0].raft_port));
    wait_for_voters(&cluster, 0, &[1, 2]);
    assert_eq!(
        ask(&cluster, 1, "RAFT.CLUSTER JOIN _raft._tcp.kiwi.test").unwrap_err(),
        "ERR Already cluster member"
    );
}

#[test]
fn a_node_takes_the_place_of_another_also_of_the_leader() {
    let mut cluster = Cluster::start(&[EMBEDDED; 3]);
    let new = cluster.add(EMBEDDED);
    let leader = cluster.leader();
    let through = (leader + 1) % 3;
    let address = raft_address(&cluster, new);
    let command = format!("RAFT.NODE REPLACE {} 0 {address}", leader + 1);
    let mut connection = cluster.connect(through);
    let replacing = std::thread::spawn(move || {
        let mut words = command.split(' ');
        let mut call = redis::cmd(words.next().unwrap());
        words.for_each(|word| {
            call.arg(word);
        });
        let answer: RedisResult<(u64, String)> = call.query(&mut connection);
        answer
    });
    until(&cluster, "the new member", || {
        cluster.members(through).unwrap_or_default().iter().any(|member| member.id == 4)
    });
    cluster.launch(new);
    ok(&cluster, new, &format!("RAFT.CLUSTER JOIN {}", raft_address(&cluster, through)));
    assert_eq!(replacing.join().unwrap().unwrap().0, 4);
    let left: Vec<u64> = (1..=4).filter(|id| *id != leader as u64 + 1).collect();
    wait_for_voters(&cluster, through, &left);
}

#[test]
fn a_voter_that_is_silent_for_long_is_removed_where_that_is_asked_for() {
    let settings = [("raft.remove_dead_after", "3s"), ("raft.remove_dead_min_voters", "2")];
    let mut cluster = Cluster::start_with(&[EMBEDDED; 3], &settings);
    let leader = cluster.leader();
    let (dead, other) = ((leader + 1) % 3, (leader + 2) % 3);
    cluster.kill(dead);
    until(&cluster, "the dead voter's removal", || voters(&cluster, leader).len() == 2);
    // Not below the minimum.
    cluster.kill(other);
    sleep(Duration::from_secs(5));
    cluster.launch(other);
    cluster.leader();
    assert_eq!(voters(&cluster, leader).len(), 2);
}

#[test]
fn wrong_arguments_are_told_in_words() {
    let mut cluster = Cluster::start(&[EMBEDDED; 3]);
    let leader = cluster.leader();
    let follower = (leader + 1) % 3;
    let at_leader = format!("127.0.0.1:{}", cluster.nodes[leader].raft_port);
    let learner = cluster.nodes.len() as u64 + 1;
    ok(&cluster, follower, &format!("RAFT.NODE ADD {learner} 127.0.0.1:1"));
    let expected: HashMap<String, &str> = HashMap::from([
        ("RAFT.NODE REMOVE 9".to_owned(), "ERR node id does not exist"),
        ("RAFT.NODE PROMOTE 9".to_owned(), "ERR node id does not exist"),
        ("RAFT.NODE DEMOTE 9".to_owned(), "ERR node id does not exist"),
        ("RAFT.NODE REMOVE nine".to_owned(), "ERR invalid node id"),
        ("RAFT.NODE REMOVE -1".to_owned(), "ERR invalid node id"),
        ("RAFT.NODE ADD nine a:1".to_owned(), "ERR invalid node id"),
        ("RAFT.NODE ADD 9 nowhere".to_owned(), "ERR invalid node address"),
        ("RAFT.NODE ADD 1 a:1".to_owned(), "ERR node id has already been used in this cluster"),
        ("RAFT.NODE REMOVE 1 PLEASE".to_owned(), "ERR syntax error"),
        ("RAFT.NODE REMOVE".to_owned(), "ERR wrong number of arguments for 'raft.node|remove' command"),
        ("RAFT.NODE ADD 9".to_owned(), "ERR wrong number of arguments for 'raft.node|add' command"),
        ("RAFT.NODE DANCE".to_owned(), "ERR unknown subcommand 'DANCE'. Try RAFT.NODE HELP."),
        ("RAFT.TRANSFER_LEADER nine".to_owned(), "ERR invalid node id"),
        ("RAFT.TRANSFER_LEADER 9".to_owned(), "ERR node id does not exist"),
        (format!("RAFT.TRANSFER_LEADER {learner}"), "ERR node 4 is a learner: it cannot lead"),
        (
            "RAFT.TRANSFER_LEADER 1 2".to_owned(),
            "ERR wrong number of arguments for 'raft.transfer_leader' command",
        ),
        ("RAFT.CLUSTER INIT".to_owned(), "ERR Already cluster member"),
        (
            "RAFT.CLUSTER INIT a/b".to_owned(),
            "ERR invalid cluster id: it has up to 64 letters, digits, - and _",
        ),
        ("RAFT.CLUSTER JOIN 127.0.0.1:1".to_owned(), "ERR Already cluster member"),
        ("RAFT.CLUSTER JOIN nowhere".to_owned(), "ERR invalid node address"),
        ("RAFT.CLUSTER JOIN".to_owned(), "ERR wrong number of arguments for 'raft.cluster|join' command"),
    ]);
    for (command, wanted) in &expected {
        for index in [leader, follower] {
            assert_eq!(
                ask(&cluster, index, command).unwrap_err(),
                *wanted,
                "{command} on node {}",
                index + 1
            );
        }
    }
    let there = ask(&cluster, leader, &format!("RAFT.NODE ADD 9 {at_leader}")).unwrap_err();
    assert_eq!(there, format!("ERR node {} is at {at_leader} already", leader + 1));
    // A node that does not come can be called off.
    ok(&cluster, follower, &format!("RAFT.NODE REMOVE {learner}"));
    // Whoever leads already leads.
    ok(&cluster, follower, &format!("RAFT.TRANSFER_LEADER {}", leader + 1));
    cluster.kill(follower);
    let Value::Array(list) = ok(&cluster, leader, "RAFT.NODE LIST") else { panic!("no array") };
    assert_eq!(list.len(), 3);
    let text = format!("{list:?}");
    assert!(text.contains("leader") && text.contains("unreachable"), "{text}");
}
