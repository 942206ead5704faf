//! Who leads, and what is left when nobody can.

use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use raft::status::Role;
use redis::RedisResult;
use tests::cluster::{Cluster, SECRET, binary};
use tests::history::Writers;

use super::{EMBEDDED, ask, ok, raft_address, voters, wait_for_voters};

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
