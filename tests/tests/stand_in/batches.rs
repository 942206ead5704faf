//! Batches, and too many connections.

use std::io::{ErrorKind, Read};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tests::differential::resp::Frame;
use tests::kiwi::Kiwi;
use tests::raw::Client;

use crate::{on_each_with, stand_in, wait_for};

#[test]
fn a_pipeline_on_one_connection_is_slow_and_a_hundred_connections_are_fast() {
    on_each_with(&[], &[], |server| {
        let mut one = server.raw();
        let started = Instant::now();
        (0..30).for_each(|_| one.send(&[b"SET", b"k", b"v"]));
        (0..30).for_each(|_| drop(one.receive()));
        let alone = started.elapsed();
        assert!(alone >= Duration::from_millis(300), "30 commands in {alone:?}");

        let mut many: Vec<Client> = (0..100).map(|_| server.raw()).collect();
        let started = Instant::now();
        for _ in 0..10 {
            many.iter_mut().for_each(|client| client.send(&[b"SET", b"k", b"v"]));
            many.iter_mut().for_each(|client| drop(client.receive()));
        }
        let together = started.elapsed();
        assert!(together < alone, "1000 commands of 100 clients in {together:?}, 30 of one in {alone:?}");

        let started = Instant::now();
        (0..1000).for_each(|_| one.send(&[b"PING"]));
        (0..1000).for_each(|_| drop(one.receive()));
        assert!(started.elapsed() < alone, "PING waits for no batch");
    });
}

#[test]
fn commands_of_one_batch_take_effect_in_any_order() {
    let server = stand_in(&[]);
    let mut clients: Vec<Client> = (0..20).map(|_| server.raw()).collect();
    wait_for("a write sent earlier takes effect later", || {
        for (index, client) in clients.iter_mut().enumerate() {
            client.send(&[b"SET", b"k", index.to_string().as_bytes()]);
        }
        clients.iter_mut().for_each(|client| drop(client.receive()));
        (clients[0].ask("GET k") != "\"19\"").then_some(())
    });
}

/// A thousand connections that are served.
fn fill(server: &Kiwi) -> Vec<Client> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    let mut clients: Vec<Client> = (0..1000).map(|_| server.raw()).collect();
    clients.iter_mut().for_each(|client| client.send(&[b"PING"]));
    clients.iter_mut().for_each(|client| assert_eq!(client.receive(), Frame::Status("PONG".into())));
    clients
}

#[test]
fn the_connection_behind_the_thousandth_is_served_when_another_goes() {
    let server = stand_in(&[]);
    let mut clients = fill(&server);
    let mut late = server.raw();
    late.send(&[b"PING"]);
    assert!(late.hangs());
    clients.pop().unwrap().stream.shutdown(Shutdown::Both).unwrap();
    assert_eq!(late.receive(), Frame::Status("PONG".into()));
}

#[test]
fn the_connection_behind_the_thousandth_is_reset_after_30_seconds() {
    on_each_with(&[], &[], |server| {
        // A real one counts the connection that has found it listening until it has noticed its end.
        std::thread::sleep(Duration::from_millis(100));
        let _clients = fill(&server);
        let mut late = server.raw();
        late.send(&[b"PING"]);
        let since = Instant::now();
        late.stream.set_read_timeout(Some(Duration::from_secs(40))).unwrap();
        assert_eq!(late.stream.read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::ConnectionReset);
        let after = since.elapsed();
        assert!((Duration::from_secs(29)..Duration::from_secs(35)).contains(&after), "{after:?}");
    });
}
