use super::Cluster;
use super::bench::until;
use adapter::Reply;

#[test]
fn a_member_that_was_away_until_the_log_was_purged_catches_up_by_snapshot() {
    let mut cluster = Cluster::of_three_with(|config| {
        config.raft.snapshot_log_bytes = 200_000;
        config.raft.keep_entries = 10;
    });
    let follower = cluster.follower();
    cluster.kill(follower);
    let leader = cluster.leader();
    let value = vec![b'x'; 1000];
    for number in 0..500 {
        cluster.node(leader).set(&format!("key-{number}"), &value).unwrap();
    }
    until("the log to be purged", || (cluster.node(leader).handle.status().purged > 100).then_some(()));
    cluster.start(follower);
    assert_eq!(cluster.node(follower).get("key-0"), Reply::bulk(&value));
    assert!(cluster.node(follower).handle.status().snapshot > 0);
    cluster.node(follower).set("after", b"1").unwrap();
    cluster.assert_equal();
}
