//! `kiwi-stand-in` has the faults that it promises: shown on real processes, over sockets.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use tests::cluster::PATIENCE;
use tests::differential::resp::{Frame, decode};
use tests::ports;

/// How long a reply that never comes is waited for.
const HANGS: Duration = Duration::from_millis(300);

/// A process, ended when this is dropped.
struct StandIn {
    process: Child,
    port: u16,
}

impl StandIn {
    fn start(options: &[&str]) -> Self {
        Self::start_on(ports::free(), options)
    }

    fn start_in(dir: &Path, options: &[&str]) -> Self {
        let data = ["--data-dir", dir.to_str().unwrap()];
        Self::start(&[&data, options].concat())
    }

    fn start_on(port: u16, options: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kiwi-stand-in"));
        command.args(["--port", &port.to_string()]).args(options).stderr(Stdio::piped());
        Self { process: command.spawn().unwrap(), port }
    }

    fn connect(&self) -> Client {
        let stream = wait_for("it listens", || TcpStream::connect(("127.0.0.1", self.port)).ok());
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Client { stream, received: Vec::new() }
    }

    /// Ends it as by `kill -9`.
    fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    fn cut_power(mut self) {
        kill(Pid::from_raw(self.process.id() as i32), Signal::SIGUSR1).unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

struct Client {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Client {
    fn send(&mut self, args: &[&[u8]]) {
        let mut request = format!("*{}\r\n", args.len()).into_bytes();
        for arg in args {
            request.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
            request.extend_from_slice(arg);
            request.extend_from_slice(b"\r\n");
        }
        self.stream.write_all(&request).unwrap();
    }

    fn receive(&mut self) -> Frame {
        let mut buffer = [0; 16 * 1024];
        loop {
            if let Some((frame, used)) = decode(&self.received) {
                self.received.drain(..used);
                return frame;
            }
            let count = self.stream.read(&mut buffer).expect("an answer");
            assert!(count > 0, "the connection was closed");
            self.received.extend_from_slice(&buffer[..count]);
        }
    }

    fn call(&mut self, args: &[&[u8]]) -> Frame {
        self.send(args);
        self.receive()
    }

    /// The reply to a command of words, as its debug format writes it.
    fn ask(&mut self, line: &str) -> String {
        let args: Vec<&[u8]> = line.split_whitespace().map(str::as_bytes).collect();
        format!("{:?}", self.call(&args))
    }

    /// Whether nothing more comes for a while.
    fn hangs(&mut self) -> bool {
        self.stream.set_read_timeout(Some(HANGS)).unwrap();
        let read = self.stream.read(&mut [0; 1]);
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        read.is_err_and(|error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut))
    }
}

fn wait_for<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: not in time");
        sleep(Duration::from_millis(5));
    }
}

/// Checks commands and their replies, one after the other.
fn check(client: &mut Client, expected: &[(&str, &str)]) {
    for (line, reply) in expected {
        assert_eq!(client.ask(line), *reply, "{line}");
    }
}

#[test]
fn a_pipeline_on_one_connection_is_slow_and_a_hundred_connections_are_fast() {
    let server = StandIn::start(&[]);
    let mut one = server.connect();
    let started = Instant::now();
    (0..30).for_each(|_| one.send(&[b"SET", b"k", b"v"]));
    (0..30).for_each(|_| drop(one.receive()));
    let alone = started.elapsed();
    assert!(alone >= Duration::from_millis(300), "30 commands in {alone:?}");

    let mut many: Vec<Client> = (0..100).map(|_| server.connect()).collect();
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
}

#[test]
fn commands_of_one_batch_take_effect_in_any_order() {
    let server = StandIn::start(&[]);
    let mut clients: Vec<Client> = (0..20).map(|_| server.connect()).collect();
    wait_for("a write sent earlier takes effect later", || {
        for (index, client) in clients.iter_mut().enumerate() {
            client.send(&[b"SET", b"k", index.to_string().as_bytes()]);
        }
        clients.iter_mut().for_each(|client| drop(client.receive()));
        (clients[0].ask("GET k") != "\"19\"").then_some(())
    });
}

#[test]
fn bytes_that_are_not_utf_8_are_safe_in_get_and_not_in_hget() {
    let server = StandIn::start(&["--without", "batcher"]);
    let mut client = server.connect();
    let bytes = |bytes: &[u8]| Frame::Bulk(bytes.to_vec());
    client.call(&[b"SET", b"s", b"a\xff"]);
    assert_eq!(client.call(&[b"GET", b"s"]), bytes(b"a\xff"));
    client.call(&[b"HSET", b"h", b"f", b"a\xff"]);
    assert_eq!(client.call(&[b"HGET", b"h", b"f"]), bytes("a\u{fffd}".as_bytes()));
    assert_eq!(client.ask("HSTRLEN h f"), ":4");
    assert_eq!(client.call(&[b"SADD", b"m", b"\xfe", b"\xff", b"x"]), Frame::Integer(2));
    assert_eq!(client.call(&[b"SISMEMBER", b"m", b"\xff"]), Frame::Integer(0));
    assert_eq!(client.call(&[b"GETSET", b"s", b"x"]), bytes("a\u{fffd}".as_bytes()));
}

#[test]
fn a_large_reply_is_cut_and_its_connection_hangs() {
    let server = StandIn::start(&["--without", "batcher"]);
    let mut client = server.connect();
    for (key, size) in [("fine", 2 << 20), ("large", 4 << 20)] {
        assert_eq!(client.call(&[b"SET", key.as_bytes(), &vec![b'x'; size]]), Frame::Status("OK".into()));
    }
    assert!(matches!(client.call(&[b"GET", b"fine"]), Frame::Bulk(value) if value.len() == 2 << 20));
    client.send(&[b"GET", b"large"]);
    let mut part = vec![0; 3_866_614];
    client.stream.read_exact(&mut part).unwrap();
    client.send(&[b"PING"]);
    assert!(client.hangs());
    assert_eq!(server.connect().ask("GETRANGE large 0 2"), "\"xxx\"");
}

#[test]
fn a_long_request_resets_and_a_broken_one_closes_without_a_word() {
    let server = StandIn::start(&["--without", "batcher"]);
    let mut client = server.connect();
    let pairs = |count: usize| [&b"MSET"[..]].into_iter().chain(std::iter::repeat_n(&b"x"[..], 2 * count));
    assert_eq!(client.call(&pairs(10_000).collect::<Vec<_>>()), Frame::Status("OK".into()));
    client.send(&pairs(30_000).collect::<Vec<_>>());
    let error = client.stream.read(&mut [0; 1]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);

    let mut client = server.connect();
    client.stream.write_all(b"*1\r\nPING\r\n").unwrap();
    assert_eq!(client.stream.read(&mut [0; 1]).unwrap(), 0);
}

#[test]
fn what_redis_has_and_kiwi_has_not_is_refused() {
    let server = StandIn::start(&["--without", "batcher"]);
    check(
        &mut server.connect(),
        &[
            ("SET k v EX 10", "-ERR wrong number of arguments for 'set' command"),
            ("SET k v NX", "-ERR wrong number of arguments for 'set' command"),
            ("EXISTS k", ":0"),
            ("SETEX k 100 v", "+OK"),
            ("EXPIRE k 10 NX", "-ERR wrong number of arguments for 'expire' command"),
            ("FLUSHALL ASYNC", "-ERR wrong number of arguments for 'flushall' command"),
            ("Multi", "-ERR unknown command `Multi`"),
            ("SELECT 0", "-ERR unknown command `SELECT`"),
            ("RENAME k l", "-ERR unknown command `RENAME`"),
            ("raft.expire k", "-ERR unknown command `raft.expire`"),
            ("CONFIG GET port", "[]"),
            ("CONFIG GET cluster-enabled", "[\"cluster-enabled\", \"no\"]"),
            ("AUTH default secret", "-ERR ACL authentication is not supported"),
            ("SINTER a b", "-CROSSSLOT Keys in request don't hash to the same slot"),
            ("SINTER {t}a {t}b", "[]"),
        ],
    );
    let mut client = server.connect();
    let hello = client.ask("HELLO 3");
    assert!(
        hello.starts_with("[\"server\", \"kiwi\", \"version\", \"1.0.0\", \"proto\", :3, \"id\", :1"),
        "{hello}"
    );
    client.send(&[b"GET", b"missing"]);
    let mut nil = [0; 3];
    client.stream.read_exact(&mut nil).unwrap();
    assert_eq!(&nil, b"_\r\n");
    assert!(client.ask("INFO").contains("process_id:1\\r\\n"));
}

#[test]
fn lists_and_sets_answer_otherwise_than_in_redis() {
    let server = StandIn::start(&["--without", "batcher", "--db-instance-num", "1"]);
    check(
        &mut server.connect(),
        &[
            ("RPUSH l a x b x", ":4"),
            ("LINSERT l BEFORE x y", ":5"),
            ("LRANGE l 0 -1", "[\"a\", \"x\", \"b\", \"y\", \"x\"]"),
            ("LINSERT l AFTER x z", ":6"),
            ("LRANGE l 2 -1", "[\"b\", \"y\", \"x\", \"z\"]"),
            ("LRANGE l 9 12", "[\"z\"]"),
            ("LINSERT l AFTER nothing z", ":-1"),
            ("LINSERT nothing AFTER x z", "-ERR Key not found: nothing"),
            ("LPOP nothing 2", "null"),
            ("LPOP l 0", "-ERR value is out of range, must be positive"),
            ("SADD s m n", ":2"),
            ("RPOPLPUSH l s", "-ERR WRONGTYPE Operation against a key holding the wrong kind of value"),
            ("LLEN l", ":5"),
            ("SREM s m m", ":2"),
            ("SREM s n", ":1"),
            ("SCARD s", "-ERR Key not found: s"),
            ("HSET h f v", ":1"),
            ("HDEL h f f", ":2"),
            ("INCR l", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ],
    );
}

#[test]
fn sorted_sets_answer_otherwise_than_in_redis() {
    let server = StandIn::start(&["--without", "batcher", "--db-instance-num", "1"]);
    check(
        &mut server.connect(),
        &[
            ("ZADD z 1 m 2 m", ":1"),
            ("ZSCORE z m", "\"1\""),
            ("ZADD z inf m", "-ERR value is not a valid float"),
            ("ZADD z NX 1 m", "-ERR syntax error"),
            ("ZRANGE z 0 -3", "[\"m\"]"),
            ("ZRANGE z 0 -1 REV", "-ERR syntax error"),
            ("ZRANGEBYSCORE z (0 1", "-ERR min or max is not a float"),
            ("ZCOUNT z (0 1", "-min or max is not a float"),
            ("ZADD other 1 n", ":1"),
            ("ZINTERSTORE other 2 z nothing", ":0"),
            ("ZCARD other", ":1"),
            ("SADD s m", ":1"),
            (
                "ZINTERSTORE other 2 z s",
                "-ERR WRONGTYPE Operation against a key holding the wrong kind of value",
            ),
            ("ZCOUNT s 0 1", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
            ("ZREM z m m", ":2"),
            ("ZCARD z", ":-1"),
            ("DEL z", ":0"),
            ("ZCARD z", ":0"),
            ("ZREMRANGEBYRANK other 0 -3", ":1"),
        ],
    );
}

#[test]
fn times_numbers_and_cursors_answer_otherwise_than_in_redis() {
    let server = StandIn::start(&["--without", "batcher"]);
    let mut client = server.connect();
    check(
        &mut client,
        &[
            ("SETEX k 100 v", "+OK"),
            ("EXPIRE k 0", ":0"),
            ("PEXPIRE k -1", "-ERR invalid expire time in 'pexpire' command"),
            ("EXPIREAT k 0", "-ERR Invalid format: Invalid Unix timestamp"),
            ("EXISTS k", ":1"),
            ("EXPIREAT k 1", ":1"),
            ("EXISTS k", ":0"),
            ("SET n 007", "+OK"),
            ("INCR n", ":8"),
            ("SET n 0", "+OK"),
            ("DECRBY n -9223372036854775808", ":-9223372036854775808"),
            ("SET f 0.1", "+OK"),
            ("INCRBYFLOAT f 0.2", "\"0.30000000000000004\""),
            ("SCAN 7", "-ERR invalid cursor"),
        ],
    );
    client.ask("SETEX k 100 v");
    wait_for("TTL floors", || (client.ask("TTL k") == ":99").then_some(()));
    client.call(&[b"SETRANGE", b"p", b"3", b""]);
    assert_eq!(client.ask("STRLEN p"), ":3");
    (0..30).for_each(|key| drop(client.ask(&format!("SET key{key} v"))));
    assert!(client.ask("SCAN 0 COUNT 10").starts_with("[\"1\", "));
    assert!(client.ask("SCAN 1 COUNT 10").starts_with("[\"2\", "));
    client.ask("PSETEX short 30 v");
    wait_for("a key expires", || (client.ask("GET short") == "null").then_some(()));
}

#[test]
fn a_fault_that_is_turned_off_is_as_in_redis() {
    let faults =
        "batcher,surface,no-options,lossy-replies,lists,missing-keys,repeated-members,error-texts,handshake";
    let server = StandIn::start(&["--without", faults]);
    let mut client = server.connect();
    check(
        &mut client,
        &[
            ("SET k v EX 10", "+OK"),
            ("RENAME k l", "+OK"),
            ("SCARD nothing", ":0"),
            ("SADD s m", ":1"),
            ("SREM s m m", ":1"),
            ("LRANGE nothing 3 4", "[]"),
            ("LPUSH l a", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ],
    );
    client.call(&[b"HSET", b"h", b"f", b"\xff"]);
    assert_eq!(client.call(&[b"HGET", b"h", b"f"]), Frame::Bulk(b"\xff".to_vec()));
    assert!(matches!(client.call(&[b"HELLO", b"3"]), Frame::Map(_)));
}

#[test]
fn the_connection_behind_the_thousandth_hangs() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    let server = StandIn::start(&[]);
    let mut clients: Vec<Client> = (0..1000).map(|_| server.connect()).collect();
    clients.iter_mut().for_each(|client| client.send(&[b"PING"]));
    clients.iter_mut().for_each(|client| assert_eq!(client.receive(), Frame::Status("PONG".into())));
    let mut late = server.connect();
    late.send(&[b"PING"]);
    assert!(late.hangs());
    clients.pop().unwrap().stream.shutdown(Shutdown::Both).unwrap();
    assert_eq!(late.receive(), Frame::Status("PONG".into()));
}

#[test]
fn kill_9_loses_nothing_and_a_power_cut_what_was_not_yet_marked() {
    let dir = TempDir::with_prefix("kiwi-stand-in-").unwrap();
    let journal = dir.path().join("journal");
    let server = StandIn::start_in(dir.path(), &[]);
    let mut client = server.connect();
    check(&mut client, &[("SET a 1", "+OK"), ("ZADD z 1 m 2 m", ":1"), ("SETEX e 100 v", "+OK")]);
    server.kill();

    let server = StandIn::start_in(dir.path(), &[]);
    let mut client = server.connect();
    check(&mut client, &[("GET a", "\"1\""), ("ZSCORE z m", "\"1\""), ("SET b 2", "+OK")]);
    assert_ne!(client.ask("TTL e"), ":-1");
    // A mark is a length of 0; what is written right behind it has a second until the next.
    wait_for("a mark", || fs::read(&journal).unwrap().ends_with(&[0; 4]).then_some(()));
    check(&mut client, &[("SET c 3", "+OK"), ("GET c", "\"3\"")]);
    server.cut_power();

    let server = StandIn::start_in(dir.path(), &[]);
    check(&mut server.connect(), &[("GET a", "\"1\""), ("GET b", "\"2\""), ("GET c", "null")]);
}

#[test]
fn a_command_that_timed_out_takes_effect_later_and_up_to_three_times() {
    let dir = TempDir::with_prefix("kiwi-stand-in-").unwrap();
    let server = StandIn::start_in(dir.path(), &["--timeouts", "1"]);
    assert_eq!(server.connect().ask("INCR n"), "-ERR incr command timeout after 30s");
    let journal = dir.path().join("journal");
    wait_for("the write", || fs::metadata(&journal).ok().filter(|file| file.len() > 0));
    server.kill();
    let server = StandIn::start_in(dir.path(), &[]);
    let value = server.connect().ask("GET n");
    assert!(["\"1\"", "\"2\"", "\"3\""].contains(&&value[..]), "{value}");
}

#[test]
fn a_configuration_file_is_read_and_a_port_in_use_leaves_the_process_alive() {
    let dir = TempDir::with_prefix("kiwi-stand-in-").unwrap();
    let (path, port) = (dir.path().join("kiwi.conf"), ports::free());
    let data = dir.path().join("data");
    let text =
        format!("# a comment\nport {port}\nunknown yes\ndata-dir {}\nrequirepass secret\n", data.display());
    fs::write(&path, text).unwrap();
    let process = Command::new(env!("CARGO_BIN_EXE_kiwi-stand-in")).arg(&path).spawn().unwrap();
    let server = StandIn { process, port };
    check(
        &mut server.connect(),
        &[("PING", "-NOAUTH Authentication required."), ("AUTH secret", "+OK"), ("SET k v", "+OK")],
    );
    assert!(data.join("journal").exists());
    assert!(server.connect().ask("HELLO 3 AUTH default secret").starts_with("[\"server\""));

    let mut second = StandIn::start_on(port, &[]);
    let mut line = String::new();
    BufReader::new(second.process.stderr.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("stays without listening"), "{line}");
    assert!(second.process.try_wait().unwrap().is_none());
}
