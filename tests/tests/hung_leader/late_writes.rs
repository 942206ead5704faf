//! What became of writes that were answered while links were cut or nodes stood still, once that is over: what was
//! called not done is not there, and nothing appears that nobody waits for any more.

use std::process::Command;
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use redis::{Connection, RedisResult};
use tests::ask::{ask, wait_for};
use tests::cluster::Cluster;
use tests::engine::Engine;
use tests::netns::Network;

use super::{Told, connect, in_namespaces, told};

/// More than there are requests from one node to the leader at once: some of their writes never leave it.
const WRITERS: usize = 16;
/// The time between two writers.
const BETWEEN: Duration = Duration::from_millis(10);
/// How long a write is waited for.
const PATIENCE: [(&str, &str); 1] = [("raft.request_timeout", "1s")];

/// A write of each writer, each with a key of its own. They come one behind the other, so that the first ones fill
/// all requests to the leader that there may be, and while none is answered.
fn write_all(cluster: &Cluster, node: usize, name: &str) -> Vec<(String, Told)> {
    // They are connected before any writes: the writes are to come together.
    let clients: Vec<Connection> = (0..WRITERS).map(|_| connect(cluster, node)).collect();
    thread::scope(|scope| {
        let write = |(number, mut client): (usize, Connection)| {
            scope.spawn(move || {
                thread::sleep(BETWEEN * number as u32);
                let key = format!("{name}:{number}");
                let reply: RedisResult<()> = ask(&mut client, &format!("SET {key} v"));
                (key, told(&reply))
            })
        };
        let writing: Vec<_> = clients.into_iter().enumerate().map(write).collect();
        writing.into_iter().map(|writer| writer.join().unwrap()).collect()
    })
}

fn count(writes: &[(String, Told)], what: Told) -> usize {
    writes.iter().filter(|(_, told)| *told == what).count()
}

fn assert_absent(cluster: &Cluster, node: usize, writes: &[(String, Told)]) {
    let mut connection = connect(cluster, node);
    for (key, told) in writes {
        let is_there: bool = ask(&mut connection, &format!("EXISTS {key}")).unwrap();
        assert!(!is_there, "{key} was {told:?} and is there");
    }
}

/// Writes through a node until that is done: what came before it has been answered by then.
fn write_through(cluster: &Cluster, node: usize) {
    let mut connection = connect(cluster, node);
    wait_for("a write to be done", || ask::<()>(&mut connection, "SET through v").is_ok());
}

#[test]
fn writes_that_a_leader_reads_when_nobody_waits_for_them_any_more_are_not_done() {
    let mut cluster = Cluster::start_with(&[Engine::Embedded; 3], &PATIENCE);
    let leader = cluster.leader();
    let (follower, other) = ((leader + 1) % 3, (leader + 2) % 3);
    write_through(&cluster, follower);
    // Two of three are left: nobody else can be elected while the leader stands still.
    cluster.kill(other);
    cluster.signal(leader, Signal::SIGSTOP);
    let writes = write_all(&cluster, follower, "late");
    let (unknown, not_done) = (count(&writes, Told::Unknown), count(&writes, Told::NotDone));
    println!("{unknown} unknown, {not_done} not done");
    assert!(unknown > 0 && not_done > 0 && unknown + not_done == WRITERS, "{writes:?}");
    cluster.signal(leader, Signal::SIGCONT);
    cluster.leader();
    write_through(&cluster, follower);
    // They lie in the sockets of the leader, which reads them now.
    assert_absent(&cluster, leader, &writes);
    cluster.launch(other);
    cluster.leader();
    cluster.assert_equal_digests();
}

#[test]
fn writes_to_a_leader_that_nobody_answers_are_not_done_and_do_not_come_later() {
    let cluster = Cluster::start_with(&[Engine::Embedded; 3], &PATIENCE);
    let leader = cluster.leader();
    let mut connection = connect(&cluster, leader);
    let others = [(leader + 1) % 3, (leader + 2) % 3];
    others.iter().for_each(|other| cluster.signal(*other, Signal::SIGSTOP));
    // At first it cannot know. What it has taken on by then may be done when they wake.
    let mut replies = Vec::new();
    wait_for("the leader to notice that it is alone", || {
        replies.push(told(&ask::<()>(&mut connection, &format!("SET early:{} v", replies.len()))));
        replies.last() == Some(&Told::NotDone)
    });
    println!("{replies:?}");
    let writes = write_all(&cluster, leader, "alone");
    assert_eq!(count(&writes, Told::NotDone), WRITERS, "{writes:?}");
    others.iter().for_each(|other| cluster.signal(*other, Signal::SIGCONT));
    cluster.leader();
    write_through(&cluster, leader);
    cluster.settle();
    assert_absent(&cluster, others[0], &writes);
    cluster.assert_equal_digests();
}

/// Cuts a node off from the others, silently. Clients reach it all the same.
fn cut_off(network: &Network, node: usize) {
    for other in (0..3).filter(|other| *other != node) {
        network.lose(node, other);
        network.lose(other, node);
    }
}

/// Ends a [`cut_off`].
fn mend(network: &Network, node: usize) {
    for other in (0..3).filter(|other| *other != node) {
        network.mend(node, other);
        network.mend(other, node);
    }
}

/// The bytes that a namespace's kernel has yet to deliver over TCP, of processes and of connections that were closed.
fn undelivered(network: &Network, node: usize) -> u64 {
    let name = network.name(node);
    let output = Command::new("ip").args(["netns", "exec", &name, "cat", "/proc/net/tcp"]).output().unwrap();
    let table = String::from_utf8(output.stdout).unwrap();
    let field = |line: &str, number: usize| line.split_whitespace().nth(number).map(str::to_owned);
    let queue = |line: &str| u64::from_str_radix(field(line, 4)?.split(':').next()?, 16).ok();
    // A listener's number is that of its backlog.
    let connections = table.lines().skip(1).filter(|line| field(line, 3).as_deref() != Some("0A"));
    connections.filter_map(queue).sum()
}

#[test]
fn writes_that_a_link_delivers_after_it_has_healed_are_not_done() {
    let Some((cluster, network)) = in_namespaces(&PATIENCE) else { return };
    let leader = cluster.leader();
    let follower = (leader + 1) % 3;
    write_through(&cluster, follower);
    cut_off(&network, follower);
    let writes = write_all(&cluster, follower, "cut");
    let (unknown, not_done) = (count(&writes, Told::Unknown), count(&writes, Told::NotDone));
    println!("{unknown} unknown, {not_done} not done; {} bytes undelivered", undelivered(&network, follower));
    assert!(unknown > 0 && not_done > 0 && unknown + not_done == WRITERS, "{writes:?}");
    assert!(undelivered(&network, follower) > 0, "nothing that could arrive late");
    mend(&network, follower);
    wait_for("what was sent to arrive", || undelivered(&network, follower) == 0);
    cluster.leader();
    write_through(&cluster, follower);
    assert_absent(&cluster, leader, &writes);
    cluster.assert_equal_digests();
}
