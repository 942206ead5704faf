use super::Cluster;
use super::bench::SECRET;
use raft::StartError;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Status and body of the answer to a request with these headers.
fn ask(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let request =
        format!("POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}content-length: 0\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

#[test]
fn a_stranger_gets_401_and_nothing_else() {
    let cluster = Cluster::of_three();
    for path in ["/raft/vote", "/raft/append", "/raft/snapshot", "/forward/propose", "/status", "/nowhere"] {
        for authorization in ["", "Bearer ", "Bearer wrong", SECRET] {
            let headers = [("authorization", authorization), ("x-raft-target", "1")];
            assert_eq!(ask(cluster.addresses[0], path, &headers), (401, String::new()), "{path}");
        }
        assert_eq!(ask(cluster.addresses[0], path, &[]), (401, String::new()), "{path}");
    }
}

#[test]
fn a_member_of_another_cluster_and_one_who_looks_for_another_node_are_told_so() {
    let cluster = Cluster::of_three();
    let bearer = format!("Bearer {SECRET}");
    let id = cluster.node(0).handle.status().cluster_id;
    assert_eq!(id.len(), 32);
    let with = |cluster_id: &str, target: &str| {
        let headers = [
            ("authorization", &*bearer),
            ("x-raft-cluster", cluster_id),
            ("x-raft-sender", "2"),
            ("x-raft-target", target),
        ];
        ask(cluster.addresses[0], "/status", &headers)
    };
    assert_eq!(with(&id, "1").0, 200);
    let (status, reason) = with("another", "1");
    assert_eq!((status, reason.contains("belongs to the cluster")), (409, true), "{reason}");
    let (status, reason) = with(&id, "2");
    assert_eq!((status, reason.contains("this is node 1")), (421, true), "{reason}");
}

#[test]
fn an_empty_node_with_a_wrong_secret_is_told_so() {
    let mut cluster = Cluster::of_three();
    cluster.kill(2);
    std::fs::remove_dir_all(cluster.config(2).node.data_dir).unwrap();
    cluster.adjust = |config| config.cluster.secret = "another".to_owned();
    let refused = cluster.try_start(2).err().unwrap();
    assert!(matches!(refused, StartError::Stranger { .. }), "{refused}");
}

#[test]
fn a_data_directory_of_another_node_is_refused_and_left_alone() {
    let mut cluster = Cluster::of_three();
    cluster.kill(2);
    let mut config = cluster.config(2);
    config.node.id = 9;
    config.cluster.members[2].id = 9;
    let refused = super::bench::start(&config).err().unwrap();
    assert!(matches!(refused, StartError::Identity(_)), "{refused}");
    cluster.start(2);
    cluster.leader();
}
