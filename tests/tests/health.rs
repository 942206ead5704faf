//! The health monitor on real processes: who is dead, who is cut off, and in which direction.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use raft::health::{Fault, HealthView, LinkState, MemberState};
use tests::cluster::{Cluster, PATIENCE};
use tests::engine::Engine;
use tests::http;
use tests::needs::not_run;
use tests::netns::Network;

/// Five times as often as by default, so that the tests wait a fifth.
const QUICK: [(&str, &str); 1] = [("raft.health_interval", "200ms")];

fn three() -> Cluster {
    let mut cluster = Cluster::prepare(&[Engine::Embedded; 3], &QUICK).with_http();
    cluster.launch_all();
    wait_for(&cluster, &[0, 1, 2], |view| view.is_healthy());
    cluster
}

fn view(cluster: &Cluster, index: usize) -> HealthView {
    try_view(cluster, index).unwrap_or_else(|| panic!("node {} has no view", index + 1))
}

/// None while the node starts.
fn try_view(cluster: &Cluster, index: usize) -> Option<HealthView> {
    let answer = http::try_get(cluster.http(index), "/cluster/health").ok()?;
    (answer.status == 200).then(|| serde_json::from_str(&answer.body).unwrap())
}

fn state(view: &HealthView, id: u64) -> MemberState {
    view.member(id).map_or(MemberState::Unknown, |member| member.state)
}

/// Waits until all these nodes see something; answers what they saw on the way.
fn wait_for(cluster: &Cluster, nodes: &[usize], seen: impl Fn(&HealthView) -> bool) -> Vec<HealthView> {
    let deadline = Instant::now() + PATIENCE;
    let mut all = Vec::new();
    loop {
        let views: Vec<HealthView> = nodes.iter().filter_map(|index| try_view(cluster, *index)).collect();
        let done = views.len() == nodes.len() && views.iter().all(&seen);
        assert!(done || Instant::now() < deadline, "not seen by all: {views:#?}");
        all.extend(views);
        if done {
            return all;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn fault(view: &HealthView, from: u64, to: u64) -> Option<Fault> {
    view.links.iter().find(|link| (link.from, link.to) == (from, to))?.fault
}

#[test]
fn a_killed_node_is_dead_for_all_and_never_taken_for_a_partition() {
    let mut cluster = three();
    let victim = (cluster.leader() + 1) % 3;
    let (id, rest) = (victim as u64 + 1, [(victim + 1) % 3, (victim + 2) % 3]);
    cluster.kill(victim);
    let seen = wait_for(&cluster, &rest, |view| {
        let others = view.members.iter().filter(|member| member.id != id);
        state(view, id) == MemberState::Dead && others.clone().all(|member| member.state == MemberState::Up)
    });
    for view in &seen {
        assert!(view.quorum, "{view:#?}");
        assert!(view.members.iter().all(|member| member.state != MemberState::Partitioned), "{view:#?}");
    }
    let last = seen.last().unwrap();
    assert_eq!(fault(last, last.node, id), Some(Fault::Refused));
    cluster.launch(victim);
    wait_for(&cluster, &[0, 1, 2], HealthView::is_healthy);
    // One line for each change, on each node that sees it.
    for index in rest {
        let log = cluster.log(index);
        let told = |text: &str| log.lines().filter(|line| line.contains(text)).count();
        let dead = format!("member={id} was=up state=dead");
        assert_eq!(told(&dead), 1, "{dead}\n{log}");
        assert_eq!(told(&format!("peer={id} was=up state=down")), 1, "{log}");
    }
}

#[test]
fn a_node_that_stands_still_is_unreachable_and_nobody_waits_a_second_for_it() {
    let cluster = three();
    let victim = (cluster.leader() + 1) % 3;
    let (id, other) = (victim as u64 + 1, (victim + 1) % 3);
    cluster.signal(victim, Signal::SIGSTOP);
    let rest = [other, (victim + 2) % 3];
    let seen = wait_for(&cluster, &rest, |view| state(view, id) == MemberState::Unreachable);
    let last = seen.last().unwrap();
    assert_eq!(fault(last, last.node, id), Some(Fault::NoAnswer), "{last:#?}");
    let mut connection = cluster.connect(other);
    for section in ["raft", "all"] {
        let began = Instant::now();
        let info: String = redis::cmd("INFO").arg(section).query(&mut connection).unwrap();
        let took = began.elapsed();
        assert!(took < Duration::from_millis(400), "INFO {section} took {took:?}");
        let line = info.lines().find(|line| line.starts_with(&format!("raft_node{id}:"))).unwrap();
        assert!(line.contains("state=unreachable") && line.ends_with("health=unreachable"), "{line}");
        std::thread::sleep(Duration::from_millis(600));
    }
    cluster.signal(victim, Signal::SIGCONT);
    wait_for(&cluster, &[0, 1, 2], HealthView::is_healthy);
}

#[test]
fn a_node_without_a_majority_says_so_and_calls_nobody_healthy() {
    let mut cluster = three();
    cluster.kill(0);
    cluster.kill(1);
    wait_for(&cluster, &[2], |view| {
        !view.quorum && state(view, 1) == MemberState::Dead && state(view, 2) == MemberState::Dead
    });
}

#[test]
fn info_raft_counts_connections_to_each_node() {
    let mut cluster = three();
    let info = |cluster: &Cluster| -> Vec<String> {
        let text: String = redis::cmd("INFO").arg("raft").query(&mut cluster.connect(0)).unwrap();
        text.lines().filter(|line| line.starts_with("raft_node2:")).map(str::to_owned).collect()
    };
    let field = |line: &str, name: &str| -> i64 {
        let (_, rest) = line.split_once(&format!(",{name}=")).unwrap_or_else(|| panic!("{name}: {line}"));
        rest.split(',').next().unwrap().parse().unwrap()
    };
    let before = info(&cluster).remove(0);
    assert!(field(&before, "conn_oks") > 0 && field(&before, "last_conn_secs") >= 0, "{before}");
    cluster.kill(1);
    wait_for(&cluster, &[0], |view| state(view, 2) == MemberState::Dead);
    let after = info(&cluster).remove(0);
    assert!(field(&after, "conn_errors") > field(&before, "conn_errors"), "{before}\n{after}");
}

/// Three nodes, each in a network namespace of its own; none where that cannot be made.
fn in_namespaces() -> Option<(Cluster, Network)> {
    let mut cluster = Cluster::prepare(&[Engine::Embedded; 3], &QUICK);
    let network = match Network::new(3) {
        Ok(network) => network,
        Err(reason) => {
            not_run(format_args!("there are no network namespaces here: {reason}"));
            return None;
        }
    };
    for (index, node) in cluster.nodes.iter_mut().enumerate() {
        node.host = network.host(index);
        node.namespace = Some(network.name(index));
    }
    let mut cluster = cluster.with_http();
    cluster.launch_all();
    wait_for(&cluster, &[0, 1, 2], HealthView::is_healthy);
    Some((cluster, network))
}

#[test]
fn packets_lost_in_one_direction_are_seen_as_one_way_by_all_three() {
    let Some((cluster, network)) = in_namespaces() else { return };
    let (a, b) = (1, 2);
    let (from, to) = (a as u64 + 1, b as u64 + 1);
    network.lose(b, a);
    let seen = wait_for(&cluster, &[0, 1, 2], |view| {
        view.link(from, to) == LinkState::OneWay
            && view.link(to, from) == LinkState::Down
            && state(view, from) == MemberState::Partitioned
            && state(view, to) == MemberState::Partitioned
            && state(view, 1) == MemberState::Up
    });
    let is_gone = |state| matches!(state, MemberState::Dead | MemberState::Unreachable);
    assert!(seen.iter().all(|view| view.members.iter().all(|member| !is_gone(member.state))), "{seen:#?}");
    let others_are_up =
        |view: &HealthView| view.link(1, 2) == LinkState::Up && view.link(3, 1) == LinkState::Up;
    assert!(seen[seen.len() - 3..].iter().all(others_are_up), "{seen:#?}");
    // It stays so.
    std::thread::sleep(Duration::from_secs(2));
    assert!((0..3).all(|index| view(&cluster, index).link(from, to) == LinkState::OneWay));
    network.mend(b, a);
    wait_for(&cluster, &[0, 1, 2], HealthView::is_healthy);
}

#[test]
fn two_nodes_cut_off_from_each_other_are_partitioned_for_all_and_the_third_is_not() {
    let Some((cluster, network)) = in_namespaces() else { return };
    network.lose(0, 2);
    network.lose(2, 0);
    let seen = wait_for(&cluster, &[0, 1, 2], |view| {
        view.link(1, 3) == LinkState::Down
            && view.link(3, 1) == LinkState::Down
            && state(view, 1) == MemberState::Partitioned
            && state(view, 3) == MemberState::Partitioned
            && state(view, 2) == MemberState::Up
    });
    let is_gone = |state| matches!(state, MemberState::Dead | MemberState::Unreachable);
    assert!(seen.iter().all(|view| view.members.iter().all(|member| !is_gone(member.state))), "{seen:#?}");
    assert!(seen.iter().all(|view| view.quorum));
    network.mend(0, 2);
    network.mend(2, 0);
    wait_for(&cluster, &[0, 1, 2], HealthView::is_healthy);
}

#[test]
fn a_node_cut_off_from_all_others_is_unreachable_for_them_and_knows_that_it_is_alone() {
    let Some((cluster, network)) = in_namespaces() else { return };
    for other in [0, 1] {
        network.lose(2, other);
        network.lose(other, 2);
    }
    wait_for(&cluster, &[0, 1], |view| {
        view.quorum
            && state(view, 3) == MemberState::Unreachable
            && state(view, 1) == MemberState::Up
            && state(view, 2) == MemberState::Up
    });
    wait_for(&cluster, &[2], |view| !view.quorum && state(view, 1) == MemberState::Unreachable);
    for other in [0, 1] {
        network.mend(2, other);
        network.mend(other, 2);
    }
    wait_for(&cluster, &[0, 1, 2], HealthView::is_healthy);
}
