//! What must not start, or must not be let in: a clear error each, and nothing written over.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use tests::cluster::{Cluster, SECRET, binary};
use tests::engine::{self, Engine};
use tests::kiwi::Kiwi;
use tests::needs::not_run;

fn run(args: &[&str]) -> Output {
    Command::new(binary()).args(args).stdin(Stdio::null()).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Every file below a directory with its content.
fn content(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(content(&path));
        } else {
            files.insert(path.display().to_string(), std::fs::read(&path).unwrap());
        }
    }
    files
}

#[test]
fn a_bad_configuration_names_file_line_and_key_and_exits_with_64() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cluster.conf");
    std::fs::write(&path, "[node]\nid = 1\n\n[raft]\nheartbeat = \"1s\"\n").unwrap();
    for command in ["serve", "check"] {
        let output = run(&[command, "--config", path.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(64), "{command}: {}", stderr(&output));
        assert!(
            stderr(&output).contains("cluster.conf:5: raft.heartbeat: unknown key"),
            "{}",
            stderr(&output)
        );
    }
    assert_eq!(content(dir.path()).len(), 1, "something was written");
}

#[test]
fn a_listen_address_in_use_is_told_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let data = dir.path().join("data");
    let output = run(&[
        "serve",
        "--cluster-enabled",
        "false",
        "--listen-resp",
        &address,
        "--node-data-dir",
        data.to_str().unwrap(),
    ]);
    assert_eq!(output.status.code(), Some(64));
    let wanted = format!("flag --listen-resp: listen.resp: cannot listen on {address}");
    assert!(stderr(&output).contains(&wanted), "{}", stderr(&output));
    assert!(!data.exists());
}

#[test]
fn a_data_directory_of_another_node_is_refused_and_left_as_it_is() {
    engine::on_each(swap_data_directories);
}

fn swap_data_directories(engine: Engine) {
    let mut cluster = Cluster::start(&[engine; 3]);
    cluster.stop(0);
    cluster.stop(1);
    std::fs::remove_dir_all(cluster.nodes[1].dir.join("data")).unwrap();
    std::fs::rename(cluster.nodes[0].dir.join("data"), cluster.nodes[1].dir.join("data")).unwrap();
    let before = content(&cluster.nodes[1].dir.join("data"));
    let output = cluster.command(1).stdin(Stdio::piped()).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("belongs to node 1"), "{}", stderr(&output));
    let after = content(&cluster.nodes[1].dir.join("data"));
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
}

#[test]
fn the_data_of_a_cluster_is_not_served_stand_alone_nor_the_other_way_round() {
    engine::on_each(serve_alone_and_then_in_a_cluster);
}

fn serve_alone_and_then_in_a_cluster(engine: Engine) {
    let dir = tempfile::tempdir().unwrap();
    let kiwi = engine.is_kiwi().then(|| Kiwi::start(engine, &dir.path().join("kiwi"), &[]));
    let serve = |enabled: &str| {
        let mut command = Command::new(binary());
        command.args(["serve", "--until-stdin-closes", "--cluster-members", "1=127.0.0.1:16400"]);
        command.args(["--listen-resp", "127.0.0.1:0", "--listen-raft", "127.0.0.1:0"]);
        command.args(["--cluster-enabled", enabled, "--node-data-dir"]).arg(dir.path().join("data"));
        if let Some(kiwi) = &kiwi {
            command.args(["--storage-kind", "kiwi", "--storage-address", &kiwi.address()]);
        }
        command.stdin(Stdio::null()).output().unwrap()
    };
    let first = serve("false");
    assert!(first.status.success(), "{}", stderr(&first));
    let second = serve("true");
    assert_eq!(second.status.code(), Some(1), "{}", stderr(&second));
    assert!(stderr(&second).contains("stand alone"), "{}", stderr(&second));
}

#[test]
fn a_stranger_is_told_nothing() {
    engine::on_each(knock_without_the_secret);
}

fn knock_without_the_secret(engine: Engine) {
    let cluster = Cluster::start(&[engine; 3]);
    // The secret itself in a header proves nothing: it is never to be sent.
    for (path, secret) in [("/status", "a-wrong-secret-of-a-test"), ("/raft/vote", SECRET), ("/", "")] {
        let mut stream = TcpStream::connect(("127.0.0.1", cluster.nodes[0].raft_port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        // It may be closed before all of it is sent.
        let _ = write!(
            stream,
            "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {secret}\r\ncontent-length: 0\r\n\r\n"
        );
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert_eq!(String::from_utf8_lossy(&answer), "", "{path}");
    }
}

#[test]
fn a_node_with_a_wrong_secret_joins_nothing_and_says_why() {
    engine::on_each(serve_with_a_wrong_secret);
}

fn serve_with_a_wrong_secret(engine: Engine) {
    let mut cluster = Cluster::start(&[engine; 3]);
    let follower = (cluster.leader() + 1) % 3;
    cluster.stop(follower);
    let mut command = cluster.command(follower);
    let mut child = command
        .env("RAFT_PROXY_CLUSTER_SECRET", "another-secret-of-the-tests")
        .stderr(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_secs(4));
    child.kill().unwrap();
    let output = child.wait_with_output().unwrap();
    let said = stderr(&output) + &String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("secret"), "{said}");
    // The others went on without it.
    let leader = cluster.leader();
    let () = redis::cmd("SET").arg("k").arg("v").query(&mut cluster.connect(leader)).unwrap();
}

#[test]
fn a_full_disk_at_start_is_told_and_nothing_is_written_over() {
    let namespace = ["--map-root-user", "--mount"];
    let probe = Command::new("unshare").args(namespace).arg("true").output().unwrap();
    if !probe.status.success() {
        // In a chroot, and in many containers: there is no file system to fill without harm to the machine's.
        not_run(format_args!("no namespace of its own is allowed here: {}", stderr(&probe)));
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    // A file system of its own, filled to the last byte, in a mount namespace of its own.
    let script = r#"
        mount -t tmpfs -o size=128k tmpfs "$1" || exit 99
        echo precious >"$1/precious"
        cat /dev/zero >"$1/filler" 2>/dev/null
        shift
        "$@" </dev/null
        code=$?
        grep -q precious "$DIR/precious" || exit 98
        exit $code
    "#;
    let output = Command::new("unshare")
        .args(namespace)
        .args(["sh", "-c", script, "sh"])
        .arg(dir.path())
        .arg(binary())
        .args(["serve", "--cluster-members", "1=127.0.0.1:16400", "--listen-resp", "127.0.0.1:0"])
        .args(["--listen-raft", "127.0.0.1:0", "--node-data-dir"])
        .arg(dir.path().join("data"))
        .env("DIR", dir.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).to_lowercase().contains("no space left"), "{}", stderr(&output));
}

#[test]
fn the_examples_are_valid_with_a_secret_and_a_password_of_ones_own() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let own = tempfile::tempdir().unwrap();
    for id in 1..=3 {
        for path in [format!("three-nodes/node{id}.conf"), format!("three-kiwi-nodes/node{id}/cluster.conf")]
        {
            let text = std::fs::read_to_string(dir.join(path)).unwrap();
            assert!(text.contains("head -c 24 /dev/urandom | base64"), "{text}");
            let text = text
                .replace("replace-me-with-32-random-letters", "q0+Z9/xK5hJYq1bq4p1oU3pQ0Yx2mC==")
                .replace("replace-me-with-a-password-of-your-own", "kN3/+w==");
            let path = own.path().join("cluster.conf");
            std::fs::write(&path, text).unwrap();
            let output = run(&["check", "--config", path.to_str().unwrap()]);
            assert!(output.status.success(), "{}", stderr(&output));
            assert!(String::from_utf8_lossy(&output.stdout).starts_with("The configuration is good: "));
        }
    }
}

#[test]
fn the_configuration_page_is_what_the_binary_prints() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    let page = std::fs::read_to_string(page).unwrap();
    let reference = String::from_utf8(run(&["config", "reference"]).stdout).unwrap();
    assert!(page.contains(&reference), "docs/configuration.md is not up to date:\n{reference}");
}
