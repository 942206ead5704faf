//! Connections byte by byte, on real sockets.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::sync::atomic::Ordering;
use std::time::Duration;

use raft::ProposeError;
use support::TestServer;
use tokio::io::AsyncReadExt;

#[tokio::test]
async fn input_in_single_bytes_is_answered_like_input_at_once() {
    let server = TestServer::start().await;
    let input = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$2\r\n\r\n\r\nGET k\r\n*1\r\n$4\r\nPING\r\nECHO \"a b\"\r\n";
    let expected = "+OK\r\n$2\r\n\r\n\r\n+PONG\r\n$3\r\na b\r\n";
    server.client().await.ask(input, expected).await;
    let mut client = server.client().await;
    for byte in input {
        client.send([*byte]).await;
    }
    client.expect(expected).await;
}

#[tokio::test]
async fn writes_of_a_pipeline_are_one_proposal_and_reads_share_one_barrier() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let writes: String = (0..50).map(|n| format!("SET k{n} {n}\r\n")).collect();
    let reads: String = (0..50).map(|n| format!("GET k{n}\r\n")).collect();
    let values: String = (0..50).map(|n| format!("${}\r\n{n}\r\n", n.to_string().len())).collect();
    client.ask(writes.clone() + &reads, "+OK\r\n".repeat(50) + &values).await;
    assert_eq!(server.service.proposals.load(Ordering::Relaxed), 1);
    assert_eq!(server.service.barriers.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn replies_come_in_the_order_of_the_requests_and_reads_see_the_writes_before_them() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    client
        .ask(
            "INCR n\r\nGET n\r\nINCR n\r\nPING\r\nINCR n\r\nnonsense\r\nGET n\r\nGET\r\nDBSIZE\r\nSET n x\r\nINCR n\r\n",
            ":1\r\n$1\r\n1\r\n:2\r\n+PONG\r\n:3\r\n\
             -ERR unknown command 'nonsense', with args beginning with: \r\n$1\r\n3\r\n\
             -ERR wrong number of arguments for 'get' command\r\n:1\r\n+OK\r\n\
             -ERR value is not an integer or out of range\r\n",
        )
        .await;
}

#[tokio::test]
async fn an_unknown_outcome_is_told_for_every_write_of_the_group_and_reads_say_why_they_failed() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    *server.service.fails.lock().unwrap() = Some(ProposeError::Unknown);
    client
        .ask("SET a 1\r\nSET b 2\r\nPING\r\n", "-TIMEOUT not committed yet\r\n".repeat(2) + "+PONG\r\n")
        .await;
    *server.service.fails.lock().unwrap() = Some(ProposeError::NoLeader);
    client.ask("SET a 1\r\n", "-CLUSTERDOWN No raft leader\r\n").await;
    server.service.no_quorum.store(true, Ordering::Relaxed);
    client.ask("GET a\r\nGET b\r\n", "-TIMEOUT no quorum for read\r\n".repeat(2)).await;
}

#[tokio::test]
async fn a_read_that_meets_a_due_key_has_the_log_remove_it_first() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    client.ask("SET a 1 PX 20\r\nSET b 2 PX 20\r\nSET c 3\r\n", "+OK\r\n".repeat(3)).await;
    tokio::time::sleep(Duration::from_millis(40)).await;
    client
        .ask("GET c\r\nGET a\r\nGET b\r\nGET c\r\nDBSIZE\r\n", "$1\r\n3\r\n$-1\r\n$-1\r\n$1\r\n3\r\n:1\r\n")
        .await;
    // One removal for both.
    assert_eq!(server.service.proposals.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_due_key_that_cannot_be_removed_is_not_answered_as_missing() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    client.ask("SET a 1 PX 20\r\nSET c 3\r\n", "+OK\r\n".repeat(2)).await;
    tokio::time::sleep(Duration::from_millis(40)).await;
    *server.service.fails.lock().unwrap() = Some(ProposeError::NoLeader);
    client.ask("GET c\r\nGET a\r\nGET c\r\n", "$1\r\n3\r\n-CLUSTERDOWN No raft leader\r\n$1\r\n3\r\n").await;
}

#[tokio::test]
async fn internal_commands_are_unknown_to_clients() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    client
        .ask("raft.expire k\r\n", "-ERR unknown command 'raft.expire', with args beginning with: 'k' \r\n")
        .await;
    assert!(!client.say("COMMAND LIST\r\n").await.contains("raft.expire"));
    client.ask("COMMAND INFO raft.keyspace\r\n", "*1\r\n$-1\r\n").await;
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_waited_for_and_costs_bounded_memory() {
    const LIMIT: usize = 1024 * 1024;
    let server = TestServer::with(|config| config.limits.reply_buffer_bytes = LIMIT).await;
    let mut greedy = server.client().await;
    greedy.ask(format!("SET k {}\r\n", "x".repeat(50_000)), "+OK\r\n").await;
    greedy.send("GET k\r\n".repeat(1000)).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let list = server.client().await.say("CLIENT LIST ID 1\r\n").await;
    let unsent: usize = list.split(" omem=").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    assert!(unsent <= LIMIT, "{list}");
    let reply = format!("$50000\r\n{}\r\n", "x".repeat(50_000));
    for _ in 0..1000 {
        greedy.expect(&reply).await;
    }
}

#[tokio::test]
async fn a_client_may_send_a_long_pipeline_before_it_reads_the_first_reply() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let value = "x".repeat(1000);
    client.ask(format!("SET k {value}\r\n"), "+OK\r\n").await;
    // More than the sockets' buffers hold in either direction.
    let request = format!("ECHO {value}\r\nGET k\r\n");
    for _ in 0..200 {
        tokio::time::timeout(Duration::from_secs(20), client.send(request.repeat(100))).await.unwrap();
    }
    let reply = format!("$1000\r\n{value}\r\n");
    for _ in 0..200 {
        client.expect(reply.repeat(200)).await;
    }
}

#[tokio::test]
async fn values_of_many_megabytes_go_in_and_out() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let value = vec![b'v'; 20 << 20];
    client.send(format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${}\r\n", value.len())).await;
    client.send(&value).await;
    client.ask("\r\n", "+OK\r\n").await;
    client.send("GET k\r\nPING\r\n").await;
    client.expect(format!("${}\r\n", value.len())).await;
    let mut got = vec![0; value.len()];
    client.0.read_exact(&mut got).await.unwrap();
    assert!(got == value);
    client.expect("\r\n+PONG\r\n").await;
}

#[tokio::test]
async fn one_client_too_many_is_told_so() {
    let server = TestServer::with(|config| config.limits.max_clients = 1).await;
    let mut first = server.client().await;
    first.ask("PING\r\n", "+PONG\r\n").await;
    let mut second = server.client().await;
    second.expect("-ERR max number of clients reached\r\n").await;
    second.expect_closed().await;
    first.ask("CONFIG SET maxclients 2\r\n", "+OK\r\n").await;
    server.client().await.ask("PING\r\n", "+PONG\r\n").await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_the_timeout() {
    let server = TestServer::with(|config| config.limits.idle_timeout = Duration::from_millis(100)).await;
    let mut client = server.client().await;
    client.ask("PING\r\n", "+PONG\r\n").await;
    client.expect_closed().await;
}

#[tokio::test]
async fn a_shutdown_lets_the_pipeline_that_runs_finish_and_closes_idle_connections() {
    let server = TestServer::start().await;
    let (mut busy, mut idle) = (server.client().await, server.client().await);
    idle.ask("PING\r\n", "+PONG\r\n").await;
    let service = std::sync::Arc::clone(&server.service);
    service.gate.forget_permits(usize::MAX >> 3);
    busy.send("SET a 1\r\nGET a\r\n").await;
    while service.proposals.load(Ordering::Relaxed) == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    server.stop();
    idle.expect_closed().await;
    service.gate.add_permits(1);
    busy.expect("+OK\r\n$1\r\n1\r\n").await;
    busy.expect_closed().await;
    assert!(server.stopped().await);
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_ever() {
    let server = TestServer::start().await;
    server.service.gate.forget_permits(usize::MAX >> 3);
    let mut stuck = server.client().await;
    stuck.send("SET a 1\r\n").await;
    while server.service.proposals.load(Ordering::Relaxed) == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    server.stop();
    assert!(!server.stopped().await);
}
