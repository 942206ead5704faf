//! Where commands go on nodes that do not lead, what CLUSTER tells of the cluster, and addresses that change.

use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use redis::{Connection, Value};
use tests::ask::{ask, text_of};
use tests::cluster::{Cluster, PATIENCE};
use tests::engine::Engine;
use tests::ports;

const THREE: [Engine; 3] = [Engine::Embedded; 3];

/// A node in `CLUSTER SLOTS`: host, port, id, and what else is known.
type Shown = (String, u16, String, Vec<String>);

/// The error that a command is answered with, code first; or, if it is none, its reply.
fn error_of(connection: &mut Connection, line: &str) -> String {
    match ask::<Value>(connection, line) {
        Ok(Value::Okay) => "OK".to_owned(),
        Ok(Value::Int(number)) => number.to_string(),
        Ok(Value::BulkString(text)) => String::from_utf8(text).unwrap(),
        Ok(value) => format!("{value:?}"),
        Err(error) => text_of(&error),
    }
}

/// Waits until every node knows where clients reach every node.
fn wait_for_addresses(cluster: &Cluster) {
    let deadline = Instant::now() + PATIENCE;
    let expected: Vec<String> = cluster.ports().iter().map(|port| format!("127.0.0.1:{port}")).collect();
    for index in 0..cluster.nodes.len() {
        loop {
            let members = cluster.members(index).unwrap_or_default();
            let told: Vec<String> = members.into_iter().map(|member| member.resp).collect();
            if told == expected {
                break;
            }
            assert!(Instant::now() < deadline, "node {}: {told:?}\n{}", index + 1, cluster.log(index));
            sleep(Duration::from_millis(20));
        }
    }
}

/// What `CLUSTER MYID` answers on each node.
fn names(cluster: &Cluster) -> Vec<String> {
    (0..cluster.nodes.len()).map(|index| ask(&mut cluster.connect(index), "CLUSTER MYID").unwrap()).collect()
}

#[test]
fn commands_are_passed_on_or_redirected_as_routing_says() {
    for routing in ["forward", "auto", "redirect"] {
        let cluster = Cluster::start_with(&THREE, &[("cluster.routing", routing)]);
        wait_for_addresses(&cluster);
        let leader = cluster.leader();
        let follower = (leader + 1) % 3;
        let mut at_follower = cluster.connect(follower);
        let moved = |slot: u16| format!("MOVED {slot} 127.0.0.1:{}", cluster.nodes[leader].port);
        let (passed_set, passed_get) = ("OK".to_owned(), "v".to_owned());
        let expect = |connection: &mut Connection, redirects: bool| {
            let (set, get) = if redirects {
                (moved(12182), moved(12182))
            } else {
                (passed_set.clone(), passed_get.clone())
            };
            assert_eq!(error_of(connection, "SET foo v"), set, "{routing}");
            assert_eq!(error_of(connection, "GET foo"), get, "{routing}");
        };
        expect(&mut at_follower, routing == "redirect");
        let () = ask(&mut at_follower, "CLUSTER SLOTS").unwrap();
        expect(&mut at_follower, routing != "forward");
        if routing != "forward" {
            // The slot is that of the first key, by its tag; without a key there is nothing to redirect.
            assert_eq!(error_of(&mut at_follower, "MSET {foo}a 1 b 2"), moved(12182));
            assert_eq!(error_of(&mut at_follower, "MGET b foo"), moved(3300));
            assert_eq!(
                error_of(&mut at_follower, "INCR"),
                "ERR wrong number of arguments for 'incr' command"
            );
        }
        assert!(error_of(&mut at_follower, "DBSIZE").parse::<u64>().is_ok());
        assert_eq!(error_of(&mut at_follower, "FLUSHALL"), "OK", "{routing}");
        // As if the connection were new.
        let () = ask(&mut at_follower, "RESET").unwrap();
        expect(&mut at_follower, routing == "redirect");
        // A leader redirects nobody.
        let mut at_leader = cluster.connect(leader);
        let () = ask(&mut at_leader, "CLUSTER SHARDS").unwrap();
        expect(&mut at_leader, false);
        // Those who read from replicas read here.
        let () = ask(&mut at_follower, "READONLY").unwrap();
        let read = error_of(&mut at_follower, "GET foo");
        assert!(!read.starts_with("MOVED"), "{read}");
        let written = error_of(&mut at_follower, "SET foo v");
        assert_eq!(written.starts_with("MOVED"), routing != "forward", "{written}");
        let () = ask(&mut at_follower, "READWRITE").unwrap();
        assert_eq!(error_of(&mut at_follower, "GET foo").starts_with("MOVED"), routing != "forward");
    }
}

#[test]
fn a_client_that_is_passed_on_sees_latency_and_no_error_while_a_leader_is_lost() {
    for (routing, is_aware) in [("auto", false), ("redirect", true)] {
        let mut cluster = Cluster::start_with(&THREE, &[("cluster.routing", routing)]);
        wait_for_addresses(&cluster);
        let leader = cluster.leader();
        let follower = (leader + 1) % 3;
        let mut connection = cluster.connect(follower);
        connection.set_read_timeout(Some(PATIENCE)).unwrap();
        cluster.kill(leader);
        let killed = Instant::now();
        let (mut done, mut unknown, mut moved, mut slowest) = (0, 0, 0, Duration::ZERO);
        while done < 200 {
            let began = Instant::now();
            match ask::<i64>(&mut connection, "INCR counter") {
                Ok(_) => done += 1,
                Err(error) if error.code() == Some("TIMEOUT") => unknown += 1,
                // For a moment nobody here can know that the leader has died.
                Err(error) if error.code() == Some("MOVED") && is_aware => {
                    moved += 1;
                    let () = ask(&mut connection, "CLUSTER SLOTS").unwrap();
                }
                Err(error) => panic!("{routing}: {error}"),
            }
            slowest = slowest.max(began.elapsed());
            assert!(killed.elapsed() < PATIENCE, "{routing}: {done} done, {unknown} unknown, {moved} moved");
            if moved > 0 && done == 0 && killed.elapsed() > Duration::from_secs(4) {
                panic!("{routing}: still moved");
            }
            if done > 0 && moved > 0 {
                break;
            }
        }
        println!("{routing}: {done} done, {unknown} unknown, {moved} moved, the slowest {slowest:?}");
        assert!(unknown <= 1, "{unknown}");
        // One look at the cluster is enough not to be sent to the dead leader again, until the next one leads.
        assert!(moved <= 2, "{moved}");
        assert!(slowest < Duration::from_secs(4), "{slowest:?}");
    }
}

#[test]
fn without_a_majority_a_command_waits_and_is_refused_as_not_done() {
    let mut cluster = Cluster::start_with(&THREE, &[("raft.request_timeout", "1s")]);
    let leader = cluster.leader();
    let survivor = (leader + 1) % 3;
    let mut connection = cluster.connect(survivor);
    let () = ask(&mut connection, "CLUSTER SLOTS").unwrap();
    cluster.kill(leader);
    cluster.kill((leader + 2) % 3);
    // It may believe in its leader for a moment.
    sleep(Duration::from_millis(700));
    let began = Instant::now();
    assert_eq!(error_of(&mut connection, "SET k v"), "CLUSTERDOWN No raft leader");
    assert!(began.elapsed() > Duration::from_millis(900), "{:?}", began.elapsed());
    let info: String = ask(&mut connection, "CLUSTER INFO").unwrap();
    assert!(info.starts_with("cluster_state:fail\r\n"), "{info}");
    // This node would take commands on for a leader: it is the one to ask.
    let slots: Vec<(i64, i64, Shown)> = ask(&mut connection, "CLUSTER SLOTS").unwrap();
    assert_eq!(slots[0].2.1, cluster.nodes[survivor].port);
}

#[test]
fn every_cluster_command_answers_as_in_redis() {
    let cluster = Cluster::start(&THREE);
    wait_for_addresses(&cluster);
    let leader = cluster.leader();
    let (follower, other) = ((leader + 1) % 3, (leader + 2) % 3);
    let names = names(&cluster);
    let (master, me, sibling) = (&names[leader], &names[follower], &names[other]);
    assert!(names.iter().all(|name| name.len() == 40 && name.bytes().all(|b| b.is_ascii_hexdigit())));
    let mut connection = cluster.connect(follower);
    for (line, expected) in [
        ("CLUSTER", "ERR wrong number of arguments for 'cluster' command"),
        ("CLUSTER NOSUCH", "ERR unknown subcommand 'NOSUCH'. Try CLUSTER HELP."),
        ("CLUSTER INFO x", "ERR wrong number of arguments for 'cluster|info' command"),
        ("CLUSTER KEYSLOT foo{bar}{zap}", "5061"),
        ("CLUSTER COUNTKEYSINSLOT 16384", "ERR Invalid slot"),
        ("CLUSTER COUNTKEYSINSLOT -1", "ERR Invalid slot"),
        ("CLUSTER COUNTKEYSINSLOT x", "ERR value is not an integer or out of range"),
        ("CLUSTER GETKEYSINSLOT 16384 1", "ERR Invalid slot or number of keys"),
        ("CLUSTER GETKEYSINSLOT 1 -1", "ERR Invalid slot or number of keys"),
        ("CLUSTER GETKEYSINSLOT 1 x", "ERR value is not an integer or out of range"),
        ("CLUSTER FORGET abc", "ERR Unknown node abc"),
        (&format!("CLUSTER FORGET {me}"), "ERR I tried hard but I can't forget myself..."),
        ("CLUSTER REPLICAS abc", "ERR Unknown node abc"),
        ("CLUSTER SLAVES abc", "ERR Unknown node abc"),
        (&format!("CLUSTER REPLICAS {me}"), "ERR The specified node is not a master"),
        ("CLUSTER REPLICATE abc", "ERR Unknown node abc"),
        (&format!("CLUSTER REPLICATE {me}"), "ERR Can't replicate myself"),
        (&format!("CLUSTER REPLICATE {sibling}"), "ERR I can only replicate a master, not a replica."),
        (&format!("CLUSTER REPLICATE {master}"), "OK"),
        ("CLUSTER COUNT-FAILURE-REPORTS abc", "ERR Unknown node abc"),
        (&format!("CLUSTER COUNT-FAILURE-REPORTS {master}"), "0"),
        ("CLUSTER FAILOVER NOW", "ERR syntax error"),
        (
            "CLUSTER FAILOVER FORCE TAKEOVER",
            "ERR unknown subcommand or wrong number of arguments for 'FAILOVER'. Try CLUSTER HELP.",
        ),
        ("CLUSTER MEET 1", "ERR wrong number of arguments for 'cluster|meet' command"),
        ("CLUSTER MEET 127.0.0.1 x", "ERR Invalid TCP base port specified: x"),
        ("CLUSTER MEET 127.0.0.1 1 x", "ERR Invalid TCP bus port specified: x"),
        ("CLUSTER MEET 127.0.0.1 99999", "ERR Invalid node address specified: 127.0.0.1:99999"),
        ("CLUSTER RESET NOW", "ERR syntax error"),
        (
            "CLUSTER RESET HARD",
            "ERR CLUSTER RESET can't be called: this node is a member, with data and a vote. Have the cluster remove it with CLUSTER FORGET",
        ),
        ("CLUSTER SAVECONFIG", "OK"),
        ("ASKING", "OK"),
    ] {
        assert_eq!(error_of(&mut connection, line), expected, "{line}");
    }
    let at_leader = error_of(&mut cluster.connect(leader), "CLUSTER FAILOVER");
    assert_eq!(at_leader, "ERR You should send CLUSTER FAILOVER to a replica");
    shows_what_is_there(&cluster, leader, follower, &names);
    let help: Vec<String> = ask(&mut connection, "CLUSTER HELP").unwrap();
    assert!(help.contains(&"MYSHARDID".to_owned()));
}

fn shows_what_is_there(cluster: &Cluster, leader: usize, follower: usize, names: &[String]) {
    let mut connection = cluster.connect(follower);
    let shard: Vec<String> = (0..3)
        .map(|index| ask::<String>(&mut cluster.connect(index), "CLUSTER MYSHARDID").unwrap())
        .collect();
    assert!(shard[0].len() == 40 && shard.iter().all(|name| *name == shard[0]), "{shard:?}");

    let info: String = ask(&mut connection, "CLUSTER INFO").unwrap();
    for line in [
        "cluster_state:ok",
        "cluster_slots_assigned:16384",
        "cluster_slots_ok:16384",
        "cluster_slots_pfail:0",
        "cluster_slots_fail:0",
        "cluster_known_nodes:3",
        "cluster_size:1",
    ] {
        assert!(info.contains(&format!("{line}\r\n")), "{line} in {info}");
    }
    let server: String = ask(&mut connection, "INFO").unwrap();
    assert!(
        server.contains("cluster_enabled:1\r\n") && server.contains("redis_mode:cluster\r\n"),
        "{server}"
    );

    let slots: Vec<(i64, i64, Shown, Shown, Shown)> = ask(&mut connection, "CLUSTER SLOTS").unwrap();
    let [(first, last, master, one, two)] = &slots[..] else { panic!("{slots:?}") };
    assert_eq!((*first, *last), (0, 16383));
    let shown = |index: usize| {
        ("127.0.0.1".to_owned(), cluster.nodes[index].port, names[index].clone(), Vec::<String>::new())
    };
    assert_eq!(*master, shown(leader));
    let mut replicas = [one.clone(), two.clone()];
    replicas.sort_by_key(|replica| replica.1);
    let mut expected = [shown((leader + 1) % 3), shown((leader + 2) % 3)];
    expected.sort_by_key(|replica| replica.1);
    assert_eq!(replicas, expected);

    let nodes: String = ask(&mut connection, "CLUSTER NODES").unwrap();
    let lines: Vec<Vec<&str>> = nodes.lines().map(|line| line.split(' ').collect()).collect();
    assert_eq!(lines.len(), 3, "{nodes}");
    for (index, line) in lines.iter().enumerate() {
        let node = &cluster.nodes[index];
        assert_eq!(line[0], names[index]);
        assert_eq!(line[1], format!("127.0.0.1:{}@{}", node.port, node.raft_port));
        let myself = if index == follower { "myself," } else { "" };
        let (kind, master) = if index == leader { ("master", "-") } else { ("slave", &*names[leader]) };
        assert_eq!((line[2], line[3]), (&*format!("{myself}{kind}"), master), "{nodes}");
        assert_eq!(line[7], "connected");
        assert_eq!(line.get(8).copied(), (index == leader).then_some("0-16383"), "{nodes}");
    }
    for word in ["REPLICAS", "SLAVES"] {
        let replicas: Vec<String> =
            ask(&mut connection, &format!("CLUSTER {word} {}", names[leader])).unwrap();
        assert_eq!(replicas.len(), 2, "{replicas:?}");
        assert!(replicas.iter().all(|line| line.contains(" slave ") || line.contains(",slave ")));
    }
    let shards = error_of(&mut connection, "CLUSTER SHARDS");
    for part in ["slots", "int(16383)", "replication-offset", "\"master\"", "\"replica\"", "\"online\""] {
        assert!(shards.contains(part), "{part} in {shards}");
    }
    let links = error_of(&mut connection, "CLUSTER LINKS");
    assert_eq!(links.matches("create-time").count(), 2, "{links}");
    for index in (0..3).filter(|index| *index != follower) {
        assert!(links.contains(&names[index]), "{links}");
    }
    counts_keys(cluster, leader);
}

fn counts_keys(cluster: &Cluster, leader: usize) {
    let mut connection = cluster.connect(leader);
    for key in ["{foo}1", "{foo}2", "{foo}3", "elsewhere"] {
        let () = ask(&mut connection, &format!("SET {key} v")).unwrap();
    }
    assert_eq!(ask::<i64>(&mut connection, "CLUSTER COUNTKEYSINSLOT 12182").unwrap(), 3);
    assert_eq!(ask::<i64>(&mut connection, "CLUSTER COUNTKEYSINSLOT 12183").unwrap(), 0);
    let mut keys: Vec<String> = ask(&mut connection, "CLUSTER GETKEYSINSLOT 12182 10").unwrap();
    keys.sort();
    assert_eq!(keys, ["{foo}1", "{foo}2", "{foo}3"]);
    let some: Vec<String> = ask(&mut connection, "CLUSTER GETKEYSINSLOT 12182 2").unwrap();
    assert_eq!(some.len(), 2);
    assert!(ask::<Vec<String>>(&mut connection, "CLUSTER GETKEYSINSLOT 12182 0").unwrap().is_empty());
}

#[test]
fn a_node_that_is_gone_is_shown_as_such_and_no_client_is_sent_to_it() {
    let mut cluster = Cluster::start(&THREE);
    wait_for_addresses(&cluster);
    let leader = cluster.leader();
    let (gone, paused) = ((leader + 1) % 3, leader);
    let names = names(&cluster);
    cluster.kill(gone);
    let mut connection = cluster.connect(leader);
    let slots = error_of(&mut connection, "CLUSTER SLOTS");
    assert!(!slots.contains(&names[gone]) && slots.matches("127.0.0.1").count() == 2, "{slots}");
    let nodes: String = ask(&mut connection, "CLUSTER NODES").unwrap();
    let line = nodes.lines().find(|line| line.starts_with(&names[gone])).unwrap();
    assert!(line.contains(" slave,fail? ") && line.ends_with(" disconnected"), "{line}");
    let reports = format!("CLUSTER COUNT-FAILURE-REPORTS {}", names[gone]);
    assert_eq!(ask::<i64>(&mut connection, &reports).unwrap(), 1);
    cluster.launch(gone);
    cluster.leader();
    // A leader that stands still is not named by those whom it does not answer, even before another is elected.
    let mut at_gone = cluster.connect(gone);
    cluster.signal(paused, Signal::SIGSTOP);
    let slots = error_of(&mut at_gone, "CLUSTER SLOTS");
    assert!(!slots.contains(&names[paused]), "{slots}");
    cluster.signal(paused, Signal::SIGCONT);
    cluster.leader();
}

#[test]
fn addresses_that_change_are_followed_and_nobody_else_is_told() {
    let mut cluster = Cluster::start(&THREE);
    wait_for_addresses(&cluster);
    let moving = (cluster.leader() + 1) % 3;
    let name = names(&cluster)[moving].clone();
    cluster.stop(moving);
    // The others are neither restarted nor configured anew.
    cluster.nodes[moving].port = ports::free();
    cluster.nodes[moving].raft_port = ports::free();
    let () = ask(&mut cluster.connect((moving + 1) % 3), "SET before v").unwrap();
    cluster.launch(moving);
    cluster.leader();
    wait_for_addresses(&cluster);
    let members = cluster.members((moving + 2) % 3).unwrap();
    assert_eq!(members[moving].raft, format!("127.0.0.1:{}", cluster.nodes[moving].raft_port));
    let mut connection = cluster.connect(moving);
    assert_eq!(ask::<String>(&mut connection, "GET before").unwrap(), "v");
    assert_eq!(ask::<String>(&mut connection, "CLUSTER MYID").unwrap(), name);
    cluster.assert_equal_digests();
}

#[test]
fn nodes_whose_addresses_have_all_changed_at_once_find_each_other() {
    let mut cluster = Cluster::start(&THREE);
    wait_for_addresses(&cluster);
    let () = ask(&mut cluster.connect(0), "SET before v").unwrap();
    for index in 0..3 {
        cluster.stop(index);
        cluster.nodes[index].port = ports::free();
        cluster.nodes[index].raft_port = ports::free();
    }
    cluster.launch_all();
    wait_for_addresses(&cluster);
    assert_eq!(ask::<String>(&mut cluster.connect(2), "GET before").unwrap(), "v");
    cluster.assert_equal_digests();
}

#[test]
fn nodes_started_in_any_order_form_one_cluster() {
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let mut cluster = Cluster::prepare(&THREE, &[]);
        for index in order {
            cluster.launch(index);
            sleep(Duration::from_millis(400));
        }
        let leader = cluster.leader();
        let ids: Vec<String> = (0..3).map(|index| cluster.status(index).unwrap().cluster_id).collect();
        assert!(!ids[0].is_empty() && ids.iter().all(|id| *id == ids[0]), "{order:?}: {ids:?}");
        let () = ask(&mut cluster.connect(leader), "SET k v").unwrap();
        for index in 0..3 {
            assert_eq!(cluster.members(index).unwrap().len(), 3);
            assert_eq!(ask::<String>(&mut cluster.connect(index), "GET k").unwrap(), "v", "{order:?}");
        }
        wait_for_addresses(&cluster);
        cluster.assert_equal_digests();
    }
}
