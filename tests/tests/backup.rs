//! Backups of running clusters, and new clusters made from them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tests::ask;
use tests::cluster::{Cluster, PATIENCE, SECRET, binary};
use tests::engine::{self, ALL_ON_KIWI, Engine};
use tests::history::Writers;

/// `raft-proxy backup` of a node, not started yet.
fn backup_command(cluster: &Cluster, index: usize, file: &Path) -> Command {
    let mut command = Command::new(binary());
    command.arg("backup").args(["--from", &format!("127.0.0.1:{}", cluster.nodes[index].port)]);
    command.arg("--json").arg(file).stdin(Stdio::null());
    command
}

/// Makes a backup; what it says of itself.
fn backup(cluster: &Cluster, index: usize, file: &Path) -> Value {
    said(&backup_command(cluster, index, file).output().unwrap())
}

fn inspect(file: &Path) -> Output {
    Command::new(binary()).args(["snapshot", "inspect", "--json"]).arg(file).output().unwrap()
}

fn said(output: &Output) -> Value {
    assert!(output.status.success(), "{}", complaint(output));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn complaint(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Restores a node that was not started yet, from the settings with which it will run.
fn restore(cluster: &Cluster, index: usize, file: &Path) -> Output {
    let serve = cluster.command(index);
    let mut command = Command::new(binary());
    command.arg("restore").arg(file).stdin(Stdio::null()).env("RAFT_PROXY_CLUSTER_SECRET", SECRET);
    command.args(serve.get_args().filter(|arg| *arg != "serve" && *arg != "--until-stdin-closes"));
    command.output().unwrap()
}

/// Restores all nodes of a cluster, starts them, and waits for a leader.
fn restore_all(cluster: &mut Cluster, file: &Path) {
    for index in 0..cluster.nodes.len() {
        let restored = restore(cluster, index, file);
        assert!(restored.status.success(), "{}", complaint(&restored));
    }
    cluster.launch_all();
}

fn digest_at(cluster: &Cluster, index: usize, at: u64) -> redis::RedisResult<(u64, String)> {
    redis::cmd("RAFT.DIGEST").arg("AT").arg(at).query(&mut cluster.connect(index))
}

fn digest(cluster: &Cluster, index: usize) -> (u64, String) {
    redis::cmd("RAFT.DIGEST").query(&mut cluster.connect(index)).unwrap()
}

/// Every type, deadlines, bytes of all values, a string of several pieces and a hash of some size.
fn fill(connection: &mut redis::Connection) {
    let bytes: Vec<u8> = (0..=255).collect();
    let mut pipe = redis::pipe();
    for n in 0..300 {
        pipe.cmd("SET").arg(format!("string:{n}")).arg(vec![n as u8; n]).ignore();
        pipe.cmd("HSET").arg("hash").arg(format!("field:{n}")).arg(&bytes).ignore();
        pipe.cmd("RPUSH").arg("list").arg(n).ignore();
        pipe.cmd("SADD").arg("set").arg(format!("member:{n}")).ignore();
        pipe.cmd("ZADD").arg("zset").arg(f64::from(n as u32) / 7.0).arg(n).ignore();
    }
    pipe.cmd("SET").arg("big").arg(bytes.repeat(12_000)).arg("EX").arg(100_000).ignore();
    pipe.cmd("EXPIRE").arg("hash").arg(100_000).ignore();
    let () = pipe.query(connection).unwrap();
}

/// What a plain client reads back of [`fill`].
fn check_filled(connection: &mut redis::Connection) {
    let big: Vec<u8> = redis::cmd("GET").arg("big").query(connection).unwrap();
    assert_eq!(big, (0..=255).collect::<Vec<u8>>().repeat(12_000));
    let ttl: i64 = redis::cmd("TTL").arg("big").query(connection).unwrap();
    assert!((90_000..=100_000).contains(&ttl), "{ttl}");
    let field: Vec<u8> = redis::cmd("HGET").arg("hash").arg("field:299").query(connection).unwrap();
    assert_eq!(field, (0..=255).collect::<Vec<u8>>());
    let list: Vec<i64> = redis::cmd("LRANGE").arg("list").arg(0).arg(-1).query(connection).unwrap();
    assert_eq!(list, (0..300).collect::<Vec<i64>>());
    let score: f64 = redis::cmd("ZSCORE").arg("zset").arg("299").query(connection).unwrap();
    assert!((score - 299.0 / 7.0).abs() < 1e-9);
}

#[test]
fn a_backup_under_load_from_any_node_holds_all_that_was_answered_before_it() {
    engine::on_each(back_up_under_load);
}

fn back_up_under_load(engine: Engine) {
    let cluster = Cluster::start_with(&[engine; 3], &ALL_ON_KIWI);
    fill(&mut cluster.connect(0));
    let writers = Writers::start(12, cluster.ports());
    writers.wait_for(300);
    let leader = cluster.leader();
    for (round, node) in [leader, (leader + 1) % 3, leader].into_iter().enumerate() {
        let key = format!("before:{round}");
        let () = redis::cmd("SET").arg(&key).arg("x").query(&mut cluster.connect(round)).unwrap();
        let counter: u64 = redis::cmd("GET").arg("counter:0").query(&mut cluster.connect(leader)).unwrap();
        let file = cluster.dir().join(format!("{round}.backup"));
        let told = backup(&cluster, node, &file);
        assert_eq!(told["cluster_id"], cluster.status(node).unwrap().cluster_id);
        assert_eq!(told["members"].as_array().unwrap().len(), 3);
        // Read where nothing is written any more: it is all there, of one moment.
        let mut restored = alone(&format!("restored{round}"), cluster.dir());
        restored.restore(&file);
        restored.launch();
        let mut connection = restored.connect();
        check_filled(&mut connection);
        let (index, digest): (u64, String) = redis::cmd("RAFT.DIGEST").query(&mut connection).unwrap();
        assert_eq!((told["index"].as_u64().unwrap(), told["digest"].as_str().unwrap()), (index, &*digest));
        let there: bool = redis::cmd("EXISTS").arg(&key).query(&mut connection).unwrap();
        assert!(there, "what was written before the backup is not in it");
        let restored: u64 = redis::cmd("GET").arg("counter:0").query(&mut connection).unwrap();
        assert!(restored >= counter, "{restored} after {counter}");
    }
    let history = writers.finish();
    history.check(&mut cluster.connect(0));
    cluster.assert_equal_digests();
}

/// A stand-alone node, of its own directory.
struct Alone {
    port: u16,
    dir: PathBuf,
    child: Option<Child>,
}

fn alone(name: &str, beside: &Path) -> Alone {
    Alone { port: tests::ports::free(), dir: beside.join(name), child: None }
}

impl Alone {
    fn command(&self, what: &str) -> Command {
        let mut command = Command::new(binary());
        command.args([what, "--cluster-enabled", "false", "--listen-resp"]);
        command.arg(format!("127.0.0.1:{}", self.port));
        command.arg("--node-data-dir").arg(&self.dir).stderr(Stdio::null());
        command
    }

    fn restore(&self, file: &Path) {
        let output = self.command("restore").arg(file).stderr(Stdio::piped()).output().unwrap();
        assert!(output.status.success(), "{}", complaint(&output));
    }

    fn launch(&mut self) {
        let mut command = self.command("serve");
        self.child = Some(command.arg("--until-stdin-closes").stdin(Stdio::piped()).spawn().unwrap());
    }

    fn connect(&self) -> redis::Connection {
        ask::connect(self.port)
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Both fail only if it has ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[test]
fn a_cluster_is_restored_on_another_number_of_nodes_and_another_storage_and_back() {
    engine::on_each_kiwi(restore_on_and_back);
}

fn restore_on_and_back(engine: Engine) {
    let files = tempfile::tempdir().unwrap();
    let (first, second) = (files.path().join("first"), files.path().join("second"));
    // One embedded node.
    let source = Cluster::start(&[Engine::Embedded]);
    fill(&mut source.connect(0));
    let told = backup(&source, 0, &first);
    let old_id = source.status(0).unwrap().cluster_id;
    let (_, content) = digest(&source, 0);
    assert_eq!(told["digest"].as_str(), Some(&*content));
    drop(source);

    // Three nodes on a Kiwi each.
    let mut cluster = Cluster::prepare(&[engine; 3], &ALL_ON_KIWI);
    restore_all(&mut cluster, &first);
    let ids: Vec<String> = (0..3).map(|index| cluster.status(index).unwrap().cluster_id).collect();
    assert!(ids.iter().all(|id| *id == ids[0] && *id != old_id), "{ids:?}, was {old_id}");
    for index in 0..3 {
        assert_eq!(digest(&cluster, index).1, content);
        check_filled(&mut cluster.connect(index));
    }
    let () = redis::cmd("SET").arg("after").arg("1").query(&mut cluster.connect(2)).unwrap();
    cluster.assert_equal_digests();
    for kiwi in cluster.nodes.iter().filter_map(|node| node.kiwi.as_ref()) {
        let deadline = Instant::now() + PATIENCE;
        while redis::cmd("STRLEN").arg("big").query::<u64>(&mut kiwi.connect()).unwrap() != 256 * 12_000 {
            assert!(Instant::now() < deadline, "the values are not on Kiwi");
            sleep(Duration::from_millis(50));
        }
    }
    // A restored member that is killed comes back with what it has.
    let follower = (cluster.leader() + 1) % 3;
    cluster.kill(follower);
    cluster.launch(follower);
    cluster.leader();
    let told = backup(&cluster, follower, &second);
    assert_eq!(told["cluster_id"].as_str(), Some(&*ids[0]));
    let (_, content) = digest(&cluster, follower);
    assert_eq!(told["digest"].as_str(), Some(&*content));
    drop(cluster);

    // And back.
    let mut back = Cluster::prepare(&[Engine::Embedded; 3], &[]);
    restore_all(&mut back, &second);
    assert_eq!(digest(&back, 0).1, content);
    check_filled(&mut back.connect(1));
    let after: String = redis::cmd("GET").arg("after").query(&mut back.connect(1)).unwrap();
    assert_eq!(after, "1");
    back.assert_equal_digests();
    // A member that has lost its data cannot come back as it once began.
    let victim = (back.leader() + 1) % 3;
    back.kill(victim);
    fs::remove_dir_all(back.nodes[victim].dir.join("data")).unwrap();
    assert!(restore(&back, victim, &second).status.success());
    let served = back.command(victim).output().unwrap();
    assert!(
        !served.status.success() && complaint(&served).contains("its data is lost"),
        "{}",
        complaint(&served)
    );
}

#[test]
fn a_restore_is_refused_where_there_is_data_and_begun_anew_where_it_was_broken_off() {
    let source = Cluster::start(&[Engine::Embedded]);
    fill(&mut source.connect(0));
    let file = source.dir().join("backup");
    backup(&source, 0, &file);
    let old_id = source.status(0).unwrap().cluster_id;
    drop_cluster_but_keep(source, &file, |file| {
        let mut cluster = Cluster::prepare(&[Engine::Embedded], &[]);
        let data = cluster.nodes[0].dir.join("data");
        // The old cluster's own id.
        let node = &mut cluster.nodes[0];
        node.settings.push(("cluster.id".to_owned(), old_id.clone()));
        let same = restore(&cluster, 0, file);
        assert_eq!(same.status.code(), Some(64), "{}", complaint(&same));
        assert!(complaint(&same).contains("the id of the cluster that the backup comes from"));
        cluster.nodes[0].settings.clear();
        // Somebody's file.
        fs::create_dir_all(&data).unwrap();
        fs::write(data.join("photo"), "x").unwrap();
        let used = restore(&cluster, 0, file);
        assert!(!used.status.success() && complaint(&used).contains("is not empty"), "{}", complaint(&used));
        fs::remove_file(data.join("photo")).unwrap();
        // Broken off: what a crash in the middle leaves.
        assert!(restore(&cluster, 0, file).status.success());
        fs::remove_file(data.join("identity")).unwrap();
        fs::write(data.join("restoring"), "").unwrap();
        let served = cluster.command(0).stdin(Stdio::null()).output().unwrap();
        assert!(!served.status.success());
        assert!(complaint(&served).contains("is half restored from a backup"), "{}", complaint(&served));
        restore_all(&mut cluster, file);
        check_filled(&mut cluster.connect(0));
        // It is this cluster's now.
        let again = restore(&cluster, 0, file);
        assert!(!again.status.success() && complaint(&again).contains("is not empty"));
    });
}

/// There is one cluster at a time: ends one, keeps a file of it, and goes on.
fn drop_cluster_but_keep(cluster: Cluster, file: &Path, then: impl FnOnce(&Path)) {
    let kept = tempfile::tempdir().unwrap();
    let copy = kept.path().join("backup");
    fs::copy(file, &copy).unwrap();
    drop(cluster);
    then(&copy);
}

#[test]
fn a_damaged_backup_is_refused_wherever_it_is_damaged() {
    let source = Cluster::start(&[Engine::Embedded]);
    fill(&mut source.connect(0));
    let file = source.dir().join("backup");
    backup(&source, 0, &file);
    let damaged = source.dir().join("damaged");
    let whole = fs::read(&file).unwrap();
    let regions = 64;
    let places: Vec<usize> =
        (0..20).chain((0..regions).map(|region| whole.len() * region / regions)).collect();
    for at in places.into_iter().chain([whole.len() - 1]) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x40;
        fs::write(&damaged, &bytes).unwrap();
        let output = inspect(&damaged);
        assert_eq!(output.status.code(), Some(1), "byte {at} of {} flipped", whole.len());
        let said = complaint(&output);
        assert!(said.contains("damaged: malformed snapshot: ") && said.contains(", at byte "), "{said}");
    }
    fs::write(&damaged, &whole[..whole.len() / 2]).unwrap();
    assert!(complaint(&inspect(&damaged)).contains("cut short"));
    let empty = source.dir().join("new");
    let refused = Command::new(binary())
        .args(["restore", "--node-id", "1", "--cluster-members", "1=127.0.0.1:1", "--dir"])
        .args([&empty, &damaged])
        .output()
        .unwrap();
    assert!(
        !refused.status.success() && complaint(&refused).contains("cut short"),
        "{}",
        complaint(&refused)
    );
    assert!(!empty.exists(), "something was made from a damaged backup");
}

/// The names in a directory.
fn names(dir: &Path) -> Vec<String> {
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// Some megabytes that cannot be packed.
fn fill_with_noise(connection: &mut redis::Connection, megabytes: usize) {
    let noise: Vec<u8> = (0..1 << 20).map(|_| rand::random()).collect();
    for n in 0..megabytes {
        let value: Vec<u8> = noise.iter().map(|byte| byte.wrapping_mul(2 * n as u8 + 1)).collect();
        let () = redis::cmd("SET").arg(format!("noise:{n}")).arg(value).query(connection).unwrap();
    }
}

/// A file system of its own, in memory.
struct Small(PathBuf);

impl Small {
    fn mount(at: &Path, size: &str) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", size, "tmpfs"]).arg(at).status();
        mounted.is_ok_and(|status| status.success()).then(|| Self(at.to_owned()))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(&self.0).status();
        assert!(unmounted.unwrap().success());
    }
}

#[test]
fn a_backup_that_finds_the_disk_full_or_is_interrupted_leaves_nothing() {
    let cluster = Cluster::start(&[Engine::Embedded]);
    fill_with_noise(&mut cluster.connect(0), 24);
    let dir = cluster.dir().join("backups");
    fs::create_dir(&dir).unwrap();
    // Interrupted, at several moments, and more often than the node has snapshots under way at once. A quick machine
    // may be done before.
    for (round, signal) in [Signal::SIGINT, Signal::SIGTERM].into_iter().cycle().take(6).enumerate() {
        let file = dir.join(format!("interrupted{round}"));
        let mut child = backup_command(&cluster, 0, &file).stdout(Stdio::null()).spawn().unwrap();
        let deadline = Instant::now() + PATIENCE;
        while names(&dir).is_empty() && Instant::now() < deadline {
            sleep(Duration::from_millis(1));
        }
        sleep(Duration::from_millis(10 * round as u64));
        kill(Pid::from_raw(child.id() as i32), signal).unwrap();
        let status = child.wait().unwrap();
        if status.success() {
            assert_eq!(names(&dir), [format!("interrupted{round}")]);
            fs::remove_file(&file).unwrap();
        } else {
            assert_eq!(status.code(), Some(130));
            assert!(names(&dir).is_empty(), "{:?}", names(&dir));
        }
    }
    // What is there is not touched.
    let file = dir.join("kept");
    fs::write(&file, "precious").unwrap();
    let refused = backup_command(&cluster, 0, &file).output().unwrap();
    assert!(complaint(&refused).contains("exists already; --force replaces it"), "{}", complaint(&refused));
    assert_eq!(fs::read(&file).unwrap(), b"precious");
    // A full disk, with --force: the old file stays.
    let at = cluster.dir().join("small");
    match Small::mount(&at, "size=4m") {
        None => println!("no mount here: a full disk is not tried"),
        Some(_mounted) => {
            let file = at.join("backup");
            fs::write(&file, "precious").unwrap();
            let full = backup_command(&cluster, 0, &file).arg("--force").output().unwrap();
            assert!(
                !full.status.success() && complaint(&full).contains("No space left"),
                "{}",
                complaint(&full)
            );
            assert_eq!(names(&at), ["backup"]);
            assert_eq!(fs::read(&file).unwrap(), b"precious");
        }
    }
    // The node has not suffered, and with --force it is replaced.
    said(&backup_command(&cluster, 0, &file).arg("--force").output().unwrap());
    assert_eq!(said(&inspect(&file))["keys"], 24);
}

#[test]
fn replicas_are_compared_at_an_index_while_writes_go_on() {
    engine::on_each(compare_under_load);
}

fn compare_under_load(engine: Engine) {
    let cluster = Cluster::start_with(&[engine; 3], &ALL_ON_KIWI);
    let writers = Writers::start(12, cluster.ports());
    writers.wait_for(200);
    for _ in 0..5 {
        let at = cluster.status(0).unwrap().applied + 200;
        let digests: Vec<(u64, String)> = std::thread::scope(|scope| {
            let asked: Vec<_> = (0..3)
                .map(|index| {
                    scope.spawn({
                        let cluster = &cluster;
                        move || digest_at(cluster, index, at).unwrap()
                    })
                })
                .collect();
            asked.into_iter().map(|asked| asked.join().unwrap()).collect()
        });
        assert!(digests.iter().all(|digest| *digest == digests[0]), "{digests:?}");
        assert_eq!(digests[0].0, at);
    }
    let error = digest_at(&cluster, 0, 1).unwrap_err().to_string();
    assert!(error.contains("ask for an index ahead of that"), "{error}");
    writers.finish().check(&mut cluster.connect(0));
}
