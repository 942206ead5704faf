//! What the log says, and that nothing of it is lost, nor in it that must not be.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use nix::sys::signal::Signal;
use redis::Connection;
use serde_json::Value;
use tests::ask::wait_for;
use tests::cluster::{Cluster, SECRET};
use tests::engine::Engine::Embedded;
use tests::history::Writers;

/// The events in a log of JSON lines. Every line is one.
fn lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}")))
        .collect()
}

/// The Raft events of a node.
fn events(cluster: &Cluster, index: usize) -> Vec<Value> {
    lines(&cluster.log(index)).into_iter().filter(|line| line["target"] == "raft::events").collect()
}

fn has(events: &[Value], event: &str, is: impl Fn(&Value) -> bool) -> bool {
    events.iter().any(|line| line["event"] == event && is(line))
}

fn config_set(connection: &mut Connection, name: &str, value: &str) {
    let () = redis::cmd("CONFIG").arg("SET").arg(name).arg(value).query(connection).unwrap();
}

/// The text of a log with everything that was put aside of it, the oldest first.
fn whole(path: &Path) -> String {
    let mut files: Vec<String> = vec![fs::read_to_string(path).unwrap()];
    for number in 1.. {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{number}"));
        let Ok(text) = fs::read_to_string(Path::new(&name)) else { break };
        files.push(text);
    }
    files.reverse();
    files.concat()
}

#[test]
fn a_failover_leaves_its_events_as_one_line_each() {
    let mut cluster = Cluster::start_with(&[Embedded; 3], &[("log.format", "json")]);
    let first = cluster.leader();
    let term = cluster.status(first).unwrap().term;
    cluster.kill(first);
    let second = cluster.leader();
    let (id, new_term) = (second as u64 + 1, cluster.status(second).unwrap().term);
    let here = |line: &Value| line["term"].as_u64() == Some(new_term);
    wait_for("the election is not told", || {
        let events = events(&cluster, second);
        has(&events, "election_started", here)
            && has(&events, "election_won", here)
            && has(&events, "leader_changed", |line| here(line) && line["leader"].as_u64() == Some(id))
    });
    let third = (0..3).find(|index| *index != first && *index != second).unwrap();
    wait_for("the vote is not told", || {
        let events = events(&cluster, third);
        let voted = |line: &Value| here(line) && line["candidate"].as_u64() == Some(id);
        has(&events, "vote_granted", voted) && has(&events, "leader_changed", here)
    });
    cluster.launch(first);
    cluster.leader();
    wait_for("the one that came back does not tell its leader", || {
        has(&events(&cluster, first), "leader_changed", |line| line["term"].as_u64() >= Some(new_term))
    });
    assert!(has(&events(&cluster, first), "election_won", |line| line["term"].as_u64() == Some(term)));
    for index in 0..3 {
        for line in events(&cluster, index) {
            assert_eq!(line["node"].as_u64(), Some(index as u64 + 1), "{line}");
            for field in ["term", "index"] {
                assert!(line[field].is_u64(), "{field} in {line}");
            }
            for field in ["timestamp", "level", "message"] {
                assert!(line[field].is_string(), "{field} in {line}");
            }
        }
    }
}

#[test]
fn snapshots_purges_and_followers_that_lag_are_told() {
    let settings = [
        ("log.format", "json"),
        ("log.lagging_entries", "100"),
        ("raft.snapshot_log_bytes", "1MiB"),
        ("raft.keep_entries", "10"),
    ];
    let mut cluster = Cluster::start_with(&[Embedded; 3], &settings);
    let leader = cluster.leader();
    let away = (leader + 1) % 3;
    let id = away as u64 + 1;
    let follower = |line: &Value| line["follower"].as_u64() == Some(id);
    let to = |line: &Value| line["to"].as_u64() == Some(id);
    cluster.kill(away);
    let mut connection = cluster.connect(leader);
    for number in 0..1500 {
        let () = redis::cmd("SET").arg(number).arg(vec![b'x'; 4096]).query(&mut connection).unwrap();
    }
    wait_for("the snapshot is not told", || {
        let events = events(&cluster, leader);
        has(&events, "snapshot_begun", |_| true)
            && has(&events, "snapshot_made", |line| line["bytes"].as_u64() > Some(0))
            && has(&events, "log_purged", |line| line["index"].as_u64() > Some(100))
            && has(&events, "follower_lagging", |line| follower(line) && line["lag"].as_u64() >= Some(100))
    });
    cluster.launch(away);
    wait_for("the snapshot's way is not told", || {
        let (sender, receiver) = (events(&cluster, leader), events(&cluster, away));
        has(&sender, "snapshot_sending", to)
            && has(&sender, "snapshot_sent", to)
            && has(&sender, "follower_caught_up", follower)
            && has(&receiver, "snapshot_received", |line| line["bytes"].as_u64() > Some(0))
            && has(&receiver, "snapshot_installed", |line| line["index"].as_u64() > Some(100))
    });
}

#[test]
fn levels_change_by_target_while_the_node_runs() {
    let cluster = Cluster::start_with(&[Embedded], &[("log.format", "json")]);
    let mut connection = cluster.connect(0);
    let told = |cluster: &Cluster| lines(&cluster.log(0)).len();
    config_set(&mut connection, "log.level", "warn");
    sleep(Duration::from_millis(200));
    let before = told(&cluster);
    config_set(&mut connection, "raft.keep_entries", "7");
    config_set(&mut connection, "log.level", "off,raft_proxy=info");
    config_set(&mut connection, "raft.keep_entries", "8");
    wait_for("the lower level does not hold", || cluster.log(0).contains("raft.keep_entries = 8"));
    assert!(!cluster.log(0).contains("raft.keep_entries = 7"), "{}", cluster.log(0));
    assert_eq!(told(&cluster), before + 2);
    let bad = redis::cmd("CONFIG").arg("SET").arg("log.level").arg("loud").query::<()>(&mut connection);
    let error = bad.unwrap_err().to_string();
    assert!(error.contains("must be error, warn, info or off"), "{error}");
}

#[test]
fn rotation_under_load_loses_no_line_and_the_last_ones_are_there() {
    let mut cluster = Cluster::prepare(&[Embedded], &[]);
    let path = cluster.dir().join("rotated.log");
    for (name, value) in [
        ("log.file", path.to_str().unwrap()),
        ("log.format", "json"),
        ("log.max_file_bytes", "8KiB"),
        ("log.max_files", "1000"),
    ] {
        cluster.nodes[0].set(name, value);
    }
    cluster.launch_all();
    let mut connection = cluster.connect(0);
    let mut pipeline = redis::pipe();
    for number in 0..5000 {
        pipeline.cmd("CONFIG").arg("SET").arg("raft.keep_entries").arg(number).ignore();
    }
    let () = pipeline.query(&mut connection).unwrap();
    cluster.stop(0);
    let lines = lines(&whole(&path));
    let changed: Vec<&str> = lines
        .iter()
        .filter(|line| line["message"] == "the configuration was changed")
        .map(|line| line["options"].as_str().unwrap())
        .collect();
    let wanted: Vec<String> = (0..5000).map(|number| format!("raft.keep_entries = {number}")).collect();
    assert_eq!(changed, wanted);
    assert_eq!(lines.last().unwrap()["message"], "stopped");
    let aside = fs::read_dir(cluster.dir())
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("rotated.log."));
    let sizes: Vec<u64> = aside.map(|entry| entry.unwrap().metadata().unwrap().len()).collect();
    assert!(sizes.len() > 20 && sizes.iter().all(|bytes| *bytes <= 8192), "{sizes:?}");
}

#[test]
fn the_bound_on_files_holds_and_can_be_changed() {
    let mut cluster = Cluster::prepare(&[Embedded], &[]);
    let path = cluster.dir().join("log");
    cluster.nodes[0].set("log.file", path.to_str().unwrap());
    cluster.launch_all();
    let mut connection = cluster.connect(0);
    config_set(&mut connection, "log.max_files", "3");
    config_set(&mut connection, "log.max_file_bytes", "4KiB");
    let mut pipeline = redis::pipe();
    for number in 0..500 {
        pipeline.cmd("CONFIG").arg("SET").arg("raft.keep_entries").arg(number).ignore();
    }
    let () = pipeline.query(&mut connection).unwrap();
    cluster.stop(0);
    let mut names: Vec<String> = fs::read_dir(cluster.dir())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with("log"))
        .collect();
    names.sort();
    assert_eq!(names, ["log", "log.1", "log.2"]);
}

#[test]
fn a_log_that_was_moved_away_goes_on_under_its_name_when_asked() {
    let mut cluster = Cluster::prepare(&[Embedded], &[]);
    let path = cluster.dir().join("node.log");
    cluster.nodes[0].set("log.file", path.to_str().unwrap());
    cluster.launch_all();
    let mut connection = cluster.connect(0);
    for (signal, number) in [(Signal::SIGUSR1, 1), (Signal::SIGHUP, 2)] {
        let moved = cluster.dir().join(format!("moved.{number}"));
        fs::rename(&path, &moved).unwrap();
        config_set(&mut connection, "raft.keep_entries", &format!("{number}00"));
        wait_for("what is logged before the signal is lost", || {
            fs::read_to_string(&moved).unwrap().contains(&format!("raft.keep_entries = {number}00"))
        });
        cluster.signal(0, signal);
        wait_for("there is no new file", || path.exists());
        config_set(&mut connection, "raft.keep_entries", &format!("{number}01"));
        wait_for("what is logged after the signal is lost", || {
            fs::read_to_string(&path).unwrap().contains(&format!("raft.keep_entries = {number}01"))
        });
    }
}

#[test]
fn no_log_has_a_secret_in_it() {
    let (password, other, storage) = ("hunter2-of-clients", "hunter3-of-clients", "hunter4-of-storage");
    let settings = [("storage.password", storage), ("limits.max_bulk_bytes", "2KiB")];
    let mut cluster = Cluster::start_with(&[Embedded; 3], &settings);
    let leader = cluster.leader();
    let mut connection = cluster.connect(leader);
    let writers = Writers::start(4, cluster.ports());
    writers.wait_for(50);
    config_set(&mut connection, "requirepass", password);
    let wrong = redis::cmd("AUTH").arg(other).query::<()>(&mut connection);
    assert!(wrong.is_err());
    let () = redis::cmd("AUTH").arg(password).query(&mut connection).unwrap();
    config_set(&mut connection, "listen.password", other);
    let shown: Vec<(String, String)> =
        redis::cmd("CONFIG").arg("GET").arg("*").query(&mut connection).unwrap();
    let with: Vec<&str> = shown
        .iter()
        .filter(|(_, value)| [SECRET, password, other, storage].iter().any(|secret| value.contains(secret)))
        .map(|(name, _)| name.as_str())
        .collect();
    assert!(with.is_empty(), "{with:?}");
    config_set(&mut connection, "requirepass", "");
    // Somebody who does not know the secret of the cluster.
    let mut stranger = cluster.command((leader + 1) % 3);
    stranger.env("RAFT_PROXY_CLUSTER_SECRET", "short");
    let refused = stranger.output().unwrap();
    assert!(!String::from_utf8_lossy(&refused.stderr).contains("short"));
    cluster.signal(leader, Signal::SIGHUP);
    cluster.kill(leader);
    writers.wait_for(50);
    cluster.launch(leader);
    cluster.leader();
    drop(writers.finish());
    for index in 0..3 {
        cluster.stop(index);
        let log = cluster.log(index);
        assert!(log.lines().count() > 5, "{log}");
        for secret in [SECRET, password, other, storage] {
            assert!(!log.contains(secret), "{secret} in {log}");
        }
    }
}
