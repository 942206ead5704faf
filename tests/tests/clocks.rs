//! Wall clocks that are set wrong, and right again, while a cluster runs: what expires, and when.
//!
//! Each node's process has a wall clock of its own that the test moves ([`ClockShim`]). The test's own clock is right.

use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use redis::Connection;
use tests::ask::{self, ask, wait_for};
use tests::clock_shim::{ClockShim, WallClock};
use tests::cluster::{Cluster, binary};
use tests::engine::Engine;
use tests::{http, ports};

const HOUR: i64 = 3_600_000;
/// A lock is held for so long at least; it may be a little longer by the time that the test takes to look, and by half
/// a percent.
const LATE: Duration = Duration::from_millis(1200);

fn three() -> (Cluster, Vec<WallClock>) {
    let settings = [("raft.health_interval", "200ms")];
    let mut cluster = Cluster::prepare(&[Engine::Embedded; 3], &settings).with_http();
    let clocks = ClockShim::give_all(&mut cluster);
    cluster.launch_all();
    wait_for("every node knows all clocks", || {
        (0..3).all(|index| (0..3).all(|of| skew_ms(&cluster, index, of).is_some()))
    });
    (cluster, clocks)
}

/// How far a node says that a member's clock is ahead.
fn skew_ms(cluster: &Cluster, index: usize, of: usize) -> Option<i64> {
    let answer = http::try_get(cluster.http(index), "/cluster/health").ok()?.json();
    answer["members"].as_array()?.get(of)?["clock_skew_ms"].as_i64()
}

fn do_ok(connection: &mut Connection, line: &str) {
    let answer: String = ask(connection, line).unwrap_or_else(|error| panic!("{line}: {error}"));
    assert_eq!(answer, "OK", "{line}");
}

fn is_there(connection: &mut Connection, key: &str) -> bool {
    ask::<i64>(connection, &format!("EXISTS {key}")).unwrap() == 1
}

/// Takes a lock and checks that it is held for so long and not much longer.
fn a_lock_lasts(connection: &mut Connection, key: &str, time: Duration) {
    let taken = Instant::now();
    do_ok(connection, &format!("SET {key} owner NX PX {}", time.as_millis()));
    let asked = taken + time - Duration::from_millis(200);
    sleep(asked.saturating_duration_since(Instant::now()));
    let held = is_there(connection, key);
    // A machine that was too busy to ask in time has shown nothing.
    assert!(held || taken.elapsed() >= time, "{key} was lost early");
    while is_there(connection, key) {
        assert!(taken.elapsed() < time + LATE, "{key} is held for {:?}", taken.elapsed());
        sleep(Duration::from_millis(20));
    }
}

fn unix_now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}

#[test]
fn a_leaders_clock_that_was_an_hour_ahead_for_a_moment_expires_nothing_early_and_nothing_late() {
    let (cluster, clocks) = three();
    let leader = cluster.leader();
    let mut connection = cluster.connect(leader);
    do_ok(&mut connection, "SET held owner EX 600");
    clocks[leader].set_ahead(HOUR);
    for n in 0..200 {
        do_ok(&mut connection, &format!("SET key:{n} value EX 600"));
    }
    a_lock_lasts(&mut connection, "during", Duration::from_secs(1));
    assert!(is_there(&mut connection, "held"));
    // Reads that ask nobody go by the same time, on the node whose clock is wrong too.
    for index in 0..3 {
        let mut reader = cluster.connect(index);
        wait_for("the node has applied it", || {
            ask::<Option<String>>(&mut reader, "RAFT.READ eventual GET held").unwrap().is_some()
        });
        let left: i64 = ask(&mut reader, "RAFT.READ eventual TTL key:199").unwrap();
        assert!((590..=600).contains(&left), "node {index}: {left}");
    }
    clocks[leader].set_ahead(0);
    a_lock_lasts(&mut connection, "after", Duration::from_secs(1));
    let at = unix_now() + Duration::from_millis(1500);
    do_ok(&mut connection, &format!("SET at value PXAT {}", at.as_millis()));
    sleep(Duration::from_millis(1000));
    assert!(is_there(&mut connection, "at") || unix_now() > at);
    wait_for("a deadline by the wall clock passes", || !is_there(&mut connection, "at"));
    assert!(unix_now() < at + LATE);
    assert_eq!(cluster.leader(), leader);
}

#[test]
fn a_new_leader_whose_clock_is_an_hour_wrong_goes_on_where_the_old_one_was() {
    for ahead in [-HOUR, HOUR] {
        let (cluster, clocks) = three();
        let (old, new) = (cluster.leader(), (cluster.leader() + 1) % 3);
        let mut connection = cluster.connect(old);
        do_ok(&mut connection, "SET held owner EX 600");
        clocks[new].set_ahead(ahead);
        let taken = Instant::now();
        do_ok(&mut connection, "SET lock owner PX 2500");
        do_ok(&mut connection, &format!("RAFT.TRANSFER_LEADER {}", new + 1));
        assert_eq!(cluster.leader(), new);
        let mut connection = cluster.connect(new);
        a_lock_lasts(&mut connection, "another", Duration::from_secs(1));
        assert!(is_there(&mut connection, "held"), "ahead by {ahead} ms");
        assert!(is_there(&mut connection, "lock") || taken.elapsed() > Duration::from_millis(2500));
        wait_for("the lock of before ends", || !is_there(&mut connection, "lock"));
        let lasted = taken.elapsed();
        assert!(lasted < Duration::from_millis(2500) + LATE, "ahead by {ahead} ms: {lasted:?}");
    }
}

#[test]
fn a_cluster_that_starts_with_one_clock_wrong_keeps_the_time_of_the_others_and_says_whose_is_wrong() {
    let (mut cluster, clocks) = three();
    let mut connection = cluster.connect(cluster.leader());
    do_ok(&mut connection, "SET held owner EX 600");
    for index in 0..3 {
        cluster.stop(index);
    }
    clocks[1].set_ahead(HOUR);
    cluster.launch_all();
    wait_for("every node says whose clock is wrong", || {
        (0..3).all(|index| skew_ms(&cluster, index, 1).is_some_and(|skew| (skew - HOUR).abs() < 1000))
    });
    do_ok(&mut cluster.connect(cluster.leader()), &format!("RAFT.TRANSFER_LEADER {}", 2));
    let mut connection = cluster.connect(1);
    a_lock_lasts(&mut connection, "lock", Duration::from_secs(1));
    assert!(is_there(&mut connection, "held"));
    let info: String = ask(&mut connection, "INFO raft").unwrap();
    let said = |name: &str| -> i64 {
        let line = info.lines().find_map(|line| line.strip_prefix(&format!("{name}:")));
        line.unwrap_or_else(|| panic!("{name}: {info}")).parse().unwrap()
    };
    assert!((said("raft_clock_skew_ms") - HOUR).abs() < 1000, "{info}");
    assert!(said("raft_log_time_skew_ms").abs() < 1000, "{info}");
    let metrics = http::get(cluster.http(0), "/metrics").body;
    let line = metrics.lines().find(|line| line.starts_with("raft_proxy_clock_skew_seconds{member=\"2\"}"));
    let skew: f64 = line.unwrap().rsplit_once(' ').unwrap().1.parse().unwrap();
    assert!((skew - 3600.0).abs() < 1.0, "{skew}");
    wait_for("the log says it", || cluster.log(0).contains("a member's wall clock differs from the others'"));
}

/// A node without a cluster.
struct Alone {
    child: Child,
    port: u16,
}

impl Alone {
    fn start(dir: &std::path::Path, shim: &ClockShim, clock: &WallClock) -> Self {
        let port = ports::free();
        let child = Command::new(binary())
            .args(["serve", "--cluster-enabled", "false", "--node-data-dir"])
            .arg(dir.join("data"))
            .args(["--listen-resp", &format!("127.0.0.1:{port}"), "--until-stdin-closes"])
            .envs(shim.environment(clock))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, port }
    }

    fn connect(&self) -> Connection {
        ask::connect(self.port)
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_lone_nodes_clock_that_jumps_an_hour_ahead_and_back_expires_nothing_early_and_nothing_late() {
    let dir = tempfile::tempdir().unwrap();
    let shim = ClockShim::build(dir.path());
    let clock = shim.clock(dir.path().join("wall-clock"));
    let node = Alone::start(dir.path(), &shim, &clock);
    let mut connection = node.connect();
    do_ok(&mut connection, "SET held owner EX 600");
    for ahead in [HOUR, -HOUR, 0] {
        clock.set_ahead(ahead);
        a_lock_lasts(&mut connection, "lock", Duration::from_secs(1));
        assert!(is_there(&mut connection, "held"), "{ahead} ms ahead");
    }
}
