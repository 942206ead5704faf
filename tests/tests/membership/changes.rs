//! Members that are added, removed and replaced, one at a time.

use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use redis::{RedisResult, Value};
use tests::cluster::Cluster;
use tests::history::Writers;

use super::{EMBEDDED, Step, ask, ok, raft_address, run, until, voters, wait_for_voters};

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
    ok(&cluster, (author + 1) % 3, &format!("RAFT.NODE ADD 4 {address} FORCE"));
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
    let Value::Array(answer) = ok(&cluster, leader, "RAFT.NODE ADD 0 127.0.0.1:1 FORCE") else {
        panic!("no array")
    };
    assert_eq!(answer[0], Value::Int(4));
    ok(&cluster, leader, "RAFT.NODE REMOVE 4");
    let Value::Array(answer) = ok(&cluster, leader, "RAFT.NODE ADD 0 127.0.0.1:1 FORCE") else {
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
fn a_node_takes_the_place_of_another_also_of_the_leader() {
    let mut cluster = Cluster::start(&[EMBEDDED; 3]);
    let new = cluster.add(EMBEDDED);
    let leader = cluster.leader();
    let through = (leader + 1) % 3;
    let address = raft_address(&cluster, new);
    // The new node is not there yet.
    let command = format!("RAFT.NODE REPLACE {} 0 {address} FORCE", leader + 1);
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
