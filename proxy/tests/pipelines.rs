//! Pipelines that mix reads and writes: what is one proposal, what waits for what, and every reply, byte by byte.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::sync::atomic::Ordering;

use raft::{Consistency, ProposeError};
use support::TestServer;

use Consistency::{Eventual, Linearizable, Session};

/// Proposals, and the level and position of each barrier, since the last call.
fn costs(server: &TestServer) -> (usize, Vec<(Consistency, u64)>) {
    let proposals = server.service.proposals.swap(0, Ordering::Relaxed);
    (proposals, server.service.barriers.lock().unwrap().drain(..).collect())
}

/// The reply that is this text.
fn bulk(text: &str) -> String {
    format!("${}\r\n{text}\r\n", text.len())
}

#[tokio::test]
async fn set_and_get_in_turn_are_one_proposal_and_the_last_read_waits_for_it() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let pairs: String = (0..16).map(|n| format!("SET k {n}\r\nGET k\r\n")).collect();
    let replies: String = (0..16).map(|n| format!("+OK\r\n{}", bulk(&n.to_string()))).collect();
    client.ask(pairs.clone(), &replies).await;
    assert_eq!(costs(&server), (1, vec![(Session, 1)]));
    client.ask(format!("RAFT.CONSISTENCY lease\r\n{pairs}"), format!("+OK\r\n{replies}")).await;
    assert_eq!(costs(&server), (1, vec![(Session, 2)]));
    let named = pairs.replace("GET", "RAFT.READ linearizable GET");
    client.ask(named, &replies).await;
    assert_eq!(costs(&server), (1, vec![(Session, 3)]));
}

#[tokio::test]
async fn reads_before_the_first_write_have_a_barrier_of_their_level_and_no_read_behind_a_write_has() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let asked = "GET a\r\nGET b\r\nSET a 1\r\nKEYS *\r\nPING\r\nGET a\r\nRAFT.READ lease GET a\r\nSET a 2\r\nGET a\r\n";
    let replies = "$-1\r\n$-1\r\n+OK\r\n*1\r\n$1\r\na\r\n+PONG\r\n$1\r\n1\r\n$1\r\n1\r\n+OK\r\n$1\r\n2\r\n";
    client.ask(asked, replies).await;
    let behind_first = (Session, 1);
    assert_eq!(
        costs(&server),
        (2, vec![(Linearizable, 0), behind_first, behind_first, behind_first, (Session, 2)])
    );
    // What was committed for an earlier pipeline confirms nothing now.
    client.ask("GET a\r\n", bulk("2")).await;
    assert_eq!(costs(&server), (0, vec![(Linearizable, 2)]));
    client
        .ask(
            "MULTI\r\nSET a 3\r\nEXEC\r\nGET a\r\nMULTI\r\nGET a\r\nEXEC\r\n",
            "+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n$1\r\n3\r\n+OK\r\n+QUEUED\r\n*1\r\n$1\r\n3\r\n",
        )
        .await;
    assert_eq!(costs(&server), (1, vec![(Session, 3), (Session, 3)]));
}

#[tokio::test]
async fn reads_of_other_levels_stay_out_of_the_log() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    for (level, barrier) in [("session", Session), ("eventual", Eventual)] {
        client.ask(format!("RAFT.CONSISTENCY {level}\r\n"), "+OK\r\n").await;
        let pairs = "SET k 1\r\nGET k\r\nSET k 2\r\nGET k\r\n".repeat(2);
        client.ask(pairs, "+OK\r\n$1\r\n1\r\n+OK\r\n$1\r\n2\r\n".repeat(2)).await;
        let (proposals, barriers) = costs(&server);
        assert_eq!(proposals, 4);
        assert!(barriers.iter().all(|(level, _)| *level == barrier), "{barriers:?}");
    }
}

#[tokio::test]
async fn what_may_be_large_or_slow_or_is_too_much_does_not_ride_and_sees_the_same() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let large = "x".repeat(20_000);
    client.ask(format!("SET large {large}\r\nHSET hash large {large} small s\r\n"), "+OK\r\n:2\r\n").await;
    costs(&server);
    let (large, small) = (bulk(&large), bulk("s"));
    for (read, reply, proposals) in [
        ("GET large", &*large, 2),
        ("MGET none large", &*format!("*2\r\n$-1\r\n{large}"), 2),
        ("HGET hash large", &*large, 2),
        ("HGET hash small", &*small, 1),
        ("HMGET hash small none", &*format!("*2\r\n{small}$-1\r\n"), 1),
        ("STRLEN large", ":20000\r\n", 1),
        ("EXISTS large hash none", ":2\r\n", 1),
        ("LRANGE list 0 -1", "*0\r\n", 2),
        ("GETRANGE large 0 0", "$1\r\nx\r\n", 2),
        ("TYPE hash", "+hash\r\n", 1),
    ] {
        client
            .ask(
                format!("SET a 1\r\n{read}\r\nGET a\r\nSET a 2\r\n"),
                "+OK\r\n".to_owned() + reply + "$1\r\n1\r\n+OK\r\n",
            )
            .await;
        assert_eq!(costs(&server).0, proposals, "{read}");
    }
    // A value that is large only by the write before it.
    let grown = bulk(&"\0".repeat(20_001));
    client
        .ask(
            "SETBIT new 160000 0\r\nSTRLEN new\r\nGET new\r\nSET a 1\r\n",
            format!(":0\r\n:20001\r\n{grown}+OK\r\n"),
        )
        .await;
    assert_eq!(costs(&server).0, 2);
    for (reads, proposals) in [(64, 1), (65, 2)] {
        let asked = format!("SET a 1\r\n{}SET a 2\r\n", "GET a\r\n".repeat(reads));
        client.ask(asked, "+OK\r\n".to_owned() + &bulk("1").repeat(reads) + "+OK\r\n").await;
        assert_eq!(costs(&server).0, proposals, "{reads} reads");
    }
}

#[tokio::test]
async fn errors_of_reads_that_ride_stand_in_their_place() {
    let server = TestServer::start().await;
    let wrong_type = "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n";
    let asked = "RPUSH l 1\r\nGET l\r\nHGET l f\r\nMGET l\r\nSET a 1\r\nGET l\r\nINCR l\r\nGET a\r\nSET a 2\r\nGET\r\nGET a\r\nSET b 1\r\n";
    let replies = format!(
        ":1\r\n{wrong_type}{wrong_type}*1\r\n$-1\r\n+OK\r\n{wrong_type}{wrong_type}$1\r\n1\r\n+OK\r\n\
         -ERR wrong number of arguments for 'get' command\r\n$1\r\n2\r\n+OK\r\n"
    );
    server.client().await.ask(asked, replies).await;
    // The call that is none ends the entry.
    assert_eq!(costs(&server).0, 2);
}

#[tokio::test]
async fn a_read_that_rides_is_answered_as_the_writes_around_it() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    *server.service.fails.lock().unwrap() = Some(ProposeError::Unknown);
    let unknown = "-TIMEOUT not committed yet\r\n".repeat(3);
    client.ask("SET a 1\r\nGET a\r\nSET a 2\r\nGET a\r\n", unknown + "$-1\r\n").await;
    // Nothing was committed that could stand for the round of the last read.
    assert_eq!(costs(&server), (1, vec![(Linearizable, 0)]));
}

#[tokio::test]
async fn a_reply_that_is_skipped_is_that_of_the_one_command() {
    let server = TestServer::start().await;
    let asked = "SET a 1\r\nGET a\r\nSET a 2\r\nCLIENT REPLY SKIP\r\nGET a\r\nSET a 3\r\nGET a\r\n\
                 CLIENT REPLY SKIP\r\nSET a 4\r\nGET a\r\nSET a 5\r\nGET a\r\n";
    let replies = "+OK\r\n$1\r\n1\r\n+OK\r\n+OK\r\n$1\r\n3\r\n$1\r\n4\r\n+OK\r\n$1\r\n5\r\n";
    server.client().await.ask(asked, replies).await;
}

#[tokio::test]
async fn a_key_that_is_due_is_gone_for_reads_in_the_entry_and_behind_it() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    client.ask("SET k v PX 10\r\nSET l v PX 10\r\n", "+OK\r\n".repeat(2)).await;
    tokio::time::sleep(std::time::Duration::from_millis(30)).await;
    costs(&server);
    client.ask("SET a 1\r\nGET k\r\nSET a 2\r\n", "+OK\r\n$-1\r\n+OK\r\n").await;
    assert_eq!(costs(&server).0, 1);
    // This one has the log remove it, as any linearizable read does.
    client.ask("SET a 1\r\nGET l\r\n", "+OK\r\n$-1\r\n").await;
    assert_eq!(costs(&server).0, 2);
}
