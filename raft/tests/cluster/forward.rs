use super::Cluster;
use super::bench::many;
use adapter::Reply;

#[test]
fn writes_through_any_member_are_read_through_any_other_at_once() {
    let cluster = Cluster::of_three();
    for round in 0..30 {
        for writer in 0..3 {
            let value = format!("{round}-{writer}");
            cluster.node(writer).set("k", value.as_bytes()).unwrap();
            for reader in 0..3 {
                assert_eq!(cluster.node(reader).get("k"), Reply::bulk(value.as_bytes()), "reader {reader}");
            }
        }
    }
    cluster.assert_equal();
}

#[test]
fn many_writers_through_a_follower_each_get_their_own_reply_and_nothing_is_applied_twice() {
    let cluster = Cluster::of_three();
    assert_eq!(many(cluster.node(cluster.follower()), 50, 20), 1000);
    assert_eq!(cluster.node(cluster.follower()).get("counter"), Reply::bulk(b"1000"));
}

#[test]
fn a_pipeline_through_a_follower_is_answered_in_its_order() {
    let cluster = Cluster::of_three();
    let follower = cluster.node(cluster.follower());
    let replies = follower.propose(&[&[b"SET", b"a", b"1"], &[b"INCR", b"a"], &[b"INCR", b"a"]]).unwrap();
    assert_eq!(replies, [Reply::OK, Reply::Integer(2), Reply::Integer(3)]);
}

#[test]
fn a_value_of_twenty_megabytes_goes_through_a_follower_and_deposes_nobody() {
    let cluster = Cluster::of_three();
    let leader = cluster.leader();
    let term = cluster.node(leader).handle.status().term;
    let value: Vec<u8> = (0..20 << 20).map(|n: u32| (n % 251) as u8).collect();
    cluster.node(cluster.follower()).set("large", &value).unwrap();
    for index in 0..3 {
        assert!(cluster.node(index).get("large") == Reply::bulk(&value), "member {index} has another value");
    }
    assert_eq!(cluster.node(leader).handle.status().term, term);
}

#[test]
fn every_member_tells_how_all_members_are() {
    let cluster = Cluster::of_three();
    for index in 0..3 {
        let node = cluster.node(index);
        let members = node.run(node.handle.members());
        assert_eq!(members.iter().map(|member| member.id).collect::<Vec<_>>(), [1, 2, 3]);
        assert!(members.iter().all(|member| member.voter && member.node.is_some()), "{members:?}");
    }
}
