use super::Cluster;
use super::bench::SECRET;
use raft::StartError;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

#[test]
fn a_stranger_is_told_nothing_whatever_it_says() {
    let cluster = Cluster::of_three();
    let request = |path: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nauthorization: Bearer {SECRET}\r\nx-raft-target: 1\r\ncontent-length: 0\r\n\r\n"
        )
    };
    for said in [request("/raft/vote"), request("/raft/append"), request("/status"), "PING\r\n".to_owned()] {
        let mut stream = TcpStream::connect(cluster.addresses[0]).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        // It may be closed before all of it is sent.
        let _ = stream.write_all(said.as_bytes());
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert_eq!(String::from_utf8_lossy(&answer), "", "{said}");
    }
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
