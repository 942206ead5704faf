//! Nodes that find a cluster, or each other, by themselves.

use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use redis::Value;
use tests::cluster::Cluster;
use tests::needs::not_run;
use tests::netns::Network;

use super::{EMBEDDED, ask, ok, raft_address, until, voters, wait_for_voters};

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
        // A cluster begins when all of its members have said that they are new.
        cluster.launch(third);
        let leader = cluster.leader();
        let () = redis::cmd("SET").arg("k").arg(first).query(&mut cluster.connect(second)).unwrap();
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
        Err(reason) => return not_run(format_args!("there are no network namespaces here: {reason}")),
    };
    let mut cluster = Cluster::prepare(&[], &[]);
    for index in 0..2 {
        cluster.add(EMBEDDED);
        cluster.nodes[index].host = network.host(index);
        cluster.nodes[index].namespace = Some(network.name(index));
        // Without one, changes are taken from the node's own machine only.
        cluster.nodes[index].set("listen.password", "a-password-of-the-tests");
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
