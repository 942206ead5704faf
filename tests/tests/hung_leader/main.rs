//! A leader that hangs: its process is stopped (`SIGSTOP`), or its machine is gone without a reset, which a network
//! namespace plays whose cable is pulled. Nobody is told, and connections stay open.

mod first_success;
mod late_writes;

use std::time::Duration;

use redis::{Connection, RedisResult};
use tests::ask::text_of;
use tests::cluster::Cluster;
use tests::engine::Engine;
use tests::netns::Network;

/// Three nodes, each in a network namespace of its own; none where that cannot be made.
fn in_namespaces(settings: &[(&str, &str)]) -> Option<(Cluster, Network)> {
    let mut cluster = Cluster::prepare(&[Engine::Embedded; 3], settings);
    let network = match Network::new(3) {
        Ok(network) => network,
        Err(reason) => {
            println!("NOT RUN: no network namespaces here: {reason}");
            return None;
        }
    };
    for (index, node) in cluster.nodes.iter_mut().enumerate() {
        node.host = network.host(index);
        node.namespace = Some(network.name(index));
    }
    cluster.launch_all();
    Some((cluster, network))
}

/// What a write was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Done,
    NotDone,
    Unknown,
}

fn told<T>(reply: &RedisResult<T>) -> Told {
    match reply {
        Ok(_) => Told::Done,
        Err(error) => match text_of(error) {
            text if text.starts_with("CLUSTERDOWN ") => Told::NotDone,
            text if text.starts_with("TIMEOUT ") => Told::Unknown,
            text => panic!("{text}"),
        },
    }
}

/// A connection that waits for every reply longer than any takes.
fn connect(cluster: &Cluster, index: usize) -> Connection {
    let connection = cluster.connect(index);
    connection.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    connection
}
