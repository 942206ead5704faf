//! The commands that the proxy answers itself.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use support::TestServer;

#[tokio::test]
async fn a_password_is_required_once_it_is_set() {
    let server = TestServer::with(|config| config.listen.password = "secret".to_owned()).await;
    let mut client = server.client().await;
    client.ask("PING\r\nGET a\r\n", "-NOAUTH Authentication required.\r\n".repeat(2)).await;
    client.ask("AUTH wrong\r\n", "-WRONGPASS invalid username-password pair or user is disabled.\r\n").await;
    client.ask("AUTH secret\r\nPING\r\n", "+OK\r\n+PONG\r\n").await;
    client.ask("RESET\r\nPING\r\n", "+RESET\r\n-NOAUTH Authentication required.\r\n").await;
    client.ask("HELLO 2 AUTH default secret SETNAME me\r\n", "*14\r\n").await;
    let mut bomb = server.client().await;
    bomb.ask("*11\r\n", "-ERR Protocol error: unauthenticated multibulk length\r\n").await;
    bomb.expect_closed().await;
    let mut bomb = server.client().await;
    bomb.ask("*2\r\n$16385\r\n", "-ERR Protocol error: unauthenticated bulk length\r\n").await;
    // AUTH lifts the limits for what stands right behind it in the same packet.
    let large = "x".repeat(20_000);
    server
        .client()
        .await
        .ask(
            format!("AUTH secret\r\n*2\r\n$4\r\nECHO\r\n$20000\r\n{large}\r\n"),
            format!("+OK\r\n$20000\r\n{large}\r\n"),
        )
        .await;
}

#[tokio::test]
async fn replies_are_resp3_after_hello_3() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    client.ask("HSET h f v\r\nZADD z 1.5 m\r\nSADD s m\r\n", ":1\r\n:1\r\n:1\r\n").await;
    client.ask("ZRANGE z 0 -1 WITHSCORES\r\n", "*2\r\n$1\r\nm\r\n$3\r\n1.5\r\n").await;
    client
        .ask(
            "GET none\r\nHELLO 3\r\n",
            "$-1\r\n%7\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n7.2.0\r\n$5\r\nproto\r\n:3\r\n\
             $2\r\nid\r\n:1\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n$7\r\nmodules\r\n*0\r\n",
        )
        .await;
    client
        .ask("GET none\r\nHGETALL h\r\nSMEMBERS s\r\n", "_\r\n%1\r\n$1\r\nf\r\n$1\r\nv\r\n~1\r\n$1\r\nm\r\n")
        .await;
    client.ask("ZSCORE z m\r\n", ",1.5\r\n").await;
    client.ask("ZRANGE z 0 -1 WITHSCORES\r\n", "*1\r\n*2\r\n$1\r\nm\r\n,1.5\r\n").await;
    assert!(client.say("INFO server\r\n").await.starts_with('='));
    client.ask("HELLO 2\r\n", "*14\r\n").await;
}

#[tokio::test]
async fn client_reply_silences_what_it_says() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    client.ask("CLIENT REPLY SKIP\r\nSET a 1\r\nSET b 2\r\n", "+OK\r\n").await;
    client
        .ask(
            "CLIENT REPLY OFF\r\nSET a 2\r\nGET a\r\nPING\r\nfoo\r\nCLIENT REPLY ON\r\nGET a\r\n",
            "+OK\r\n$1\r\n2\r\n",
        )
        .await;
}

#[tokio::test]
async fn a_killed_client_is_closed_and_the_killer_is_told() {
    let server = TestServer::start().await;
    let (mut killer, mut victim) = (server.client().await, server.client().await);
    killer.ask("CLIENT ID\r\n", ":1\r\n").await;
    victim.ask("CLIENT ID\r\n", ":2\r\n").await;
    killer.ask("CLIENT KILL ID 2\r\n", ":1\r\n").await;
    victim.expect_closed().await;
    let mut victim = server.client().await;
    victim.ask("PING\r\n", "+PONG\r\n").await;
    let address = victim.0.local_addr().unwrap();
    killer.ask(format!("CLIENT KILL {address}\r\n"), "+OK\r\n").await;
    victim.expect_closed().await;
    killer.ask("CLIENT KILL TYPE normal SKIPME no\r\nPING\r\n", ":1\r\n").await;
    killer.expect_closed().await;
}

#[tokio::test]
async fn client_list_shows_what_a_connection_said_of_itself() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    client
        .ask(
            "CLIENT SETNAME me\r\nCLIENT SETINFO LIB-NAME lib\r\nCLIENT SETINFO lib-ver 1.2\r\nCLIENT GETNAME\r\n",
            "+OK\r\n+OK\r\n+OK\r\n$2\r\nme\r\n",
        )
        .await;
    let list = client.say("CLIENT LIST\r\n").await;
    for part in ["id=1 ", " name=me ", " lib-name=lib ", " lib-ver=1.2 ", " resp=2 ", " db=0 "] {
        assert!(list.contains(part), "{part} in {list}");
    }
}

#[tokio::test]
async fn info_names_the_process_and_its_part_in_the_cluster() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    client.ask("SET a 1\r\nSET b 1 EX 100\r\n", "+OK\r\n+OK\r\n").await;
    let info = client.say("INFO\r\n").await;
    for line in [
        format!("process_id:{}\r\n", std::process::id()),
        "# Raft\r\n".to_owned(),
        "raft_role:standalone\r\n".to_owned(),
        "raft_leader_id:-1\r\n".to_owned(),
        "raft_node1:id=1,state=standalone,voting=yes,addr=127.0.0.1,port=2,last_conn_secs=-1,conn_errors=0,conn_oks=0,\
         resp=127.0.0.1:1,health=unknown\r\n".to_owned(),
        "db0:keys=2,expires=1,avg_ttl=0\r\n".to_owned(),
    ] {
        assert!(info.contains(&line), "{line} in {info}");
    }
    client.ask("INFO keyspace\r\n", "$44\r\n# Keyspace\r\ndb0:keys=2,expires=1,avg_ttl=0\r\n\r\n").await;
}

#[tokio::test]
async fn what_config_sets_it_gets() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    client.ask("CONFIG SET timeout 100 maxclients 50\r\n", "+OK\r\n").await;
    client
        .ask(
            "CONFIG GET TIME* maxcl*\r\n",
            "*4\r\n$10\r\nmaxclients\r\n$2\r\n50\r\n$7\r\ntimeout\r\n$3\r\n100\r\n",
        )
        .await;
    client
        .ask(
            "CONFIG SET timeout 7 save x\r\nCONFIG GET timeout\r\n",
            "-ERR CONFIG SET failed (possibly related to argument 'save') - can't set immutable config\r\n\
             *2\r\n$7\r\ntimeout\r\n$3\r\n100\r\n",
        )
        .await;
    client.ask("CONFIG SET requirepass pw\r\nPING\r\n", "+OK\r\n+PONG\r\n").await;
    server.client().await.ask("PING\r\n", "-NOAUTH Authentication required.\r\n").await;
}

#[tokio::test]
async fn options_are_set_all_or_none_under_their_names_and_under_those_of_redis() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let failed = |name: &str, reason: &str| {
        format!("-ERR CONFIG SET failed (possibly related to argument '{name}') - {reason}\r\n")
    };
    client
        .ask(
            "CONFIG SET raft.request_timeout 2s LIMITS.MAX_ARGS 100 raft.log-max-file-size 1mb\r\n",
            "+OK\r\n",
        )
        .await;
    client
        .ask(
            "CONFIG GET raft.request?timeout\r\n",
            "*4\r\n$20\r\nraft.request-timeout\r\n$4\r\n2000\r\n$20\r\nraft.request_timeout\r\n$2\r\n2s\r\n",
        )
        .await;
    client
        .ask(
            "CONFIG GET raft.snapshot_log_bytes\r\n",
            "*2\r\n$23\r\nraft.snapshot_log_bytes\r\n$4\r\n1MiB\r\n",
        )
        .await;
    for (pairs, error) in [
        ("raft.heartbeat_interval 1s", failed("raft.heartbeat_interval", "can't set immutable config")),
        ("raft.election-timeout 1000", failed("raft.election-timeout", "can't set immutable config")),
        ("port 1", failed("port", "can't set immutable config")),
        (
            "raft.request_timeout never",
            failed(
                "raft.request_timeout",
                "must be a duration such as \"200ms\" or \"5s\", from 100ms to 5m",
            ),
        ),
        (
            "raft.request-timeout 5s",
            failed("raft.request-timeout", "argument couldn't be parsed into an integer"),
        ),
        ("maxclients 0", failed("maxclients", "argument must be between 1 and 4294967295 inclusive")),
        (
            "loglevel loud",
            failed("loglevel", "argument(s) must be one of the following: debug, verbose, notice, warning"),
        ),
        ("timeout 1 limits.idle_timeout 2s", failed("limits.idle_timeout", "duplicate parameter")),
        (
            "raft.nonsense 1",
            "-ERR Unknown option or number of arguments for CONFIG SET - 'raft.nonsense'\r\n".to_owned(),
        ),
    ] {
        client.ask(format!("CONFIG SET limits.max_args 200 {pairs}\r\n"), error).await;
    }
    client.ask("CONFIG GET limits.max_args\r\n", "*2\r\n$15\r\nlimits.max_args\r\n$3\r\n100\r\n").await;
    client.ask("CONFIG REWRITE\r\n", "-ERR The server is running without a config file\r\n").await;
}

#[tokio::test]
async fn every_command_of_the_cluster_is_in_its_help_and_in_the_docs() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let (help, docs) = (client.say("RAFT.HELP\r\n").await, client.say("COMMAND DOCS\r\n").await);
    for spec in adapter::command::all().filter(|spec| spec.name.starts_with("raft.")) {
        let public = !spec.flags.has(adapter::command::Flags::INTERNAL);
        assert_eq!(docs.contains(&format!("\r\n{}\r\n", spec.name)), public, "{}", spec.name);
        let name = spec.name.to_ascii_uppercase();
        assert_eq!(help.contains(&format!("+{name}")), public, "{name} in {help}");
        for sub in spec.subcommands {
            let name = format!("+{name} {}\r\n+    {}\r\n", sub.name.to_ascii_uppercase(), sub.summary);
            assert!(help.contains(&name), "{name} in {help}");
        }
    }
}

#[tokio::test]
async fn the_cluster_describes_itself() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let status = client.say("RAFT.STATUS\r\n").await;
    let json: serde_json::Value = serde_json::from_str(status.split_once("\r\n").unwrap().1.trim()).unwrap();
    assert_eq!(json[0]["node"]["role"], "standalone");
    let empty = client.say("RAFT.DIGEST\r\n").await;
    assert!(empty.starts_with("*2\r\n:0\r\n$32\r\n"), "{empty}");
    client.ask("SET a 1\r\n", "+OK\r\n").await;
    let other = client.say("RAFT.DIGEST\r\n").await;
    assert!(other.starts_with("*2\r\n:1\r\n$32\r\n") && other[11..] != empty[11..], "{other}");
}

#[tokio::test]
async fn a_digest_at_an_index_is_of_exactly_that_index() {
    let server = TestServer::start().await;
    let (mut client, mut other) = (server.client().await, server.client().await);
    client.ask("SET a 1\r\n", "+OK\r\n").await;
    let first = client.say("RAFT.DIGEST AT 1\r\n").await;
    assert_eq!(first, client.say("RAFT.DIGEST\r\n").await);
    let ahead = tokio::spawn(async move { other.say("RAFT.DIGEST AT 3\r\n").await });
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    for value in 2..=5 {
        client.ask(&format!("SET a {value}\r\n"), "+OK\r\n").await;
    }
    let at_three = ahead.await.unwrap();
    client.ask("SET a 3\r\n", "+OK\r\n").await;
    let later = client.say("RAFT.DIGEST\r\n").await;
    assert_ne!(at_three, later.replace(":6\r\n", ":3\r\n"), "the key has another revision");
    let alike = TestServer::start().await;
    let mut client_of_alike = alike.client().await;
    for value in 1..=3 {
        client_of_alike.ask(&format!("SET a {value}\r\n"), "+OK\r\n").await;
    }
    assert_eq!(at_three, client_of_alike.say("RAFT.DIGEST\r\n").await);
    let passed = "-ERR this node has applied 6 already; ask for an index ahead of that\r\n";
    client.ask("RAFT.DIGEST AT 1\r\n", passed).await;
    client.ask("RAFT.DIGEST AT 9\r\n", "-TIMEOUT this node has applied 6 so far, not 9\r\n").await;
    client.ask("RAFT.DIGEST AT -1\r\n", "-ERR value is not an integer or out of range\r\n").await;
    client.ask("RAFT.DIGEST 1\r\n", "-ERR syntax error\r\n").await;
}

#[tokio::test]
async fn a_snapshot_is_read_in_pieces_and_stays_as_it_was() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    client.ask("SET a 1\r\n", "+OK\r\n").await;
    let begun = client.say("RAFT.SNAPSHOT BEGIN\r\n").await;
    let name = begun.split("\r\n").nth(2).unwrap().to_owned();
    assert_eq!(begun, format!("*2\r\n$16\r\n{name}\r\n:1\r\n"));
    client.ask("SET a 2\r\n", "+OK\r\n").await;
    // The length is known once it is written.
    let length: u64 = loop {
        let piece = client.say(&format!("RAFT.SNAPSHOT READ {name} 0 8\r\n")).await;
        let rest = piece.strip_prefix("*2\r\n$8\r\nKIWISNAP\r\n");
        if let Some(length) = rest.and_then(|rest| rest.strip_prefix(':')) {
            break length.trim_end().parse().unwrap();
        }
    };
    let end = format!("*2\r\n$0\r\n\r\n:{length}\r\n");
    client.ask(&format!("RAFT.SNAPSHOT READ {name} {length} 8\r\n"), &end).await;
    let beyond = "-ERR the snapshot is shorter than that\r\n";
    client.ask(&format!("RAFT.SNAPSHOT READ {name} {} 8\r\n", length + 1), beyond).await;
    client.ask(&format!("RAFT.SNAPSHOT END {name}\r\n"), "+OK\r\n").await;
    let gone =
        "-ERR there is no such snapshot; its connection was closed, or it was not read for 60 seconds\r\n";
    client.ask(&format!("RAFT.SNAPSHOT READ {name} 0 8\r\n"), gone).await;
    for _ in 0..4 {
        assert!(client.say("RAFT.SNAPSHOT BEGIN\r\n").await.starts_with("*2"));
    }
    client.ask("RAFT.SNAPSHOT BEGIN\r\n", "-BUSY 4 snapshots are being read already\r\n").await;
}

#[tokio::test]
async fn a_great_many_keys_are_watched_in_a_time_that_does_not_grow_with_their_square() {
    const KEYS: usize = 300_000;
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let keys: String = (0..KEYS).map(|n| format!("$9\r\nkey{n:06}\r\n")).collect();
    let watch = format!("*{}\r\n$5\r\nWATCH\r\n{keys}", KEYS + 1);
    client.ask(watch.clone() + &watch, "+OK\r\n+OK\r\n").await;
    client.ask("MULTI\r\nGET key000000\r\nEXEC\r\n", "+OK\r\n+QUEUED\r\n*1\r\n$-1\r\n").await;
}
