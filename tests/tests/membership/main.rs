//! Members that come and go, and leaders that change, as an operator asks for.
//!
//! | module | what it is about |
//! |---|---|
//! | [`changes`] | members that are added, removed and replaced, one at a time |
//! | [`leaders`] | who leads, and what is left when nobody can |
//! | [`seeds`] | nodes that find a cluster, or each other, by themselves |

mod changes;
mod leaders;
mod seeds;

use std::collections::HashMap;
use std::thread::sleep;
use std::time::{Duration, Instant};

use redis::Value;
use tests::ask::text_of;
use tests::cluster::{Cluster, PATIENCE};
use tests::engine::Engine;

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
    tests::ask::ask(&mut cluster.connect(index), command).map_err(|error| text_of(&error))
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
fn wrong_arguments_are_told_in_words() {
    let mut cluster = Cluster::start(&[EMBEDDED; 3]);
    let leader = cluster.leader();
    let follower = (leader + 1) % 3;
    let at_leader = format!("127.0.0.1:{}", cluster.nodes[leader].raft_port);
    let learner = cluster.nodes.len() as u64 + 1;
    ok(&cluster, follower, &format!("RAFT.NODE ADD {learner} 127.0.0.1:1 FORCE"));
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
        ("RAFT.NODE ADD 9 127.0.0.1:1 PLEASE".to_owned(), "ERR syntax error"),
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
