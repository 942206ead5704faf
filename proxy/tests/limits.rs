//! Who is idle, who has to prove itself, and who makes room, on real sockets.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use support::{Client, TestServer};
use tokio::io::AsyncReadExt;
use tokio::time::sleep;

const IDLE: Duration = Duration::from_millis(300);
const VALUE: usize = 32 << 20;

/// A server with a value that is longer than what the kernel keeps of it on its way.
async fn with_long_value(idle: Duration) -> TestServer {
    let server = TestServer::with(|config| config.limits.reply_buffer_bytes = 2 * VALUE).await;
    let mut client = server.client().await;
    client.send(format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${VALUE}\r\n")).await;
    client.send(vec![b'v'; VALUE]).await;
    client.ask("\r\n", "+OK\r\n").await;
    let idle = format!("CONFIG SET limits.idle_timeout {}ms\r\n", idle.as_millis());
    client.ask(idle, "+OK\r\n").await;
    server
}

async fn read_value(client: &mut Client, pause: Duration) {
    client.expect(format!("${VALUE}\r\n")).await;
    let mut piece = vec![0; VALUE / 32];
    for _ in 0..32 {
        // So slow is this client.
        sleep(pause).await;
        client.0.read_exact(&mut piece).await.unwrap();
        assert!(piece.iter().all(|byte| *byte == b'v'));
    }
    client.expect("\r\n").await;
}

#[tokio::test]
async fn a_client_that_reads_a_long_reply_steadily_is_not_idle() {
    let server = with_long_value(IDLE).await;
    let mut client = server.client().await;
    let began = Instant::now();
    client.send("GET k\r\n").await;
    read_value(&mut client, Duration::from_millis(40)).await;
    assert!(began.elapsed() > 3 * IDLE, "it was not slow");
    client.ask("PING\r\n", "+PONG\r\n").await;
    let asked = Instant::now();
    client.expect_closed().await;
    assert!(asked.elapsed() >= IDLE * 9 / 10, "{:?}", asked.elapsed());
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_idle_also_in_the_middle_of_its_pipeline() {
    let server = with_long_value(IDLE).await;
    let mut client = server.client().await;
    // More than may wait for it: the third is made when there is room.
    client.send("GET k\r\n".repeat(4)).await;
    let deadline = Instant::now() + Duration::from_secs(5);
    while server.client().await.say("CLIENT LIST\r\n").await.contains(" cmd=get ") {
        assert!(Instant::now() < deadline, "it is not closed");
    }
}

#[tokio::test]
async fn a_client_that_has_said_nothing_makes_room_for_one_that_has_something_to_say() {
    let server = TestServer::with(|config| {
        config.limits.max_clients = 2;
        config.limits.handshake_timeout = Duration::from_millis(100);
    })
    .await;
    let mut silent = server.client().await;
    let mut first = server.client().await;
    first.ask("GET a\r\n", "$-1\r\n").await;
    let deadline = Instant::now() + Duration::from_secs(5);
    let mut second = loop {
        let mut client = server.client().await;
        // One of those for administration, as long as the silent one is young.
        if client.say("GET a\r\n").await == "$-1\r\n" {
            break client;
        }
        assert!(Instant::now() < deadline, "nobody makes room");
    };
    silent.expect_closed().await;
    for client in [&mut first, &mut second] {
        client.ask("GET a\r\n", "$-1\r\n").await;
    }
    // Those who have spoken stay, however long they are silent.
    sleep(Duration::from_millis(150)).await;
    server.client().await.ask("GET a\r\n", "-ERR max number of clients reached\r\n").await;
    first.ask("GET a\r\n", "$-1\r\n").await;
}

#[tokio::test]
async fn whoever_does_not_give_the_password_in_time_is_closed() {
    let server = TestServer::with(|config| {
        config.listen.password = "secret".to_owned();
        config.limits.handshake_timeout = Duration::from_millis(200);
    })
    .await;
    let (mut silent, mut stranger, mut known) =
        (server.client().await, server.client().await, server.client().await);
    known.ask("AUTH secret\r\n", "+OK\r\n").await;
    let began = Instant::now();
    let mut got = [0; 64];
    loop {
        // Who goes on talking is not idle, and is closed all the same.
        if tokio::io::AsyncWriteExt::write_all(&mut stranger.0, b"PING\r\n").await.is_err() {
            break;
        }
        match stranger.0.read(&mut got).await {
            Ok(1..) => assert!(got.starts_with(b"-NOAUTH")),
            Ok(0) | Err(_) => break,
        }
        assert!(began.elapsed() < Duration::from_secs(5), "a stranger talks on");
    }
    silent.expect_closed().await;
    known.ask("PING\r\n", "+PONG\r\n").await;
}

#[tokio::test]
async fn client_list_shows_the_command_that_runs_and_not_the_one_before() {
    let server = TestServer::start().await;
    let mut busy = server.client().await;
    busy.ask("CLIENT ID\r\n", ":1\r\n").await;
    server.service.gate.forget_permits(usize::MAX >> 3);
    let value = "v".repeat(5000);
    busy.send(format!("SET a {value}\r\n")).await;
    while server.service.proposals.load(Ordering::Relaxed) == 0 {
        tokio::task::yield_now().await;
    }
    let list = server.client().await.say("CLIENT LIST ID 1\r\n").await;
    assert!(list.contains(" cmd=set "), "{list}");
    let argv_mem = format!(" argv-mem={} ", "SETa".len() + value.len());
    assert!(list.contains(&argv_mem), "{list}");
    server.service.gate.add_permits(1);
    busy.expect("+OK\r\n").await;
}

#[tokio::test]
async fn one_address_may_have_a_bound_and_this_machine_has_none() {
    let server = TestServer::with(|config| config.limits.max_clients_per_address = 1).await;
    let mut clients = [server.client().await, server.client().await];
    for client in &mut clients {
        client.ask("PING\r\n", "+PONG\r\n").await;
    }
}
