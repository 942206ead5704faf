//! Naming a level of consistency, tokens and waiting: every reply and every error, byte by byte.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::sync::atomic::Ordering;
use std::time::Duration;

use raft::Consistency;
use support::TestServer;

const BOUNDED: Consistency = Consistency::Bounded(Duration::from_millis(500));

/// The levels of the barriers so far.
fn levels(server: &TestServer) -> Vec<Consistency> {
    server.service.barriers.lock().unwrap().drain(..).map(|(level, _)| level).collect()
}

#[tokio::test]
async fn a_connection_has_the_level_that_it_was_given_until_it_is_given_another() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    client.ask("RAFT.CONSISTENCY\r\nGET k\r\n", "$12\r\nlinearizable\r\n$-1\r\n").await;
    client
        .ask(
            "raft.consistency BOUNDED 500\r\nRAFT.CONSISTENCY\r\nGET k\r\n",
            "+OK\r\n$11\r\nbounded 500\r\n$-1\r\n",
        )
        .await;
    for level in ["lease", "session", "eventual", "linearizable"] {
        client.ask(format!("RAFT.CONSISTENCY {level}\r\nGET k\r\n"), "+OK\r\n$-1\r\n").await;
    }
    client.ask("READONLY\r\nGET k\r\nRAFT.CONSISTENCY\r\n", "+OK\r\n$-1\r\n$8\r\neventual\r\n").await;
    client.ask("READWRITE\r\nGET k\r\n", "+OK\r\n$-1\r\n").await;
    client.ask("READONLY\r\nRESET\r\nGET k\r\n", "+OK\r\n+RESET\r\n$-1\r\n").await;
    // Another connection has its own.
    server.client().await.ask("GET k\r\n", "$-1\r\n").await;
    use Consistency::{Eventual, Lease, Linearizable, Session};
    assert_eq!(
        levels(&server),
        [
            Linearizable,
            BOUNDED,
            Lease,
            Session,
            Eventual,
            Linearizable,
            Eventual,
            Linearizable,
            Linearizable,
            Linearizable
        ]
    );
}

#[tokio::test]
async fn what_is_no_level_changes_nothing_and_is_told() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    client.ask("RAFT.CONSISTENCY session\r\n", "+OK\r\n").await;
    let unknown = "-ERR unknown consistency level 'strong', it must be linearizable, lease, session, bounded or eventual\r\n";
    for (call, reply) in [
        ("RAFT.CONSISTENCY strong", unknown),
        ("RAFT.READ strong GET k", unknown),
        ("RAFT.CONSISTENCY bounded", "-ERR the level bounded needs a bound in milliseconds\r\n"),
        ("RAFT.READ bounded GET k", "-ERR the level bounded needs a bound in milliseconds\r\n"),
        ("RAFT.CONSISTENCY bounded soon", "-ERR value is not an integer or out of range\r\n"),
        ("RAFT.CONSISTENCY bounded -1", "-ERR value is not an integer or out of range\r\n"),
        ("RAFT.CONSISTENCY bounded 86400001", "-ERR a bound is at most 86400000 ms\r\n"),
        ("RAFT.CONSISTENCY eventual 5", "-ERR the level eventual has no bound, only bounded has\r\n"),
        ("RAFT.READ lease MAXLAG 5 GET k", "-ERR the level lease has no bound, only bounded has\r\n"),
        ("RAFT.READ bounded MAXLAG x GET k", "-ERR value is not an integer or out of range\r\n"),
        ("RAFT.READ bounded MAXLAG 5", "-ERR wrong number of arguments for 'raft.read' command\r\n"),
        ("RAFT.READ bounded MAXLAG", "-ERR wrong number of arguments for 'raft.read' command\r\n"),
        ("RAFT.READ eventual", "-ERR wrong number of arguments for 'raft.read' command\r\n"),
        ("RAFT.CONSISTENCY bounded 5 5", "-ERR syntax error\r\n"),
        ("RAFT.READ eventual GET", "-ERR wrong number of arguments for 'get' command\r\n"),
        (
            "RAFT.READ eventual nonsense k",
            "-ERR unknown command 'nonsense', with args beginning with: 'k' \r\n",
        ),
        (
            "RAFT.READ eventual SET k v",
            "-ERR RAFT.READ is for commands that read data and write none, 'set' is no such command\r\n",
        ),
        (
            "RAFT.READ eventual PING",
            "-ERR RAFT.READ is for commands that read data and write none, 'ping' is no such command\r\n",
        ),
        (
            "RAFT.READ eventual RAFT.READ eventual GET k",
            "-ERR RAFT.READ is for commands that read data and write none, 'raft.read' is no such command\r\n",
        ),
        (
            "RAFT.READ eventual CLIENT ID",
            "-ERR RAFT.READ is for commands that read data and write none, 'client|id' is no such command\r\n",
        ),
    ] {
        client.ask(format!("{call}\r\n"), reply).await;
    }
    client.ask("RAFT.CONSISTENCY\r\n", "$7\r\nsession\r\n").await;
    assert_eq!(levels(&server), [], "a read was begun");
    assert_eq!(server.service.proposals.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn reads_of_one_level_share_a_barrier_and_those_of_another_have_their_own() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    client.ask("SET k v\r\n", "+OK\r\n").await;
    let eventual = "RAFT.READ eventual GET k\r\n".repeat(20);
    let bounded = "RAFT.READ bounded MAXLAG 500 GET k\r\n".repeat(20);
    let session = "raft.read SESSION strlen k\r\n";
    let plain = "GET k\r\n".repeat(20);
    client
        .ask(
            format!("{plain}{eventual}{session}{bounded}{plain}RAFT.READ linearizable GET k\r\n"),
            "$1\r\nv\r\n".repeat(40) + ":1\r\n" + &"$1\r\nv\r\n".repeat(41),
        )
        .await;
    use Consistency::{Eventual, Linearizable, Session};
    assert_eq!(levels(&server), [Linearizable, Eventual, Session, BOUNDED, Linearizable]);
    // The level of a single read is not the connection's.
    client.ask("RAFT.CONSISTENCY\r\n", "$12\r\nlinearizable\r\n").await;
}

#[tokio::test]
async fn the_configuration_says_the_level_of_reads_that_name_none() {
    let server = TestServer::with(|config| config.raft.consistency = Consistency::Session).await;
    server.client().await.ask("RAFT.CONSISTENCY\r\n", "$7\r\nsession\r\n").await;
    let server = TestServer::with(|config| {
        config.raft.consistency = Consistency::Session;
        config.listen.consistency = Some(BOUNDED);
    })
    .await;
    let mut client = server.client().await;
    client.ask("RAFT.CONSISTENCY\r\nREADONLY\r\nREADWRITE\r\n", "$11\r\nbounded 500\r\n+OK\r\n+OK\r\n").await;
    client.ask("GET k\r\nRESET\r\nGET k\r\n", "$-1\r\n+RESET\r\n$-1\r\n").await;
    assert_eq!(levels(&server), [BOUNDED, BOUNDED]);
}

#[tokio::test]
async fn only_linearizable_and_lease_reads_have_the_log_remove_what_is_due() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    client.ask("SET k v PX 10\r\n", "+OK\r\n").await;
    tokio::time::sleep(Duration::from_millis(30)).await;
    for level in ["eventual", "session", "bounded MAXLAG 500"] {
        client.ask(format!("RAFT.READ {level} GET k\r\n"), "$-1\r\n").await;
        client.ask(format!("RAFT.READ {level} EXISTS k\r\n"), ":0\r\n").await;
    }
    assert_eq!(server.service.proposals.load(Ordering::Relaxed), 1);
    client.ask("RAFT.READ lease GET k\r\n", "$-1\r\n").await;
    assert_eq!(server.service.proposals.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_token_is_the_position_that_a_connection_has_written_or_read() {
    let server = TestServer::start().await;
    let (mut writer, mut reader) = (server.client().await, server.client().await);
    writer.ask("RAFT.TOKEN\r\n", ":0\r\n").await;
    writer
        .ask(
            "SET a 1\r\nSET b 2\r\nPING\r\nSET c 3\r\nRAFT.TOKEN\r\n",
            "+OK\r\n+OK\r\n+PONG\r\n+OK\r\n:2\r\n",
        )
        .await;
    // One that has only read has seen what was there.
    reader.ask("RAFT.TOKEN\r\nRAFT.READ eventual GET a\r\nRAFT.TOKEN\r\n", ":0\r\n$1\r\n1\r\n:2\r\n").await;
    reader.ask("RESET\r\nRAFT.TOKEN\r\n", "+RESET\r\n:0\r\n").await;
}

#[tokio::test]
async fn a_token_that_was_waited_for_is_the_sessions_own() {
    let server = TestServer::start().await;
    let (mut writer, mut reader) = (server.client().await, server.client().await);
    writer.ask("SET a 1\r\n", "+OK\r\n").await;
    reader.ask("RAFT.WAIT 1 100\r\nRAFT.TOKEN\r\n", "+OK\r\n:1\r\n").await;
    reader.ask("RAFT.WAIT 0 1\r\nRAFT.TOKEN\r\n", "+OK\r\n:1\r\n").await;
    reader.ask("RAFT.WAIT 3 20\r\n", "-TIMEOUT this node has not applied index 3 yet\r\n").await;
    reader.ask("RAFT.READ session GET a\r\n", "$1\r\n1\r\n").await;
    assert_eq!(*server.service.barriers.lock().unwrap(), [(Consistency::Session, 3)]);
    let no_token = "-ERR a token is a number that RAFT.TOKEN has answered\r\n";
    reader.ask("RAFT.WAIT x 1\r\n", no_token).await;
    reader.ask("RAFT.WAIT -1 1\r\n", no_token).await;
    reader.ask("RAFT.WAIT 1 x\r\n", "-ERR timeout is not an integer or out of range\r\n").await;
    reader.ask("RAFT.WAIT 1 -1\r\n", "-ERR timeout is negative\r\n").await;
    reader.ask("RAFT.WAIT 1\r\n", "-ERR wrong number of arguments for 'raft.wait' command\r\n").await;
}

#[tokio::test]
async fn wait_and_waitaof_tell_how_far_the_last_write_is_with_the_errors_of_redis() {
    let server = TestServer::start().await;
    let (mut client, mut other) = (server.client().await, server.client().await);
    client.ask("SET a 1\r\nWAIT 1 0\r\nWAIT 2 20\r\n", "+OK\r\n:1\r\n:1\r\n").await;
    client.ask("WAITAOF 1 1 0\r\nWAITAOF 0 2 20\r\n", "*2\r\n:1\r\n:1\r\n*2\r\n:1\r\n:1\r\n").await;
    other.ask("SET b 1\r\n", "+OK\r\n").await;
    client.ask("WAIT 2 0\r\nWAIT -1 0\r\n", ":2\r\n:2\r\n").await;
    let not_an_integer = "-ERR value is not an integer or out of range\r\n";
    let timeout = "-ERR timeout is not an integer or out of range\r\n";
    for (call, reply) in [
        ("WAIT x 0", not_an_integer),
        ("WAIT 0 x", timeout),
        ("WAIT 0 1.5", timeout),
        ("WAIT 0 99999999999999999999", timeout),
        ("WAIT 0 -1", "-ERR timeout is negative\r\n"),
        ("WAIT 0", "-ERR wrong number of arguments for 'wait' command\r\n"),
        ("WAITAOF x 0 0", not_an_integer),
        ("WAITAOF 2 0 0", "-ERR value is out of range, value must between 0 and 1\r\n"),
        ("WAITAOF -1 0 0", "-ERR value is out of range, value must between 0 and 1\r\n"),
        ("WAITAOF 0 x 0", not_an_integer),
        ("WAITAOF 0 -1 0", "-ERR value is out of range, must be positive\r\n"),
        ("WAITAOF 0 0 x", timeout),
        ("WAITAOF 0 0 -1", "-ERR timeout is negative\r\n"),
        ("WAITAOF 0 0", "-ERR wrong number of arguments for 'waitaof' command\r\n"),
    ] {
        client.ask(format!("{call}\r\n"), reply).await;
    }
}

#[tokio::test]
async fn where_nobody_syncs_waitaof_says_so_at_once() {
    let server = TestServer::with(|config| config.raft.durability = conf::Durability::OsCache).await;
    let mut client = server.client().await;
    client
        .ask("SET a 1\r\nWAITAOF 0 0 0\r\nWAITAOF 0 1 0\r\n", "+OK\r\n*2\r\n:0\r\n:0\r\n*2\r\n:0\r\n:0\r\n")
        .await;
}

#[tokio::test]
async fn a_connection_that_waits_is_closed_when_it_is_killed() {
    let server = TestServer::start().await;
    let (mut waiting, mut killer) = (server.client().await, server.client().await);
    waiting.ask("CLIENT ID\r\n", ":1\r\n").await;
    waiting.send("RAFT.WAIT 99 0\r\n").await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    killer.ask("CLIENT KILL ID 1\r\n", ":1\r\n").await;
    waiting.expect_closed().await;
}

#[tokio::test]
async fn the_keys_of_a_command_at_a_level_are_those_of_the_command() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    client.ask("COMMAND GETKEYS RAFT.READ eventual MGET a b\r\n", "*2\r\n$1\r\na\r\n$1\r\nb\r\n").await;
    client.ask("COMMAND GETKEYS RAFT.READ bounded MAXLAG 5 GET a\r\n", "*1\r\n$1\r\na\r\n").await;
    let none = "-ERR Invalid arguments specified for command\r\n";
    client.ask("COMMAND GETKEYS RAFT.READ eventual PING\r\n", none).await;
    client.ask("COMMAND GETKEYS RAFT.READ eventual nonsense\r\n", none).await;
    let docs =
        client.say("COMMAND DOCS RAFT.READ RAFT.CONSISTENCY RAFT.TOKEN RAFT.WAIT WAIT WAITAOF\r\n").await;
    assert_eq!(docs.matches("summary").count(), 6, "{docs}");
}
