//! Members that have lost what they promised: wiped, cut, rolled back, put together from several copies, or said to
//! be new by mistake. None of them votes. Shown on the embedded engine: what is lost here is beside any storage.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use raft::status::Role;
use tests::ask::wait_for;
use tests::cluster::{Cluster, PATIENCE, SECRET, binary};
use tests::engine::Engine;
use tests::process;

const THREE: [Engine; 3] = [Engine::Embedded; 3];

fn data(cluster: &Cluster, index: usize) -> PathBuf {
    cluster.nodes[index].dir.join("data")
}

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_dir(&entry.path(), &target)
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Puts a copy in the place of a directory.
fn put_back(copy: &Path, dir: &Path) {
    fs::remove_dir_all(dir).unwrap();
    copy_dir(copy, dir);
}

/// Starts a node that is to be refused, and waits until its process has ended; what it said.
fn refused(cluster: &Cluster, index: usize) -> String {
    let said = cluster.dir().join(format!("refused-{index}"));
    let out = fs::File::create(&said).unwrap();
    let mut command = cluster.command(index);
    command.stdin(Stdio::piped()).stdout(out.try_clone().unwrap()).stderr(out);
    let mut child = command.spawn().unwrap();
    let so_far = || format!("node {} was not refused:\n{}", index + 1, fs::read_to_string(&said).unwrap());
    let status = process::wait_for_end(&mut child, PATIENCE, so_far);
    let text = fs::read_to_string(&said).unwrap();
    assert_eq!(status.code(), Some(1), "{text}");
    text
}

/// Waits until a node has said this in its log.
fn wait_for_line(cluster: &Cluster, index: usize, text: &str) {
    let deadline = Instant::now() + PATIENCE;
    while !cluster.log(index).contains(text) {
        assert!(Instant::now() < deadline, "{text:?} was not said:\n{}", cluster.log(index));
        sleep(Duration::from_millis(10));
    }
}

fn set(cluster: &Cluster, index: usize, key: &str, value: &str) {
    let () = redis::cmd("SET").arg(key).arg(value).query(&mut cluster.connect(index)).unwrap();
}

fn get(cluster: &Cluster, index: usize, key: &str) -> Option<String> {
    redis::cmd("GET").arg(key).query(&mut cluster.connect(index)).unwrap()
}

/// A write that nodes 0 and 1 have, and node 2 has not; then all have ended.
fn write_without_the_third(cluster: &mut Cluster) {
    wait_for_data_ids(cluster);
    cluster.kill(2);
    let leader = cluster.leader();
    set(cluster, leader, "acknowledged", "yes");
    cluster.settle();
    // Its storage is to be on disk.
    cluster.stop(0);
    cluster.kill(1);
}

/// Waits until every member is recorded with its data directory: that is with its addresses.
fn wait_for_data_ids(cluster: &Cluster) {
    let deadline = Instant::now() + PATIENCE;
    let known = |index: usize| {
        let members = cluster.members(index).unwrap_or_default();
        members.len() == cluster.nodes.len() && members.iter().all(|member| !member.resp.is_empty())
    };
    while !(0..cluster.nodes.len()).all(known) {
        assert!(Instant::now() < deadline, "{:?}", cluster.members(0));
        sleep(Duration::from_millis(20));
    }
    cluster.settle();
}

#[test]
fn a_wiped_member_and_one_that_is_starting_do_not_make_a_new_cluster() {
    let mut cluster = Cluster::start(&THREE);
    write_without_the_third(&mut cluster);
    fs::remove_dir_all(data(&cluster, 0)).unwrap();
    // Node 1 is opening its data while node 0 asks it.
    cluster.launch(1);
    let said = refused(&cluster, 0);
    assert!(said.contains("knows it with another data directory: its data is lost"), "{said}");
    assert!(said.contains("RAFT.NODE REMOVE 1"), "{said}");
    cluster.launch(2);
    cluster.leader();
    for index in [1, 2] {
        assert_eq!(get(&cluster, index, "acknowledged").as_deref(), Some("yes"));
    }
    cluster.assert_equal_digests();
    // What the sentence says helps.
    fs::remove_dir_all(data(&cluster, 0)).unwrap();
    let () = redis::cmd("RAFT.NODE").arg("REMOVE").arg(1).query(&mut cluster.connect(1)).unwrap();
    let said = refused(&cluster, 0);
    assert!(said.contains("was removed from its cluster"), "{said}");
    let seed = format!("127.0.0.1:{}", cluster.nodes[1].raft_port);
    fs::remove_dir_all(data(&cluster, 0)).unwrap();
    let node = &mut cluster.nodes[0];
    (node.id, node.founder) = (4, false);
    cluster.launch(0);
    let () = redis::cmd("RAFT.CLUSTER").arg("JOIN").arg(seed).query(&mut cluster.connect(0)).unwrap();
    assert_eq!(get(&cluster, 0, "acknowledged").as_deref(), Some("yes"));
}

#[test]
fn a_member_that_was_wiped_is_not_let_in_when_all_are_started_at_once() {
    let mut cluster = Cluster::start(&THREE);
    write_without_the_third(&mut cluster);
    fs::remove_dir_all(data(&cluster, 0)).unwrap();
    cluster.launch(1);
    cluster.launch(2);
    let said = refused(&cluster, 0);
    assert!(said.contains("its data is lost"), "{said}");
    cluster.leader();
    assert_eq!(get(&cluster, 2, "acknowledged").as_deref(), Some("yes"));
    cluster.assert_equal_digests();
}

#[test]
fn two_of_three_new_members_form_nothing_before_the_third_has_said_that_it_is_new() {
    for last in [0, 2] {
        let mut cluster = Cluster::prepare(&THREE, &[]);
        let first: Vec<usize> = (0..3).filter(|index| *index != last).collect();
        for index in &first {
            cluster.launch(*index);
        }
        for index in &first {
            wait_for_line(&cluster, *index, "this node is empty: it waits for every member to say");
        }
        // Longer than it takes to form a cluster and elect a leader.
        let quiet = Instant::now() + Duration::from_millis(1500);
        while Instant::now() < quiet {
            assert!(first.iter().all(|index| !cluster.log(*index).contains("ready for clients")));
            sleep(Duration::from_millis(50));
        }
        cluster.launch(last);
        let leader = cluster.leader();
        set(&cluster, leader, "k", "v");
        assert_eq!(get(&cluster, last, "k").as_deref(), Some("v"));
        cluster.assert_equal_digests();
    }
}

/// What becomes of a data directory, how, and what the node says.
type Damage = (&'static str, fn(&Path), &'static str);

/// What can become of a node's Raft log while its storage stays.
fn damages() -> [Damage; 8] {
    [
        (
            "its directory is removed",
            |data| fs::remove_dir_all(data.join("log")).unwrap(),
            "is gone, or was emptied",
        ),
        (
            "its files are removed",
            |data| {
                fs::remove_dir_all(data.join("log")).unwrap();
                fs::create_dir(data.join("log")).unwrap();
            },
            "is gone, or was emptied",
        ),
        (
            "its newest file is cut to two thirds",
            |data| {
                let newest = newest_log_file(data);
                let file = fs::OpenOptions::new().write(true).open(newest).unwrap();
                file.set_len(file.metadata().unwrap().len() * 2 / 3).unwrap();
            },
            "was cut, or is an older copy",
        ),
        (
            "its newest file is removed",
            |data| fs::remove_file(newest_log_file(data)).unwrap(),
            "is gone, or was emptied",
        ),
        (
            "what says how far it was is removed",
            |data| fs::remove_file(data.join("log-extent")).unwrap(),
            "log-extent is missing",
        ),
        (
            "everything but the identity is removed",
            |data| {
                let identity = fs::read(data.join("identity")).unwrap();
                fs::remove_dir_all(data).unwrap();
                fs::create_dir(data).unwrap();
                fs::write(data.join("identity"), identity).unwrap();
            },
            "is gone, or was emptied",
        ),
        (
            "the identity is removed",
            |data| fs::remove_file(data.join("identity")).unwrap(),
            "holds a Raft log and no identity file",
        ),
        (
            "everything but the storage is removed",
            |data| {
                for file in ["identity", "log-extent"] {
                    fs::remove_file(data.join(file)).unwrap();
                }
                fs::remove_dir_all(data.join("log")).unwrap();
            },
            "its Raft log is empty: it is lost",
        ),
    ]
}

fn newest_log_file(data: &Path) -> PathBuf {
    let files = fs::read_dir(data.join("log")).unwrap().map(|file| file.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|extension| extension == "log")).max().unwrap()
}

#[test]
fn a_member_whose_raft_log_is_lost_or_cut_while_its_storage_is_whole_does_not_vote() {
    let mut cluster = Cluster::start(&THREE);
    write_without_the_third(&mut cluster);
    let (dir, whole) = (data(&cluster, 0), cluster.dir().join("whole"));
    copy_dir(&dir, &whole);
    for (what, damage, sentence) in damages() {
        damage(&dir);
        let said = refused(&cluster, 0);
        assert!(said.contains(sentence), "{what}: {said}");
        put_back(&whole, &dir);
    }
    // With what it had it comes back, and what was acknowledged is there.
    cluster.launch(0);
    cluster.launch(2);
    let () = redis::cmd("SET").arg("after").arg("1").query(&mut cluster.connect(0)).unwrap();
    assert_eq!(get(&cluster, 2, "acknowledged").as_deref(), Some("yes"));
    cluster.launch(1);
    cluster.leader();
    cluster.settle();
    cluster.assert_equal_digests();
}

#[test]
fn a_storage_that_is_lost_or_old_while_the_log_is_whole_is_filled_again() {
    let settings = [("raft.snapshot_log_bytes", "1MiB"), ("raft.keep_entries", "10")];
    let mut cluster = Cluster::start_with(&THREE, &settings);
    let victim = (cluster.leader() + 1) % 3;
    let (dir, older) = (data(&cluster, victim), cluster.dir().join("older"));
    cluster.stop(victim);
    copy_dir(&dir.join("data"), &older);
    cluster.launch(victim);
    let leader = cluster.leader();
    let mut connection = cluster.connect(leader);
    for key in 0..600 {
        let noise: Vec<u8> = (0..4096).map(|_| rand::random()).collect();
        let () = redis::cmd("SET").arg(key).arg(noise).query(&mut connection).unwrap();
    }
    let deadline = Instant::now() + PATIENCE;
    while cluster.status(victim).unwrap().purged < 100 {
        assert!(Instant::now() < deadline, "{:?}", cluster.status(victim));
        sleep(Duration::from_millis(20));
    }
    for old in [false, true] {
        cluster.kill(victim);
        fs::remove_dir_all(dir.join("data")).unwrap();
        if old {
            copy_dir(&older, &dir.join("data"));
        }
        cluster.launch(victim);
        cluster.leader();
        cluster.settle();
        cluster.assert_equal_digests();
    }
    // Neither snapshot nor storage: what the log no longer has is nowhere.
    cluster.kill(victim);
    for lost in ["data", "snapshots"] {
        fs::remove_dir_all(dir.join(lost)).unwrap();
    }
    let said = refused(&cluster, victim);
    assert!(said.contains("cannot start the node"), "{said}");
}

#[test]
fn a_member_that_was_rolled_back_is_refused_by_what_its_leader_knows() {
    let mut cluster = Cluster::start(&THREE);
    wait_for_data_ids(&cluster);
    let leader = cluster.leader();
    let victim = (leader + 1) % 3;
    let (dir, older, newer) =
        (data(&cluster, victim), cluster.dir().join("older"), cluster.dir().join("newer"));
    cluster.stop(victim);
    copy_dir(&dir, &older);
    cluster.launch(victim);
    cluster.leader();
    for value in 0..20 {
        set(&cluster, leader, "k", &value.to_string());
    }
    cluster.settle();
    cluster.kill(victim);
    copy_dir(&dir, &newer);
    // All of it: log, storage and identity agree, and only another knows better.
    put_back(&older, &dir);
    let said = refused(&cluster, victim);
    assert!(
        said.contains("is an older copy") && said.contains("which leads, has seen its log up to index"),
        "{said}"
    );
    // The log alone, in a directory of now.
    put_back(&newer, &dir);
    put_back(&older.join("log"), &dir.join("log"));
    let said = refused(&cluster, victim);
    assert!(said.contains("was cut, or is an older copy"), "{said}");
    // Another member's log.
    put_back(&newer, &dir);
    let other = (leader + 2) % 3;
    cluster.stop(other);
    put_back(&data(&cluster, other).join("log"), &dir.join("log"));
    let said = refused(&cluster, victim);
    assert!(said.contains("they were put together from several copies"), "{said}");
    put_back(&newer, &dir);
    cluster.launch(victim);
    cluster.launch(other);
    cluster.leader();
    cluster.settle();
    cluster.assert_equal_digests();
}

#[test]
fn a_rolled_back_member_that_cannot_ask_its_leader_ends_when_that_calls_and_the_leader_goes_on() {
    let mut cluster = Cluster::start_linked(&THREE, &[]);
    wait_for_data_ids(&cluster);
    let leader = cluster.leader();
    let victim = (leader + 1) % 3;
    let (dir, older) = (data(&cluster, victim), cluster.dir().join("older"));
    cluster.stop(victim);
    copy_dir(&dir, &older);
    cluster.launch(victim);
    for value in 0..20 {
        set(&cluster, leader, "k", &value.to_string());
    }
    cluster.settle();
    assert_eq!(cluster.leader(), leader);
    let term = cluster.status(leader).unwrap().term;
    cluster.kill(victim);
    put_back(&older, &dir);
    // It asks in vain; the leader reaches it.
    cluster.link(leader).cut_from(cluster.nodes[victim].id);
    let said = refused(&cluster, victim);
    assert!(
        said.contains("is an older copy") && said.contains("which leads, has seen its log up to index"),
        "{said}"
    );
    // openraft ends a leader whose follower takes back what it has acknowledged.
    set(&cluster, leader, "k", "after");
    let status = cluster.status(leader).unwrap();
    assert_eq!((status.role, status.term), (Role::Leader, term));
}

fn backup(cluster: &Cluster, file: &Path) {
    let address = format!("127.0.0.1:{}", cluster.nodes[0].port);
    let output = Command::new(binary()).args(["backup", "--from", &address]).arg(file).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

fn restore(cluster: &Cluster, index: usize, file: &Path) {
    let serve = cluster.command(index);
    let mut command = Command::new(binary());
    command.arg("restore").arg(file).stdin(Stdio::null()).env("RAFT_PROXY_CLUSTER_SECRET", SECRET);
    command.args(serve.get_args().filter(|arg| *arg != "serve" && *arg != "--until-stdin-closes"));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn members_that_were_restored_from_different_backups_or_not_at_all_form_no_cluster() {
    let files = tempfile::tempdir().unwrap();
    let (first, second) = (files.path().join("first"), files.path().join("second"));
    let source = Cluster::start(&[Engine::Embedded]);
    set(&source, 0, "k", "1");
    backup(&source, &first);
    set(&source, 0, "k", "2");
    backup(&source, &second);
    drop(source);
    // One id for all, as operators may give it: it does not tell them apart.
    let mut cluster = Cluster::prepare(&THREE, &[("cluster.id", "restored")]);
    restore(&cluster, 0, &first);
    restore(&cluster, 1, &first);
    restore(&cluster, 2, &second);
    (0..3).for_each(|index| cluster.launch(index));
    // Whoever hears of it first is refused; the others wait for that one.
    let says = |text: &str| (0..3).any(|index| cluster.log(index).contains(text));
    wait_for("one of them is refused", || says("does not begin with what this node begins with"));
    assert!(!says("ready for clients"));
    (0..3).for_each(|index| cluster.kill(index));
    // One that was forgotten.
    for index in 0..3 {
        fs::remove_dir_all(data(&cluster, index)).unwrap();
    }
    restore(&cluster, 0, &second);
    cluster.launch(1);
    wait_for_line(&cluster, 1, "it waits for every member");
    let said = refused(&cluster, 0);
    assert!(said.contains("this node was restored from a backup, and it was not"), "{said}");
    cluster.kill(1);
    // All from one.
    for index in 0..3 {
        let _ = fs::remove_dir_all(data(&cluster, index));
        restore(&cluster, index, &second);
    }
    cluster.launch_all();
    assert_eq!(get(&cluster, 2, "k").as_deref(), Some("2"));
    set(&cluster, 0, "k", "3");
    wait_for_data_ids(&cluster);
    // And once more, of one that had begun.
    let victim = (cluster.leader() + 1) % 3;
    let other = (victim + 1) % 3;
    cluster.kill(victim);
    cluster.kill(other);
    fs::remove_dir_all(data(&cluster, victim)).unwrap();
    restore(&cluster, victim, &second);
    let said = refused(&cluster, victim);
    assert!(said.contains("its data is lost"), "{said}");
}

#[test]
fn members_with_one_cluster_id_and_different_lists_of_members_form_no_cluster() {
    let mut cluster = Cluster::prepare(&THREE, &[("cluster.id", "ours")]);
    // Node 2 is told of two members, and node 1 of three.
    cluster.nodes[2].founder = false;
    cluster.launch(1);
    cluster.nodes[2].founder = true;
    wait_for_line(&cluster, 1, "it waits for every member");
    let said = refused(&cluster, 0);
    assert!(said.contains("its cluster.members are {1, 2}, and this node's are {1, 2, 3}"), "{said}");
    assert!(!cluster.log(1).contains("ready for clients"), "{}", cluster.log(1));
}

#[test]
fn a_node_that_was_killed_while_it_came_into_its_cluster_comes_into_it_again() {
    let mut cluster = Cluster::prepare(&THREE, &[]);
    for round in 0..3 {
        cluster.launch_each();
        sleep(Duration::from_millis(40 * round));
        for index in 0..3 {
            cluster.kill(index);
        }
    }
    cluster.launch_each();
    wait_for_line(&cluster, 0, "ready for clients");
    let leader = cluster.leader();
    assert_eq!(cluster.status(leader).unwrap().role, Role::Leader);
    set(&cluster, leader, "k", "v");
    cluster.settle();
    cluster.assert_equal_digests();
}
