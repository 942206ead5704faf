//! `raft-proxy demo` on Kiwis.

use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tests::cluster::{PATIENCE, beside_tests, binary};
use tests::engine::{self, Engine};
use tests::process::Parent;

fn kiwi_bin(engine: Engine) -> PathBuf {
    match std::env::var_os("KIWI_BIN") {
        Some(binary) if engine == Engine::Kiwi => binary.into(),
        _ => beside_tests("kiwi-stand-in"),
    }
}

/// The client port of a demo of three, all of whose ports are free. None of them is in the range from which the system
/// gives ports to connections.
fn free_port() -> u16 {
    let is_free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let spread = std::process::id() as u16 % 1000;
    (0..1000)
        .map(|step| 12_000 + (spread + step) % 1000 * 8)
        .find(|port| {
            let all = [0, 1_000, 10_000].into_iter().flat_map(|offset| (0..3).map(move |n| offset + n));
            all.map(|offset| port + offset).all(is_free)
        })
        .expect("some ports are free")
}

fn connect(port: u16) -> redis::Connection {
    redis::Client::open(format!("redis://127.0.0.1:{port}/")).unwrap().get_connection().unwrap()
}

#[test]
fn a_demo_on_kiwis_writes_to_all_of_them_and_leaves_nothing_running() {
    engine::on_each_kiwi(run_demo);
}

fn run_demo(engine: Engine) {
    let (dir, port) = (tempfile::tempdir().unwrap(), free_port());
    let mut command = Command::new(binary());
    command
        .args(["demo", "--backend", "kiwi", "--port", &port.to_string(), "--kiwi-bin"])
        .arg(kiwi_bin(engine));
    command.arg("--dir").arg(dir.path()).stdout(Stdio::piped()).stdin(Stdio::null());
    let mut demo = Parent(command.spawn().unwrap());
    let mut lines = BufReader::new(demo.0.stdout.take().unwrap()).lines();
    let said: Vec<String> =
        lines.by_ref().map(Result::unwrap).take_while(|line| !line.contains("Ctrl-C")).collect();
    assert_eq!(said.iter().filter(|line| line.contains("its Kiwi")).count(), 3, "{said:?}");
    let () = redis::cmd("SET").arg("greeting").arg("hello").query(&mut connect(port)).unwrap();
    let deadline = Instant::now() + PATIENCE;
    for kiwi in port + 1000..port + 1003 {
        let mut kiwi = connect(kiwi);
        while redis::cmd("GET").arg("greeting").query::<Option<String>>(&mut kiwi).unwrap().is_none() {
            assert!(Instant::now() < deadline);
        }
    }
    kill(Pid::from_raw(demo.0.id() as i32), Signal::SIGINT).unwrap();
    assert!(demo.0.wait().unwrap().success());
    for port in [port, port + 1, port + 2, port + 1000, port + 1001, port + 1002] {
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "{port} is served still");
    }
}

#[test]
fn a_demo_says_what_it_needs_and_why_a_kiwi_has_not_started() {
    let run = |args: &[&str]| {
        let mut command = Command::new(binary());
        command.args(["demo", "--port", &free_port().to_string()]).args(args).env("PATH", "/nowhere");
        let output = command.stdin(Stdio::null()).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, said) = run(&["--backend", "kiwi"]);
    assert!(code == Some(64) && said.contains("--kiwi-bin PATH"), "{code:?} {said}");
    let (code, said) = run(&["--backend", "kiwi", "--kiwi-bin", "/nowhere/kiwi"]);
    assert!(code == Some(64) && said.contains("/nowhere/kiwi"), "{code:?} {said}");
    let (code, said) = run(&["--kiwi-bin", "/bin/true"]);
    assert!(code == Some(64) && said.contains("--backend kiwi"), "{code:?} {said}");
    // Something that ends at once and says why.
    let (code, said) = run(&["--backend", "kiwi", "--kiwi-bin", "/bin/cat"]);
    assert!(
        code == Some(1) && said.contains("ended with exit code") && said.contains("--config"),
        "{code:?} {said}"
    );
}
