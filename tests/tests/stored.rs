//! What earlier versions have stored is opened by this one. `tests/stored/README.md` says how it is made.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tests::ask::{ask, wait_for};
use tests::cluster::{Cluster, beside_tests, binary};
use tests::engine::Engine;

type Settings = &'static [(&'static str, &'static str)];

/// Directories that are kept: the engine, and the settings without which they are not opened.
const KEPT: [(&str, Engine, Settings); 3] = [
    ("member", Engine::Embedded, &[]),
    ("alone", Engine::Embedded, &[("cluster.enabled", "false")]),
    ("beside-kiwi", Engine::StandIn, &[("storage.keep_values", "0")]),
];

/// Every type, long and short, with and without deadlines.
const CONTENT: [&str; 12] = [
    "SET short value",
    "SET leaves value EX 1000000000",
    "SETRANGE long 300000 end",
    "RPUSH list a b c d e",
    "LREM list 1 c",
    "SADD set a b c 1 2 3",
    "HSET hash field value another 17",
    "HINCRBY hash another 25",
    "ZADD zset 1.5 a -inf b 3e300 c",
    "ZINCRBY zset 0.1 a",
    "EXPIRE hash 1000000000",
    "SETBIT bits 77 1",
];

fn stored() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("stored")
}

fn tar(args: &[&str], directory: &Path) {
    let done = Command::new("tar").args(args).current_dir(directory).status().unwrap();
    assert!(done.success(), "tar {args:?}: {done}");
}

fn digest(cluster: &Cluster) -> String {
    let (_, digest): (u64, String) = ask(&mut cluster.connect(0), "RAFT.DIGEST").unwrap();
    digest
}

fn write_content(cluster: &Cluster) {
    let mut connection = cluster.connect(0);
    for line in CONTENT {
        ask::<redis::Value>(&mut connection, line).unwrap();
    }
    // A log behind a snapshot, and a key that came and went in each.
    for round in 0..2 {
        for index in 0..200 {
            ask::<redis::Value>(&mut connection, &format!("SET key:{index} {round}")).unwrap();
        }
        ask::<redis::Value>(&mut connection, "SET gone x").unwrap();
        ask::<redis::Value>(&mut connection, "DEL gone").unwrap();
        if round == 0 {
            let _: redis::RedisResult<redis::Value> = ask(&mut connection, "RAFT.SNAPSHOT CREATE");
        }
    }
}

/// Writes what is kept of the version that `RAFT_PROXY_BIN` is, under the name `STORED_AS`.
#[test]
#[ignore = "writes into the source tree: see tests/stored/README.md"]
fn what_is_kept_is_written() {
    let name = std::env::var("STORED_AS").expect("STORED_AS names the version");
    let version = stored().join(name);
    fs::create_dir_all(&version).unwrap();
    for (kept, engine, settings) in KEPT {
        let mut cluster = Cluster::prepare(&[engine], settings);
        cluster.launch_each();
        wait_for("it serves", || ask::<String>(&mut cluster.connect(0), "SET serves yes").is_ok());
        write_content(&cluster);
        if engine.is_kiwi() {
            cluster.settle();
        }
        let of = digest(&cluster);
        if kept == "member" {
            let (from, file) = (format!("127.0.0.1:{}", cluster.nodes[0].port), version.join("backup.snap"));
            let taken =
                Command::new(binary()).args(["backup", "--force", "--from", &from]).arg(&file).output();
            let taken = taken.unwrap();
            assert!(taken.status.success(), "{}", String::from_utf8_lossy(&taken.stderr));
        }
        cluster.stop(0);
        drop(cluster.nodes[0].kiwi.take());
        fs::write(cluster.nodes[0].dir.join("digest"), of).unwrap();
        let archive = version.join(format!("{kept}.tar.gz"));
        let archive = archive.to_str().unwrap();
        tar(
            &[
                "czf",
                archive,
                "--exclude=LOG",
                "--exclude=LOG.old*",
                "--exclude=OPTIONS-*",
                "--exclude=./log",
                ".",
            ],
            &cluster.nodes[0].dir,
        );
    }
}

fn versions() -> Vec<PathBuf> {
    let entries = fs::read_dir(stored()).unwrap().map(|entry| entry.unwrap().path());
    let versions: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    assert!(!versions.is_empty());
    versions
}

#[test]
fn directories_of_earlier_versions_are_opened_with_all_that_they_hold() {
    for version in versions() {
        for (kept, engine, settings) in KEPT {
            let mut cluster = Cluster::prepare(&[engine], settings);
            let dir = cluster.nodes[0].dir.clone();
            fs::create_dir_all(&dir).unwrap();
            tar(&["xzf", version.join(format!("{kept}.tar.gz")).to_str().unwrap()], &dir);
            let expected = fs::read_to_string(dir.join("digest")).unwrap();
            for round in 0..2 {
                cluster.launch_each();
                // A key written anew would have a revision, where they are kept, and so another digest.
                let write = |line: &str| ask::<redis::Value>(&mut cluster.connect(0), line).is_ok();
                wait_for(kept, || write("SET written yes") && write("DEL written"));
                assert_eq!(digest(&cluster), expected, "{kept} of {} in round {round}", version.display());
                // What this version writes over it, it reads again.
                cluster.stop(0);
            }
        }
    }
}

#[test]
fn backups_of_earlier_versions_are_restored() {
    for version in versions() {
        let mut cluster = Cluster::prepare(&[Engine::Embedded], &[]);
        let dir = cluster.nodes[0].dir.clone();
        fs::create_dir_all(&dir).unwrap();
        let config = dir.join("cluster.conf");
        let (data, member) = (dir.join("data"), format!("1=127.0.0.1:{}", cluster.nodes[0].raft_port));
        let text = format!("[node]\nid = 1\ndata_dir = {data:?}\n[cluster]\nmembers = [{member:?}]\n");
        fs::write(&config, text).unwrap();
        let restored = Command::new(beside_tests("raft-proxy"))
            .arg("restore")
            .arg(version.join("backup.snap"))
            .arg("--config")
            .arg(&config)
            .output()
            .unwrap();
        assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
        tar(&["xzf", version.join("member.tar.gz").to_str().unwrap(), "./digest"], &dir);
        cluster.launch_all();
        assert_eq!(digest(&cluster), fs::read_to_string(dir.join("digest")).unwrap());
    }
}
