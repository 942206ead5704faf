//! Pipelines that mix reads and writes on three real nodes: what they answer, and what they cost.

use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tests::ask::ask;
use tests::cluster::Cluster;
use tests::differential::resp::Frame;
use tests::engine::{self, Engine};
use tests::http;
use tests::raw::{Client, encode};

/// Pairs of a `SET` and a `GET` in a pipeline.
const PAIRS: u64 = 16;

/// Sends commands of words at once, and waits for all replies.
fn pipeline(client: &mut Client, lines: &[String]) -> Vec<Frame> {
    let encoded = |line: &String| encode(&line.split(' ').map(str::as_bytes).collect::<Vec<_>>());
    let requests: Vec<u8> = lines.iter().flat_map(encoded).collect();
    client.stream.write_all(&requests).unwrap();
    lines.iter().map(|_| client.receive()).collect()
}

fn in_turn(key: &str) -> Vec<String> {
    (0..PAIRS).flat_map(|n| [format!("SET {key} {n}"), format!("GET {key}")]).collect()
}

fn check_in_turn(replies: &[Frame], whose: &str) {
    for (n, pair) in replies.chunks(2).enumerate() {
        assert_eq!(format!("{pair:?}"), format!("[+OK, \"{n}\"]"), "{whose}, pair {n}");
    }
}

#[test]
fn a_read_in_a_pipeline_sees_exactly_the_writes_before_it_on_every_node() {
    engine::on_each(|engine| {
        let cluster = Cluster::start(&[engine; 3]);
        for index in 0..3 {
            let mut client = Client::connect(cluster.nodes[index].port);
            let large = "x".repeat(100_000);
            let asked = [
                ("DEL k h l s", None),
                ("GET k", Some("null")),
                ("SET k 1", Some("+OK")),
                ("GET k", Some("\"1\"")),
                ("INCR k", Some(":2")),
                ("GET k", Some("\"2\"")),
                ("STRLEN k", Some(":1")),
                ("HSET h a 1 b 2", Some(":2")),
                ("HGET h b", Some("\"2\"")),
                ("HMGET h a c", Some("[\"1\", null]")),
                ("GET h", Some("-WRONGTYPE Operation against a key holding the wrong kind of value")),
                ("RPUSH l x y", Some(":2")),
                ("LRANGE l 0 -1", Some("[\"x\", \"y\"]")),
                ("LPOP l", Some("\"x\"")),
                ("LLEN l", Some(":1")),
                ("GET", Some("-ERR wrong number of arguments for 'get' command")),
                ("EXISTS k h l s", Some(":3")),
                ("INCR h", Some("-WRONGTYPE Operation against a key holding the wrong kind of value")),
                ("RAFT.READ lease GET k", Some("\"2\"")),
                ("SETRANGE s 20000 x", Some(":20001")),
                ("STRLEN s", Some(":20001")),
                ("GETRANGE s 19999 -1", Some("\"\\x00x\"")),
                ("RENAME k s", Some("+OK")),
                ("MGET k s", Some("[null, \"2\"]")),
                ("DEL s", Some(":1")),
                ("RAFT.READ session EXISTS s", Some(":0")),
                (&*format!("SET k {large}"), Some("+OK")),
                ("SET s 1", Some("+OK")),
                ("GET k", Some(&*format!("\"{large}\""))),
                ("SET k 2", Some("+OK")),
                ("GET k", Some("\"2\"")),
            ]
            .map(|(line, reply)| (line.to_owned(), reply.map(str::to_owned)));
            let (lines, expected): (Vec<String>, Vec<_>) = asked.into_iter().unzip();
            let replies = pipeline(&mut client, &lines);
            for ((line, expected), reply) in lines.iter().zip(expected).zip(replies) {
                let line = &line[..line.len().min(40)];
                assert!(
                    expected.is_none_or(|expected| expected == format!("{reply:?}")),
                    "node {}: {line}",
                    index + 1
                );
            }
        }
        cluster.assert_equal_digests();
    });
}

/// How often it is measured what a pipeline costs.
const TRIES: usize = 3;

/// The last index of the log, and the rounds in which the leader had itself confirmed.
fn spent(cluster: &Cluster, leader: usize) -> (u64, u64) {
    let text = http::get(cluster.http(leader), "/metrics").body;
    let metric = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{name}"));
        line.trim().parse::<f64>().unwrap() as u64
    };
    (metric("raft_proxy_log_last_index "), metric("raft_proxy_read_index_rounds_total "))
}

#[test]
fn set_and_get_in_turn_cost_one_log_entry_and_no_round() {
    engine::on_each(|engine| {
        let mut cluster = Cluster::prepare(&[engine; 3], &[]).with_http();
        cluster.launch_all();
        cluster.wait_for_newest_version();
        let leader = cluster.leader();
        // Where a read may wait for a Kiwi, each stands behind an entry; without a round there too.
        let in_log = if engine.is_kiwi() { PAIRS } else { 1 };
        for index in [leader, (leader + 1) % 3] {
            let mut client = Client::connect(cluster.nodes[index].port);
            for (level, entries) in [("linearizable", in_log), ("lease", in_log), ("session", PAIRS)] {
                assert_eq!(client.ask(&format!("RAFT.CONSISTENCY {level}")), "+OK");
                // The one before has ended by then.
                assert!(!client.ask("GET k").starts_with('-'));
                // Entries of the cluster's own (the addresses of its members) may come between: the least counts.
                let least = (0..TRIES).map(|_| {
                    let before = spent(&cluster, leader);
                    let replies = pipeline(&mut client, &in_turn("k"));
                    let after = spent(&cluster, leader);
                    check_in_turn(&replies, level);
                    (after.0 - before.0, after.1 - before.1)
                });
                let least = least.min().unwrap();
                assert_eq!(least, (entries, 0), "{level}, node {} (leader {})", index + 1, leader + 1);
            }
        }
    });
}

/// Writers of one key: what each of them has been told to be done.
#[derive(Default)]
struct Told([AtomicU64; 3]);

#[test]
fn what_a_pipeline_reads_behind_its_write_is_its_own_or_newer() {
    engine::on_each(own_or_newer);
}

fn own_or_newer(engine: Engine) {
    let cluster = Cluster::start(&[engine; 3]);
    let told = Told::default();
    let deadline = Instant::now() + Duration::from_secs(4);
    thread::scope(|scope| {
        for writer in 0..3 {
            let (told, port) = (&told, cluster.nodes[writer].port);
            scope.spawn(move || {
                let mut client = Client::connect(port);
                let mut number = 0;
                while Instant::now() < deadline {
                    // What others were told before this is sent stands before all of it.
                    let others = told.0.each_ref().map(|told| told.load(Ordering::SeqCst));
                    let first = number + 1;
                    number += PAIRS;
                    let set = |n| format!("SET k {writer}:{n}");
                    let lines: Vec<String> =
                        (first..=number).flat_map(|n| [set(n), "GET k".to_owned()]).collect();
                    let replies = pipeline(&mut client, &lines);
                    for (own, pair) in (first..).zip(replies.chunks(2)) {
                        let [Frame::Status(_), Frame::Bulk(value)] = pair else { panic!("{pair:?}") };
                        let (by, n) = std::str::from_utf8(value).unwrap().split_once(':').unwrap();
                        let (by, n): (usize, u64) = (by.parse().unwrap(), n.parse().unwrap());
                        let is_right = if by == writer { n == own } else { n > others[by] };
                        assert!(is_right, "{by}:{n} behind {writer}:{own}, others were told {others:?}");
                    }
                    told.0[writer].store(number, Ordering::SeqCst);
                }
            });
        }
        // Commands go on while another node leads.
        for _ in 0..3 {
            thread::sleep(Duration::from_secs(1));
            let leader = cluster.leader();
            let _: redis::RedisResult<redis::Value> =
                ask(&mut cluster.connect(leader), &format!("RAFT.TRANSFER_LEADER {}", (leader + 1) % 3 + 1));
        }
    });
    let done: Vec<u64> = told.0.iter().map(|told| told.load(Ordering::SeqCst)).collect();
    assert!(done.iter().all(|done| *done > 0), "{done:?}");
    cluster.settle();
    cluster.assert_equal_digests();
}
