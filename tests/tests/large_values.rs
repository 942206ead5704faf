//! Large values and commands of many arguments: they succeed, nobody stands for election because of them, and others
//! write meanwhile.
//!
//! The ordinary tests are small; `make proof` runs those of the largest sizes.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use redis::Connection;
use tests::ask::{ask, wait_for};
use tests::cluster::Cluster;
use tests::engine::{self, Engine};

const MIB: usize = 1 << 20;
/// How long the largest may take.
const PATIENCE: Duration = Duration::from_secs(300);
/// What a small write of another client may take meanwhile.
const MOST: Duration = Duration::from_millis(1500);

/// Bytes of which no two pieces are alike.
fn bytes(length: usize, seed: u64) -> Vec<u8> {
    let words = (0..length.div_ceil(8) as u64).map(|n| (n ^ seed << 40).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut bytes: Vec<u8> = words.flat_map(u64::to_le_bytes).collect();
    bytes.truncate(length);
    bytes
}

fn connect(cluster: &Cluster, index: usize) -> Connection {
    let connection = cluster.connect(index);
    connection.set_read_timeout(Some(PATIENCE)).unwrap();
    connection.set_write_timeout(Some(PATIENCE)).unwrap();
    connection
}

fn term(cluster: &Cluster) -> u64 {
    cluster.status(cluster.leader()).unwrap().term
}

fn set(connection: &mut Connection, key: &str, value: &[u8]) -> redis::RedisResult<()> {
    redis::cmd("SET").arg(key).arg(value).query(connection)
}

/// Runs something while another client writes one small key after the other to the leader; the longest that one took.
fn beside_a_writer<T>(cluster: &Cluster, work: impl FnOnce() -> T) -> (Duration, T) {
    let stop = AtomicBool::new(false);
    let mut connection = connect(cluster, cluster.leader());
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut most = Duration::ZERO;
            while !stop.load(Ordering::Relaxed) {
                let began = Instant::now();
                set(&mut connection, "small", b"value").unwrap();
                most = most.max(began.elapsed());
                sleep(Duration::from_millis(5));
            }
            most
        });
        let result = work();
        stop.store(true, Ordering::Relaxed);
        (writer.join().unwrap(), result)
    })
}

#[test]
fn a_value_of_64_mib_costs_no_election_and_others_write_meanwhile() {
    engine::on_each(|engine| {
        let cluster = Cluster::start(&[engine; 3]);
        cluster.wait_for_newest_version();
        let (leader, value) = (cluster.leader(), bytes(64 * MIB, 1));
        let before = term(&cluster);
        for (name, index) in [("through the leader", leader), ("through a follower", (leader + 1) % 3)] {
            let mut connection = connect(&cluster, index);
            let (most, ()) = beside_a_writer(&cluster, || set(&mut connection, name, &value).unwrap());
            assert!(most < MOST, "{name}: a small write took {most:?}");
            for reader in 0..3 {
                let mut reader = connect(&cluster, reader);
                let found: Vec<u8> = redis::cmd("GET").arg(name).query(&mut reader).unwrap();
                assert!(found == value, "{name}: another value of {} bytes", found.len());
            }
        }
        assert_eq!(term(&cluster), before);
        cluster.settle();
        cluster.assert_equal_digests();
    });
}

#[test]
fn commands_of_two_hundred_thousand_arguments_cost_no_election() {
    let cluster = Cluster::start(&[Engine::Embedded; 3]);
    cluster.wait_for_newest_version();
    let before = term(&cluster);
    let mut connection = connect(&cluster, cluster.leader());
    many_arguments(&mut connection, 100_000);
    assert_eq!(term(&cluster), before);
    cluster.assert_equal_digests();
}

fn many_arguments(connection: &mut Connection, count: u64) {
    let mut command = redis::cmd("HSET");
    command.arg("hash");
    for n in 0..count {
        command.arg(format!("field:{n}")).arg(n);
    }
    assert_eq!(command.query::<u64>(connection).unwrap(), count);
    let mut command = redis::cmd("ZADD");
    command.arg("sorted");
    for n in 0..count {
        command.arg(n).arg(format!("member:{n}"));
    }
    assert_eq!(command.query::<u64>(connection).unwrap(), count);
    assert_eq!(ask::<u64>(connection, "DEL hash sorted").unwrap(), 2);
}

/// Waits until some pieces of a large value are in the log.
fn wait_for_pieces(cluster: &Cluster, index: usize, before: u64) {
    wait_for("some pieces are in the log", || {
        cluster.status(index).is_some_and(|status| status.last_log >= before + 8)
    });
}

#[test]
fn a_large_value_is_whole_or_not_there_when_nodes_are_killed_while_it_is_written() {
    let mut cluster = Cluster::start(&[Engine::Embedded; 3]);
    cluster.wait_for_newest_version();
    let value = bytes(48 * MIB, 2);
    // A follower that has some of the pieces is killed, and started again before the last.
    let follower = (cluster.leader() + 1) % 3;
    let mut connection = connect(&cluster, cluster.leader());
    let before = cluster.status(follower).unwrap().last_log;
    thread::scope(|scope| {
        let setting = scope.spawn(|| set(&mut connection, "first", &value));
        wait_for_pieces(&cluster, follower, before);
        cluster.kill(follower);
        cluster.launch(follower);
        setting.join().unwrap().unwrap();
    });
    cluster.leader();
    cluster.settle();
    cluster.assert_equal_digests();
    let found: Vec<u8> = redis::cmd("GET").arg("first").query(&mut connect(&cluster, follower)).unwrap();
    assert!(found == value);
    // The leader is killed; who wrote through another node is told what became of it.
    let (leader, through) = (cluster.leader(), (cluster.leader() + 1) % 3);
    let mut connection = connect(&cluster, through);
    let before = cluster.status(leader).unwrap().last_log;
    let outcome = thread::scope(|scope| {
        let setting = scope.spawn(|| set(&mut connection, "second", &value));
        wait_for_pieces(&cluster, leader, before);
        cluster.kill(leader);
        setting.join().unwrap()
    });
    cluster.launch(leader);
    cluster.leader();
    cluster.settle();
    cluster.assert_equal_digests();
    let found: Option<Vec<u8>> =
        redis::cmd("GET").arg("second").query(&mut connect(&cluster, through)).unwrap();
    match (outcome, found) {
        (Ok(()), found) => assert!(found.is_some_and(|found| found == value), "acknowledged and gone"),
        (Err(_), None) => {}
        (Err(_), Some(found)) => assert!(found == value, "a part of {} bytes", found.len()),
    }
    // What was begun is in nobody's way.
    let mut connection = connect(&cluster, through);
    set(&mut connection, "third", &value).unwrap();
    cluster.assert_equal_digests();
}

/// A line of `/proc/<pid>/status` in MiB.
fn memory(pid: u32, what: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(what)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

#[test]
#[ignore = "takes gigabytes and a minute: `make proof` runs it"]
fn a_value_of_500_mb_takes_less_than_four_times_its_size() {
    let cluster = Cluster::start(&[Engine::Embedded; 3]);
    cluster.wait_for_newest_version();
    let before = term(&cluster);
    let leader = cluster.leader();
    for (name, index) in [("through the leader", leader), ("through a follower", (leader + 1) % 3)] {
        let value = bytes(500 * 1000 * 1000, 3);
        let mut connection = connect(&cluster, index);
        (0..3).for_each(|node| fs::write(format!("/proc/{}/clear_refs", cluster.pid(node)), "5").unwrap());
        let began = Instant::now();
        let (most, ()) = beside_a_writer(&cluster, || set(&mut connection, name, &value).unwrap());
        let peaks: Vec<u64> = (0..3).map(|node| memory(cluster.pid(node), "VmHWM")).collect();
        println!("{name}: {:?}, a small write took {most:?} at most, peaks {peaks:?} MiB", began.elapsed());
        assert!(peaks.iter().all(|peak| *peak < 4 * 477), "{peaks:?} MiB");
        assert!(most < MOST, "a small write took {most:?}");
        let length: usize = redis::cmd("STRLEN").arg(name).query(&mut connection).unwrap();
        assert_eq!(length, value.len());
    }
    assert_eq!(term(&cluster), before);
}

#[test]
#[ignore = "takes gigabytes and a minute: `make proof` runs it"]
fn every_size_up_to_the_largest_and_a_million_arguments_succeed_in_one_term() {
    let cluster = Cluster::start(&[Engine::Embedded; 3]);
    cluster.wait_for_newest_version();
    let before = term(&cluster);
    let mut connection = connect(&cluster, cluster.leader());
    for size in [1, 3, 16, 64, 128, 256, 512] {
        let began = Instant::now();
        set(&mut connection, "value", &bytes(size * MIB, 4)).unwrap();
        println!("SET of {size} MiB: {:?}", began.elapsed());
        assert_eq!(term(&cluster), before, "{size} MiB");
    }
    for line in ["COPY value copy", "BITOP NOT inverse value"] {
        let began = Instant::now();
        let _: u64 = ask(&mut connection, line).unwrap_or_else(|error| panic!("{line}: {error}"));
        println!("{line}: {:?}", began.elapsed());
        assert_eq!(term(&cluster), before, "{line}");
    }
    let began = Instant::now();
    many_arguments(&mut connection, 500_000);
    println!("HSET and ZADD of a million arguments: {:?}", began.elapsed());
    assert_eq!(term(&cluster), before);
}
