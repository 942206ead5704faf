//! The same bytes sent to a real `redis-server` give the same bytes back.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use support::{Client, TestServer};
use tokio::net::TcpStream;

/// A `redis-server` that ends with the test.
struct Redis(Child, SocketAddr);

impl Redis {
    async fn start() -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let directory = std::env::temp_dir();
        let child = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--save", "", "--dir"])
            .arg(directory)
            .stdout(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("redis-server is needed for this test: {error}"));
        let redis = Self(child, SocketAddr::from(([127, 0, 0, 1], port)));
        for _ in 0..500 {
            if TcpStream::connect(redis.1).await.is_ok() {
                return redis;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("redis-server does not answer");
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Conversations, each on a connection of its own.
const INPUTS: &[&str] = &[
    // The protocol.
    "*abc\r\n",
    "*1\r\n+PING\r\n",
    "*1\r\n$abc\r\n",
    "*03\r\n",
    "*-1\r\nPING\r\n",
    "*0\r\nPING\r\n",
    "*1\r\n$-1\r\n",
    "*1\r\n$536870913\r\n",
    "*2147483648\r\n",
    "*1\r\n\r\n",
    "*1\r\n$\r\n",
    "*\r\n",
    "PING\r\n*x\r\nPING\r\n",
    // Inline commands.
    "SET \"a\r\n",
    "\"PI\\x4eG\"\r\n",
    "'PING'x\r\n",
    "\r\n\r\nPING\r\n",
    "PING\n",
    "ECHO \"a\\n\\\"b\" \r\n",
    "ECHO 'it\\'s'\r\n",
    "ECHO \"\"\r\n",
    "\"\"\r\n",
    "GET / HTTP/1.1\r\nHost: here\r\nPING\r\n",
    "POST / HTTP/1.1\r\nPING\r\n",
    // Errors of the table.
    "GET\r\nfoo bar\r\nCLIENT foo\r\nCLIENT\r\nCONFIG GET\r\nping a b\r\necho\r\nreset x\r\nclient|id\r\n",
    "foo \"a\\r\\nb\"\r\n",
    // The connection.
    "ping\r\nping a\r\nselect 0\r\nselect 99\r\nselect -1\r\nselect x\r\nselect 99999999999999999999\r\nquit\r\nping\r\n",
    "quit now\r\nping\r\n",
    "HELLO 4\r\nHELLO x\r\nHELLO 3 foo\r\nHELLO 3 SETNAME \"a b\"\r\nhello 3 setname\r\nhello 3 auth a\r\n",
    "HELLO 3 AUTH foo bar\r\nAUTH x\r\nAUTH default x\r\nAUTH foo x\r\nAUTH a b c\r\n",
    "client setname me\r\nclient getname\r\nRESET\r\nclient getname\r\nclient setname \"a b\"\r\n",
    "client reply skip\r\nping\r\nping\r\nclient reply skip\r\nfoo\r\nping\r\nclient reply off\r\nping\r\n\
     client reply skip\r\nping\r\nclient reply on\r\nping\r\nclient reply foo\r\nclient reply off\r\nreset\r\nping\r\n",
    "CLIENT KILL 1.2.3.4:5\r\nCLIENT KILL ID x\r\nCLIENT KILL ID 0\r\nCLIENT KILL TYPE foo\r\nCLIENT KILL USER no\r\n",
    "CLIENT KILL ID 99999\r\nclient kill id\r\nclient kill a b c\r\nclient kill skipme maybe\r\n",
    "client kill type master skipme no addr 1.1.1.1:1\r\nclient kill user default type normal laddr 1.1.1.1:1\r\n",
    "client list type foo\r\nclient list id x\r\nclient list id 99999\r\nclient list type replica\r\nclient list x\r\n",
    "client no-evict foo\r\nclient no-evict on\r\nclient no-evict off\r\n",
    // Transactions.
    "multi\r\nset a 1\r\nincr a\r\nget a\r\nlpush a x\r\nget none\r\nblah\r\nexec\r\nget a\r\n",
    "multi\r\nset a 1\r\nincr a\r\nget a\r\nlpush a x\r\nget none\r\nexec\r\nget a\r\nexec\r\ndel a\r\n",
    "exec\r\ndiscard\r\nmulti x\r\nmulti\r\nmulti\r\nexec\r\nexec x\r\nmulti\r\nset b 1\r\nexec x\r\nget b\r\nexec\r\n",
    "multi\r\nget\r\nexec\r\nmulti\r\nset b 1\r\ndiscard\r\nget b\r\nmulti\r\nclient\r\nset b 1\r\nexec\r\nget b\r\n",
    "multi\r\nping\r\nset b 2\r\necho hi\r\nget b\r\nselect 0\r\nselect 99\r\nclient getname\r\ndbsize\r\nexec\r\ndel b\r\n",
    "multi\r\nincr b\r\nreset\r\nexec\r\nget b\r\nmulti\r\nincr b\r\nquit\r\n",
    "multi\r\nhset h f 1\r\nhincrbyfloat h f 0.5\r\nhgetall h\r\nzadd z 1.5 m\r\nzrange z 0 -1 withscores\r\nsmembers s\r\n\
     exec\r\ndel h z\r\n",
    "client reply skip\r\nmulti\r\nset c 1\r\nget c\r\nexec\r\ndel c\r\n",
    "set d 1 px 100000\r\nmulti\r\nexists d\r\npersist d\r\nttl d\r\nflushall\r\nexists d\r\nexec\r\n",
    "*1\r\n$5\r\nMULTI\r\n*3\r\n$3\r\nSET\r\n$1\r\ne\r\n$2\r\n\r\n\r\n*1\r\n$4\r\nEXEC\r\nget e\r\ndel e\r\n",
    "multi\r\nset e 1\r\n*x\r\n",
    "watch\r\nwatch w\r\nmulti\r\nset w 1\r\nwatch w\r\nunwatch\r\nexec\r\nget w\r\nunwatch x\r\n",
    "watch w\r\nset w 2\r\nmulti\r\nget w\r\nexec\r\nmulti\r\nget w\r\nexec\r\nwatch w\r\nset w 3\r\nmulti\r\nexec\r\n",
    "watch w\r\nset w 4\r\nunwatch\r\nmulti\r\nget w\r\nexec\r\nwatch w w v\r\nmulti\r\ndiscard\r\nset w 5\r\nmulti\r\n\
     exec\r\nwatch w\r\nset w 6\r\nmulti\r\nnonsense\r\nexec\r\nmulti\r\nget w\r\nexec\r\ndel w\r\n",
    "HELLO 3\r\nwatch w\r\nset w 7\r\nmulti\r\nset w 8\r\nexec\r\nwatch w\r\nset w 9\r\nreset\r\nmulti\r\ndel w\r\nexec\r\n",
    // The server.
    "config set foo bar\r\nconfig set maxclients abc\r\nconfig set maxclients 0\r\nconfig set timeout -1\r\n",
    "config set timeout 1 timeout 2\r\nconfig set a b c\r\nconfig set proto-max-bulk-len foo\r\n",
    "config get timeout\r\nconfig set proto-max-bulk-len 2mb\r\nconfig get proto-max*\r\nconfig set timeout 5kb\r\n",
    "config get nothing\r\nconfig resetstat\r\nconfig set proto-max-bulk-len 512mb\r\n",
    "COMMAND GETKEYS foo x\r\nCOMMAND GETKEYS GET\r\nCOMMAND GETKEYS GET a\r\nCOMMAND GETKEYS ZUNIONSTORE d 2 a b\r\n",
    "COMMAND GETKEYS ECHO a\r\nCOMMAND GETKEYS GET a b\r\nCOMMAND GETKEYS ZUNION x a\r\nCOMMAND INFO foo\r\n",
    "COMMAND LIST FILTERBY ACLCAT foo\r\ncommand list foo\r\nCOMMAND LIST FILTERBY x y\r\nCOMMAND DOCS foo\r\n",
    "COMMAND INFO get\r\nHELLO 2\r\nCOMMAND INFO incr select zunionstore\r\nCOMMAND HELP\r\n",
    "info foo\r\ndbsize\r\nset a b\r\ninfo keyspace\r\ndbsize\r\n",
    // With a password, which is taken away at the end.
    "config set requirepass pw\r\nping\r\n",
    "ping\r\nfoo\r\nget\r\nauth x\r\nhello\r\nhello 3\r\nhello 3 auth default x\r\n*11\r\n",
    "*2\r\n$16385\r\n",
    "client id\r\nclient foo\r\nreset\r\nauth default pw\r\nping\r\nreset\r\nping\r\n",
    // What Redis shows here, the password, is not shown.
    "auth pw\r\nconfig set requirepass \"\"\r\nconfig get requirepass\r\nping\r\n",
];

#[tokio::test]
async fn the_same_bytes_give_the_same_bytes() {
    let (redis, ours) = (Redis::start().await, TestServer::start().await);
    let mut differences = Vec::new();
    for input in INPUTS {
        let expected = Client(TcpStream::connect(redis.1).await.unwrap()).converse(input).await;
        let got = Client(TcpStream::connect(ours.address).await.unwrap()).converse(input).await;
        if version_free(&expected) != version_free(&got) {
            differences.push(format!("{input:?}\n  redis: {expected:?}\n  ours:  {got:?}"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// Takes out what must differ: the version and the connection's id.
fn version_free(text: &str) -> String {
    let text = text.replace("$6\r\n7.0.15", "$5\r\n7.2.0");
    let Some((before, after)) = text.split_once("$2\r\nid\r\n:") else { return text };
    format!("{before}{}", after.trim_start_matches(|digit: char| digit.is_ascii_digit()))
}
