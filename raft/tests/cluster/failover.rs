use super::Cluster;
use super::bench::{many, until};
use adapter::Reply;
use raft::status::Role;
use raft::{Consistency, ProposeError, ReadError, StartError};
use std::time::{Duration, Instant};

#[test]
fn after_the_leader_is_killed_the_others_go_on_and_nothing_acknowledged_is_lost() {
    let mut cluster = Cluster::of_three();
    let leader = cluster.leader();
    assert_eq!(many(cluster.node(leader), 8, 25), 200);
    cluster.kill(leader);
    let began = Instant::now();
    let next = cluster.leader();
    assert!(began.elapsed() < Duration::from_secs(4), "it took {:?}", began.elapsed());
    assert_eq!(cluster.node(next).get("counter"), Reply::bulk(b"200"));
    assert_eq!(many(cluster.node(next), 4, 5), 20);
    cluster.start(leader);
    assert_eq!(cluster.node(leader).get("counter"), Reply::bulk(b"220"));
    cluster.assert_equal();
}

#[test]
fn after_all_are_killed_and_started_again_everything_acknowledged_is_there() {
    let mut cluster = Cluster::of_three();
    let leader = cluster.leader();
    assert_eq!(many(cluster.node(leader), 8, 25), 200);
    (0..3).for_each(|index| cluster.kill(index));
    cluster.start_all();
    let leader = cluster.leader();
    assert_eq!(cluster.node(leader).get("counter"), Reply::bulk(b"200"));
    cluster.assert_equal();
}

#[test]
fn a_leader_that_shuts_down_hands_leadership_over_and_refuses_writes() {
    let cluster = Cluster::of_three();
    let leader = cluster.leader();
    let began = Instant::now();
    cluster.node(leader).run(cluster.node(leader).handle.shutdown());
    assert!(began.elapsed() < Duration::from_millis(2500), "it took {:?}", began.elapsed());
    assert_eq!(cluster.node(leader).set("k", b"v"), Err(ProposeError::ShuttingDown));
    let successor = (0..3)
        .filter(|index| *index != leader)
        .any(|index| cluster.node(index).handle.status().role == Role::Leader);
    assert!(successor, "nobody leads after the handover");
}

#[test]
fn without_a_majority_writes_are_unknown_or_not_done_and_reads_are_refused() {
    let mut cluster = Cluster::of_three_with(|config| config.raft.request_timeout = Duration::from_secs(1));
    let leader = cluster.leader();
    (0..3).filter(|index| *index != leader).for_each(|index| cluster.kill(index));
    assert_eq!(cluster.node(leader).set("k", b"v"), Err(ProposeError::Unknown));
    let leader = cluster.node(leader);
    let read = leader.run(leader.handle.read_barrier(Consistency::Linearizable, 0));
    assert!(matches!(read, Err(ReadError::NoQuorum | ReadError::NoLeader)), "{read:?}");
}

#[test]
fn members_may_start_in_any_order_and_form_a_cluster_when_all_are_there() {
    let mut cluster = Cluster::prepare(3, |_| {});
    let first = [cluster.try_start_later(2), cluster.try_start_later(0)];
    std::thread::sleep(Duration::from_millis(500));
    assert!(first.iter().all(|node| !node.is_finished()), "two of three new members have formed a cluster");
    cluster.start(1);
    for (index, node) in [2, 0].into_iter().zip(first) {
        cluster.nodes[index] = Some(node.join().unwrap());
    }
    cluster.leader();
    let late = cluster.node(1);
    until("the late member to follow", || late.handle.status().leader);
    assert_eq!(late.get("leader-probe"), Reply::bulk(b"1"));
    cluster.assert_equal();
}

#[test]
fn a_member_whose_data_was_wiped_is_refused() {
    let mut cluster = Cluster::of_three();
    let follower = cluster.follower();
    cluster.kill(follower);
    std::fs::remove_dir_all(cluster.config(follower).node.data_dir).unwrap();
    let refused = cluster.try_start(follower).err().unwrap();
    assert!(matches!(refused, StartError::Wiped { .. }), "{refused}");
}

#[test]
fn one_member_alone_is_a_cluster() {
    let mut cluster = Cluster::prepare(1, |config| config.cluster.secret.clear());
    cluster.start_all();
    cluster.leader();
    assert_eq!(many(cluster.node(0), 4, 10), 40);
    assert_eq!(cluster.node(0).get("counter"), Reply::bulk(b"40"));
    cluster.kill(0);
    cluster.start(0);
    cluster.leader();
    assert_eq!(cluster.node(0).get("counter"), Reply::bulk(b"40"));
}
