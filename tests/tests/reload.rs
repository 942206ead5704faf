//! The configuration changes while nodes run: CONFIG SET, SIGHUP, a watched file, CONFIG REWRITE.

use std::fs;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use redis::{Connection, RedisResult};
use tests::ask::wait_for;
use tests::cluster::Cluster;
use tests::engine::Engine::Embedded;

/// Lays out nodes that read a file with this text, besides the flags that make them a cluster.
fn prepare(nodes: usize, text: &str) -> Cluster {
    let mut cluster = Cluster::prepare(&vec![Embedded; nodes], &[]);
    for index in 0..nodes {
        let path = file(&cluster, index);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        cluster.nodes[index].set("config", path.to_str().unwrap());
    }
    cluster
}

fn file(cluster: &Cluster, index: usize) -> PathBuf {
    cluster.nodes[index].dir.join("cluster.conf")
}

fn get(connection: &mut Connection, name: &str) -> String {
    let (_, value): (String, String) = redis::cmd("CONFIG").arg("GET").arg(name).query(connection).unwrap();
    value
}

fn set(connection: &mut Connection, name: &str, value: &str) {
    let () = redis::cmd("CONFIG").arg("SET").arg(name).arg(value).query(connection).unwrap();
}

/// How long a write takes to be refused.
fn refusal(connection: &mut Connection) -> Duration {
    let began = Instant::now();
    let answer: RedisResult<()> = redis::cmd("SET").arg("a").arg(1).query(connection);
    assert!(answer.is_err(), "there is no majority");
    began.elapsed()
}

fn assert_about(took: Duration, wanted: Duration) {
    assert!(
        took >= wanted.mul_f64(0.9) && took <= wanted + Duration::from_millis(900),
        "{took:?}, not {wanted:?}"
    );
}

#[test]
fn a_request_timeout_that_is_changed_shows_in_the_time_of_a_refusal() {
    let mut cluster = prepare(3, "[raft]\nrequest_timeout = \"3s\"\n");
    cluster.launch_all();
    let mut connection = cluster.connect(0);
    cluster.kill(1);
    cluster.kill(2);
    assert_about(refusal(&mut connection), Duration::from_secs(3));

    set(&mut connection, "raft.request_timeout", "300ms");
    assert_about(refusal(&mut connection), Duration::from_millis(300));
    set(&mut connection, "raft.request-timeout", "800");
    assert_about(refusal(&mut connection), Duration::from_millis(800));

    fs::write(file(&cluster, 0), "[raft]\nrequest_timeout = \"1500ms\"\n").unwrap();
    cluster.signal(0, Signal::SIGHUP);
    wait_for("the file is not reloaded", || get(&mut connection, "raft.request_timeout") == "1500ms");
    assert_about(refusal(&mut connection), Duration::from_millis(1500));
}

#[test]
fn a_wrong_file_changes_nothing_and_what_needs_a_restart_is_named() {
    let mut cluster = prepare(1, "[limits]\nmax_clients = 50\n");
    cluster.launch_all();
    let mut connection = cluster.connect(0);
    let path = file(&cluster, 0);

    fs::write(&path, "[limits]\nmax_clients = 70\nmax_args = 1\n").unwrap();
    cluster.signal(0, Signal::SIGHUP);
    wait_for("nothing is said of the wrong file", || {
        cluster.log(0).contains("cluster.conf:3: limits.max_args: must be a whole number from 16")
    });
    assert_eq!(get(&mut connection, "limits.max_clients"), "50");

    let text = "[limits]\nmax_clients = 60\n[storage]\nblock_cache_bytes = \"10MiB\"\n";
    // A flag is stronger than the file, also when it is read again.
    fs::write(&path, format!("{text}[node]\nid = 9\n")).unwrap();
    cluster.signal(0, Signal::SIGHUP);
    wait_for("the file is not reloaded", || get(&mut connection, "limits.max_clients") == "60");
    let log = cluster.log(0);
    assert!(log.contains("limits.max_clients: 50 -> 60"), "{log}");
    let restart: Vec<&str> = log.lines().filter(|line| line.contains("need a restart")).collect();
    assert_eq!(restart.len(), 1, "{log}");
    assert!(restart[0].contains("storage.block_cache_bytes"), "{log}");
    assert!(!restart[0].contains("node.id"), "{log}");
    assert_eq!(get(&mut connection, "storage.block_cache_bytes"), "256MiB");

    fs::remove_file(&path).unwrap();
    cluster.signal(0, Signal::SIGHUP);
    wait_for("nothing is said of the missing file", || cluster.log(0).contains("No such file"));
    let () = redis::cmd("SET").arg("a").arg(1).query(&mut connection).unwrap();
}

#[test]
fn what_was_set_is_undone_by_a_reload_unless_it_was_rewritten() {
    let before =
        "# The bounds of this node.\n[limits]\n# few\nmax_clients = 50 # really\n\n[log]\nlevel = \"warn\"\n";
    let mut cluster = prepare(1, before);
    cluster.launch_all();
    let mut connection = cluster.connect(0);
    set(&mut connection, "maxclients", "60");
    set(&mut connection, "log.level", "info");
    cluster.signal(0, Signal::SIGHUP);
    wait_for("the file is not reloaded", || get(&mut connection, "limits.max_clients") == "50");
    assert_eq!(get(&mut connection, "log.level"), "warn");

    set(&mut connection, "maxclients", "70");
    set(&mut connection, "limits.idle_timeout", "2h");
    let () = redis::cmd("CONFIG").arg("REWRITE").query(&mut connection).unwrap();
    let wanted = before.replace("= 50", "= 70").replace("# really\n", "# really\nidle_timeout = \"120m\"\n");
    assert_eq!(fs::read_to_string(file(&cluster, 0)).unwrap(), wanted);
    cluster.stop(0);
    cluster.launch(0);
    let mut connection = cluster.connect(0);
    assert_eq!(get(&mut connection, "maxclients"), "70");
    assert_eq!(get(&mut connection, "timeout"), "7200");
}

#[test]
fn without_a_file_config_rewrite_says_so() {
    let cluster = Cluster::start(&[Embedded]);
    let error = redis::cmd("CONFIG").arg("REWRITE").query::<()>(&mut cluster.connect(0)).unwrap_err();
    assert!(error.to_string().contains("The server is running without a config file"), "{error}");
}

#[test]
fn a_watched_file_is_reloaded_however_it_is_edited() {
    let mut cluster = prepare(1, "[limits]\nmax_clients = 50\n");
    cluster.nodes[0].set("node.watch_config", "true");
    cluster.launch_all();
    let mut connection = cluster.connect(0);
    let path = file(&cluster, 0);
    wait_for("the file is not watched", || cluster.log(0).contains("is watched"));

    // In place.
    fs::write(&path, "[limits]\nmax_clients = 51\n").unwrap();
    wait_for("the file is not reloaded", || get(&mut connection, "maxclients") == "51");
    // As an editor does: another file takes its place.
    for (number, name) in [(52, "swap"), (53, "4913")] {
        let beside = path.with_file_name(name);
        fs::write(&beside, format!("[limits]\nmax_clients = {number}\n")).unwrap();
        fs::rename(&path, path.with_file_name("cluster.conf~")).unwrap();
        sleep(Duration::from_millis(5));
        fs::rename(&beside, &path).unwrap();
        wait_for("the file is not reloaded", || get(&mut connection, "maxclients") == number.to_string());
    }
    // A wrong one changes nothing, and the next right one is read.
    fs::write(&path, "[limits]\nmax_clients = none\n").unwrap();
    wait_for("nothing is said of the wrong file", || cluster.log(0).contains("was not reloaded"));
    fs::write(&path, "[limits]\nmax_clients = 54\n").unwrap();
    wait_for("the file is not reloaded", || get(&mut connection, "maxclients") == "54");
    // Many changes in a row are few reloads.
    let reloads = cluster.log(0).matches("was reloaded").count();
    for number in 100..200 {
        fs::write(&path, format!("[limits]\nmax_clients = {number}\n")).unwrap();
        sleep(Duration::from_millis(2));
    }
    wait_for("the file is not reloaded", || get(&mut connection, "maxclients") == "199");
    let more = cluster.log(0).matches("was reloaded").count() - reloads;
    assert!(more <= 3, "{more} reloads");
}

#[test]
fn the_bounds_of_clients_and_of_the_log_hold_as_they_are_set() {
    let mut cluster = prepare(1, "");
    cluster.launch_all();
    let mut connection = cluster.connect(0);
    set(&mut connection, "limits.max_clients", "1");
    let refused = redis::Client::open(format!("redis://127.0.0.1:{}/", cluster.nodes[0].port)).unwrap();
    assert!(refused.get_connection_with_timeout(Duration::from_secs(2)).is_err());
    set(&mut connection, "limits.max_clients", "10");
    let mut other = cluster.connect(0);
    let () = redis::cmd("PING").query(&mut other).unwrap();

    set(&mut connection, "proto-max-bulk-len", "1mb");
    let long: RedisResult<()> = redis::cmd("SET").arg("a").arg(vec![b'x'; 2 << 20]).query(&mut other);
    assert!(long.is_err());

    set(&mut connection, "raft.keep_entries", "1000000");
    for value in 0..300 {
        let () = redis::cmd("SET")
            .arg("b")
            .arg(vec![b'x'; 1024])
            .arg("PX")
            .arg(value + 1_000_000)
            .query(&mut connection)
            .unwrap();
    }
    let purged = |cluster: &Cluster| cluster.status(0).unwrap().purged;
    set(&mut connection, "raft.log-max-file-size", "64kb");
    wait_for("no snapshot is made", || cluster.status(0).unwrap().snapshot > 250);
    sleep(Duration::from_millis(1500));
    assert_eq!(purged(&cluster), 0, "the log goes although it is to be kept");
    set(&mut connection, "raft.keep_entries", "10");
    wait_for("the log is not given up", || purged(&cluster) + 11 > cluster.status(0).unwrap().snapshot);

    set(&mut connection, "timeout", "1");
    let mut idle = cluster.connect(0);
    wait_for("an idle connection is not closed", || {
        sleep(Duration::from_millis(1500));
        redis::cmd("PING").query::<()>(&mut idle).is_err()
    });
}

#[test]
fn a_node_that_waits_for_the_others_is_not_ended_by_a_reload() {
    let mut cluster = prepare(3, "");
    cluster.launch(0);
    wait_for("it does not start", || cluster.log_path(0).exists());
    sleep(Duration::from_millis(500));
    cluster.signal(0, Signal::SIGHUP);
    cluster.signal(0, Signal::SIGUSR1);
    sleep(Duration::from_millis(300));
    cluster.launch(1);
    cluster.launch(2);
    cluster.leader();
    wait_for("it has forgotten the signal", || cluster.log(0).contains("was reloaded"));
}
