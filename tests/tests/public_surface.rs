//! The commands that operators know from RedisRaft and Redis Cluster, each with its replies and its errors, on nodes
//! before, in and after a cluster. What `CLUSTER` shows is in `routing`, arguments that are wrong in `membership`.

use std::thread::sleep;
use std::time::{Duration, Instant};

use redis::Value;
use tests::ask::text_of;
use tests::cluster::{Cluster, PATIENCE};
use tests::engine::Engine;

/// A reply as RESP2 shows it in one line.
fn shown(value: &Value) -> String {
    match value {
        Value::Okay => "+OK".to_owned(),
        Value::SimpleString(text) => format!("+{text}"),
        Value::Int(number) => format!(":{number}"),
        Value::BulkString(bytes) => format!("${}", String::from_utf8_lossy(bytes)),
        Value::Nil => "nil".to_owned(),
        Value::Array(items) => format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(" ")),
        other => format!("{other:?}"),
    }
}

fn ask(connection: &mut redis::Connection, line: &str) -> String {
    match tests::ask::ask::<Value>(connection, line) {
        Ok(value) => shown(&value),
        Err(error) => format!("-{}", text_of(&error)),
    }
}

/// Whether `text` is like `pattern`, in which a star stands for anything.
fn is_like(text: &str, pattern: &str) -> bool {
    let mut pieces = pattern.split('*');
    let Some(mut rest) = text.strip_prefix(pieces.next().unwrap()) else { return false };
    let pieces: Vec<&str> = pieces.collect();
    let Some((last, middle)) = pieces.split_last() else { return rest.is_empty() };
    for piece in middle {
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
    }
    rest.ends_with(last)
}

fn check(cluster: &Cluster, index: usize, expected: &[(&str, &str)]) {
    let mut connection = cluster.connect(index);
    for (line, pattern) in expected {
        let reply = ask(&mut connection, line);
        assert!(is_like(&reply, pattern), "{line} on node {}: {reply}, not {pattern}", index + 1);
    }
}

fn until(cluster: &Cluster, index: usize, line: &str, pattern: &str) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let reply = ask(&mut cluster.connect(index), line);
        if is_like(&reply, pattern) {
            return;
        }
        assert!(Instant::now() < deadline, "{line} on node {}: {reply}, never {pattern}", index + 1);
        sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_cluster_is_made_looked_at_changed_and_left_with_the_commands_that_operators_know() {
    let mut cluster = Cluster::prepare(&[], &[]);
    for index in 0..4 {
        cluster.add(Engine::Embedded);
        cluster.launch(index);
    }
    let no_cluster = "-NOCLUSTER No Raft Cluster";
    let raft = |index: usize| format!("127.0.0.1:{}", cluster.nodes[index].raft_port);
    let (first, third) = (raft(0), raft(2));

    // Before there is one.
    check(
        &cluster,
        0,
        &[
            ("PING", "+PONG"),
            ("GET k", no_cluster),
            ("SET k v", no_cluster),
            ("RAFT.NODE REMOVE 1", no_cluster),
            ("RAFT.TRANSFER_LEADER", no_cluster),
            ("RAFT.CLUSTER LEAVE", no_cluster),
            ("INFO raft", "*raft_state:uninitialized*"),
            ("CLUSTER INFO", "*cluster_state:fail*"),
            ("CONFIG GET raft.request-timeout", "[$raft.request-timeout $*]"),
        ],
    );
    // Nobody is at this address, and nobody says so.
    let mut joining = cluster.connect(3);
    let joining = std::thread::spawn(move || ask(&mut joining, "RAFT.CLUSTER JOIN 192.0.2.1:7"));
    until(&cluster, 3, "GET k", "-NOCLUSTER No Raft Cluster (joining now)");
    assert_eq!(ask(&mut cluster.connect(3), "SET k v"), "-NOCLUSTER No Raft Cluster (joining now)");

    check(
        &cluster,
        0,
        &[
            ("RAFT.CLUSTER INIT 0123456789abcdef0123456789abcdef", "+OK 0123456789abcdef0123456789abcdef"),
            ("RAFT.CLUSTER INIT", "-ERR Already cluster member"),
            ("SET k v", "+OK"),
        ],
    );
    check(&cluster, 0, &[("RAFT.NODE LIST", "[[$id :1 *$voting $yes *]]")]);

    // It grows: by the node that comes, by a member that lets it in, by Redis Cluster's word.
    check(&cluster, 1, &[(&format!("RAFT.CLUSTER JOIN 127.0.0.1:1 {first}"), "+OK")]);
    let meet = format!("CLUSTER MEET 127.0.0.1 {} {}", cluster.nodes[2].port, cluster.nodes[2].raft_port);
    // One after the other.
    until(&cluster, 0, &meet, "+OK");
    check(&cluster, 2, &[(&format!("RAFT.CLUSTER JOIN {first}"), "+OK")]);
    until(&cluster, 0, "INFO raft", "*raft_num_voting_nodes:3*");
    check(
        &cluster,
        2,
        &[("GET k", "$v"), (&format!("RAFT.CLUSTER JOIN {third}"), "-ERR Already cluster member")],
    );
    let refused = joining.join().unwrap();
    assert!(refused.starts_with("-ERR this node has not joined: cannot reach 192.0.2.1:7: "), "{refused}");
    check(&cluster, 3, &[("GET k", no_cluster)]);

    let fourth = raft(3);
    check(
        &cluster,
        1,
        &[
            (&format!("RAFT.NODE ADD 1 {fourth}"), "-ERR node id has already been used in this cluster"),
            (&format!("RAFT.NODE ADD 0 {fourth}"), "[:4 $0123456789abcdef0123456789abcdef]"),
            ("RAFT.NODE REMOVE 4", "+OK"),
            (&format!("RAFT.NODE ADD 4 {fourth}"), "-ERR node id has already been used in this cluster"),
            ("RAFT.NODE REMOVE 4", "-ERR node id does not exist"),
            ("RAFT.NODE REMOVE four", "-ERR invalid node id"),
            ("RAFT.TRANSFER_LEADER 2", "+OK"),
            ("INFO raft", "*raft_node_id:2*raft_role:leader*raft_is_voting:yes*raft_leader_id:2*"),
            (
                "INFO raft",
                "*raft_current_term:*raft_num_nodes:3*raft_num_voting_nodes:3*raft_node1:id=1,state=*",
            ),
            ("RAFT.TRANSFER_LEADER 9", "-ERR node id does not exist"),
        ],
    );
    until(&cluster, 0, "RAFT.NODE LIST", "[*$id :2 *$state $leader *$health $up *]");
    until(&cluster, 2, "CLUSTER FAILOVER", "+OK");
    check(
        &cluster,
        2,
        &[
            ("CLUSTER FAILOVER", "-ERR You should send CLUSTER FAILOVER to a replica"),
            ("RAFT.CONSISTENCY", "$linearizable"),
            ("RAFT.CONSISTENCY stale", "-ERR *"),
            ("RAFT.READ eventual GET k", "$v"),
            ("RAFT.READ weak GET k", "-ERR *"),
            ("RAFT.TOKEN", ":*"),
            ("RAFT.WAIT 1 1000", "+OK"),
            ("RAFT.WAIT 999999999 20", "-TIMEOUT this node has not applied index 999999999 yet"),
            ("WAIT 2 1000", ":2"),
            ("RAFT.DIGEST", "[:* $*]"),
            ("RAFT.BACKEND", "[$kind $embedded *]"),
            ("RAFT.SNAPSHOT CREATE", ":*"),
            ("RAFT.STATUS", "$[{*"),
            ("RAFT.HELP", "[*RAFT.NODE*]"),
            ("CONFIG GET raft.*", "[*$raft.request-timeout *]"),
            ("CONFIG SET raft.request-timeout 1500", "+OK"),
            ("CONFIG GET raft.request_timeout", "[$raft.request_timeout $1500ms]"),
            (
                "CONFIG SET raft.no-such-thing 1",
                "-ERR Unknown option or number of arguments for CONFIG SET - 'raft.no-such-thing'",
            ),
        ],
    );
    let docs =
        ask(&mut cluster.connect(0), "COMMAND DOCS RAFT.NODE RAFT.CLUSTER RAFT.TRANSFER_LEADER RAFT.READ");
    for name in ["raft.node", "raft.cluster", "raft.transfer_leader", "raft.read"] {
        assert!(docs.contains(&format!("${name} ")), "{name} in {docs}");
    }

    // It shrinks: by the node that goes, by the others.
    let name = ask(&mut cluster.connect(1), "CLUSTER MYID").split_off(1);
    check(
        &cluster,
        0,
        &[
            (&format!("CLUSTER FORGET {name}"), "+OK"),
            (&format!("CLUSTER FORGET {name}"), &format!("-ERR Unknown node {name}")),
        ],
    );
    check(&cluster, 2, &[("RAFT.CLUSTER LEAVE", "+OK")]);
    until(&cluster, 0, "INFO raft", "*raft_num_voting_nodes:1*");
    check(&cluster, 0, &[("GET k", "$v"), ("RAFT.NODE REMOVE 1 FORCE", "-ERR *the last voter*")]);
    // Who was removed learns of it, and says so.
    for gone in [1, 2] {
        until(&cluster, gone, "GET k", no_cluster);
        check(&cluster, gone, &[("SET k v", no_cluster)]);
    }
}

#[test]
fn without_a_majority_what_was_not_done_and_what_is_unknown_are_told_apart() {
    let mut cluster = Cluster::start(&[Engine::Embedded; 3]);
    check(&cluster, 0, &[("SET k v", "+OK")]);
    let leader = cluster.leader();
    let mut connection = cluster.connect(leader);
    for index in (0..3).filter(|index| *index != leader) {
        cluster.kill(index);
    }
    // It leads as far as it knows: what it takes on now may be done yet.
    assert_eq!(ask(&mut connection, "SET k w"), "-TIMEOUT not committed yet");
    assert_eq!(ask(&mut connection, "GET k"), "-TIMEOUT no quorum for read");
    assert_eq!(ask(&mut connection, "RAFT.READ eventual GET k"), "$v");
    cluster.kill(leader);
    cluster.launch(leader);
    until(&cluster, leader, "SET k x", "-CLUSTERDOWN No raft leader");
    until(&cluster, leader, "RAFT.TRANSFER_LEADER", "-CLUSTERDOWN No raft leader");
}
