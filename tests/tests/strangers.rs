//! Those who are no nodes of the cluster: at addresses that somebody names, at the Raft port, and behind a web page.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use redis::Value;
use serde_json::json;
use tests::ask::{ask, text_of, wait_for, words};
use tests::cluster::{Cluster, PATIENCE, SECRET, binary};
use tests::engine::Engine::Embedded;
use tests::http;

/// What a node may say to whom it does not know: `KIWI-RAFT PEER\r\n`, two numbers, a nonce.
const HELLO: &[u8] = b"KIWI-RAFT PEER\r\n";
const HELLO_BYTES: usize = 52;
/// How soon an operator is told that an address is wrong.
const SOON: Duration = Duration::from_secs(3);

/// A listener that is no node, and everything that is ever said to it, one text for each connection. Over UDP, too.
struct Stranger {
    port: u16,
    said: Arc<Mutex<Vec<Vec<u8>>>>,
    datagrams: UdpSocket,
}

impl Stranger {
    /// One that answers each connection's first words like this; with nothing it waits for more.
    fn start(answer: &'static [u8]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let datagrams = UdpSocket::bind(("127.0.0.1", port)).unwrap();
        datagrams.set_nonblocking(true).unwrap();
        let said: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
        let record = Arc::clone(&said);
        spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let record = Arc::clone(&record);
                spawn(move || listen(stream, answer, &record));
            }
        });
        Self { port, said, datagrams }
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn heard(&self) -> Vec<Vec<u8>> {
        self.said.lock().unwrap().clone()
    }
}

fn listen(mut stream: TcpStream, answer: &[u8], record: &Mutex<Vec<Vec<u8>>>) {
    let place = {
        let mut record = record.lock().unwrap();
        record.push(Vec::new());
        record.len() - 1
    };
    let mut buffer = [0; 4096];
    while let Ok(size @ 1..) = stream.read(&mut buffer) {
        record.lock().unwrap()[place].extend_from_slice(&buffer[..size]);
        if stream.write_all(answer).is_err() {
            return;
        }
    }
}

fn contains(text: &[u8], part: &str) -> bool {
    text.windows(part.len()).any(|window| window == part.as_bytes())
}

/// The error of a command, and that it came soon.
fn refused(cluster: &Cluster, index: usize, command: &str) -> String {
    let mut connection = cluster.connect(index);
    let began = Instant::now();
    let answer: Result<Value, _> = ask(&mut connection, command);
    let took = began.elapsed();
    let error = text_of(&answer.expect_err(command));
    assert!(took < SOON, "{command} took {took:?}: {error}");
    error
}

#[test]
fn whoever_is_named_as_a_nodes_address_is_told_a_nonce_and_nothing_else() {
    let mut cluster = Cluster::prepare(&[Embedded; 3], &[]).with_http();
    cluster.launch_all();
    let leader = cluster.leader();
    let value = "a-value-that-a-client-has-written";
    let () = words(&format!("SET k {value}")).query(&mut cluster.connect(leader)).unwrap();
    // It answers as somebody who takes whatever comes for a request, or not at all.
    for answer in [&b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"[..], b""] {
        let stranger = Stranger::start(answer);
        let (address, port) = (stranger.address(), stranger.port);
        let node = (leader + 1) % 3;
        for command in [
            format!("RAFT.NODE ADD 0 {address}"),
            format!("RAFT.NODE ADD 17 {address}"),
            format!("RAFT.NODE REPLACE 1 0 {address}"),
            format!("CLUSTER MEET 127.0.0.1 1 {port}"),
        ] {
            let error = refused(&cluster, node, &command);
            assert!(error.contains(&address) && error.ends_with("nothing was changed"), "{command}: {error}");
        }
        let through = format!("127.0.0.1:{}", cluster.nodes[node].port);
        let ctl =
            Command::new(binary()).args(["ctl", "add", "0", &address, "--addr", &through]).output().unwrap();
        let said = String::from_utf8_lossy(&ctl.stderr).into_owned();
        assert!(!ctl.status.success() && said.contains(&address), "{said}");
        let body = json!({ "raft": address }).to_string();
        let posted = http::call(cluster.http(node), "POST", "/cluster/members", &[], &body);
        assert!(posted.status == 502 && posted.body.contains(&address), "{posted:?}");
        assert_eq!(cluster.members(leader).unwrap().len(), 3);

        // By force it is a member, which the leader goes on to look for.
        let added: Vec<Value> =
            words(&format!("RAFT.NODE ADD 0 {address} FORCE")).query(&mut cluster.connect(node)).unwrap();
        let Value::Int(id) = added[0] else { panic!("{added:?}") };
        let before = stranger.heard().len();
        wait_for("connections to the stranger", || {
            let () = words(&format!("SET k {value}")).query(&mut cluster.connect(leader)).unwrap();
            stranger.heard().len() > before + 4
        });
        let () = words(&format!("RAFT.NODE REMOVE {id}")).query(&mut cluster.connect(node)).unwrap();
        for said in stranger.heard() {
            assert!(
                !contains(&said, SECRET) && !contains(&said, value),
                "{}",
                String::from_utf8_lossy(&said)
            );
            assert!(
                said.len() <= HELLO_BYTES && HELLO.starts_with(&said[..said.len().min(HELLO.len())]),
                "{said:?}"
            );
        }
        let datagram = stranger.datagrams.recv(&mut [0; 2048]);
        assert_eq!(datagram.unwrap_err().kind(), ErrorKind::WouldBlock, "a datagram was sent to it");
    }
}

/// A node's process that is no part of the cluster in the test. It ends with this.
struct Alone(Child);

impl Alone {
    /// Starts a node that waits to join, with this in its environment.
    fn start(cluster: &mut Cluster, name: &str, value: &str) -> (usize, Self) {
        let index = cluster.add(Embedded);
        std::fs::create_dir_all(&cluster.nodes[index].dir).unwrap();
        let log = std::fs::File::create(cluster.log_path(index)).unwrap();
        let mut command = cluster.command(index);
        let child = command.env(name, value).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        cluster.connect(index);
        (index, Self(child))
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn an_address_that_is_wrong_is_named_with_the_reason_within_three_seconds() {
    let mut cluster = Cluster::prepare(&[Embedded], &[]).with_http();
    cluster.launch_all();
    let mut other = Cluster::prepare_beside_others(&[Embedded], &[]);
    other.launch_all();
    let http = cluster.http(0).to_owned();
    let (guesses, _guesses) =
        Alone::start(&mut cluster, "RAFT_PROXY_CLUSTER_SECRET", "a-secret-that-is-another-one");
    let (speaks_newer, _speaks_newer) = Alone::start(&mut cluster, "SPEAK_PEER_VERSIONS", "3-4");
    let (waits, _waits) = Alone::start(&mut cluster, "NOTHING", "");
    let raft = |cluster: &Cluster, index: usize| format!("127.0.0.1:{}", cluster.nodes[index].raft_port);
    let resp = format!("127.0.0.1:{}", cluster.nodes[0].port);
    let silent = Stranger::start(b"");
    let nobody = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().to_string()
    };
    let wrong = [
        (nobody, "Connection refused"),
        (silent.address(), "says nothing"),
        (http, "speaks HTTP"),
        (resp, "speaks the Redis protocol"),
        (raft(&cluster, guesses), "cluster.secret is another one there"),
        (
            raft(&cluster, speaks_newer),
            "it speaks versions 3 to 4 of the protocol between nodes, and this node speaks versions 1 to 2",
        ),
    ];
    for (address, reason) in &wrong {
        let said = refused(&cluster, waits, &format!("RAFT.CLUSTER JOIN {address}"));
        assert!(said.starts_with("ERR this node has not joined: "), "{said}");
        assert!(said.contains(address) && said.contains(reason), "{address}: {reason}: {said}");
        let said = refused(&cluster, 0, &format!("RAFT.NODE ADD 0 {address}"));
        assert!(said.contains(address) && said.contains(reason), "{address}: {reason}: {said}");
    }
    // Several are named one after the other.
    let said = refused(&cluster, waits, &format!("RAFT.CLUSTER JOIN {} {}", wrong[0].0, wrong[1].0));
    assert!(
        said.contains(&wrong[0].0) && said.contains(&wrong[1].0) && said.contains("says nothing"),
        "{said}"
    );
    let itself = raft(&cluster, waits);
    let said = refused(&cluster, waits, &format!("RAFT.CLUSTER JOIN {itself}"));
    assert!(said.contains(&itself) && said.contains("belongs to no cluster"), "{said}");
    let elsewhere = raft(&other, 0);
    let said = refused(&cluster, 0, &format!("RAFT.NODE ADD 0 {elsewhere}"));
    assert!(said.contains(&elsewhere) && said.contains("belongs to the cluster"), "{said}");
    assert_eq!(cluster.members(0).unwrap().len(), 1);
    // The other side of a secret that differs: it is counted and told there, too.
    let said = refused(&cluster, guesses, &format!("RAFT.CLUSTER JOIN {}", raft(&cluster, 0)));
    assert!(said.contains("cluster.secret is another one there"), "{said}");
    let metrics = http::get(cluster.http(0), "/metrics").body;
    assert!(
        metrics.contains("raft_proxy_network_refused_connections_total{reason=\"gave-up\"}"),
        "{metrics}"
    );
    assert!(cluster.log(0).contains("cluster.secret: its own may be another one"), "{}", cluster.log(0));
    // And a right address is right.
    let joined: String = words(&format!("RAFT.CLUSTER JOIN {}", raft(&cluster, 0)))
        .query(&mut cluster.connect(waits))
        .unwrap();
    assert_eq!(joined, "OK");
    wait_for("the agreed version", || {
        let health = http::get(cluster.http(0), "/cluster/health").json();
        health["members"]
            .as_array()
            .unwrap()
            .iter()
            .any(|member| member["connections"]["protocol"] == json!(2))
    });
}

/// Holds connections to a port without a word, and opens a new one for each that is closed.
struct Flood {
    ends: Arc<AtomicBool>,
    opened: Arc<Mutex<usize>>,
}

impl Flood {
    fn of(count: usize, port: u16) -> Self {
        let (ends, opened) = (Arc::<AtomicBool>::default(), Arc::<Mutex<usize>>::default());
        let (stop, counter) = (Arc::clone(&ends), Arc::clone(&opened));
        spawn(move || {
            let mut held: Vec<Option<TcpStream>> = (0..count).map(|_| None).collect();
            while !stop.load(Ordering::Relaxed) {
                for stream in &mut held {
                    let is_open = |stream: &TcpStream| {
                        stream.peek(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
                    };
                    if !stream.as_ref().is_some_and(is_open) {
                        *stream = TcpStream::connect(("127.0.0.1", port)).ok();
                        if let Some(stream) = stream {
                            stream.set_nonblocking(true).unwrap();
                            *counter.lock().unwrap() += 1;
                        }
                    }
                }
                sleep(Duration::from_millis(200));
            }
        });
        Self { ends, opened }
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
    }
}

#[test]
fn five_hundred_silent_strangers_do_not_keep_a_restarting_node_from_serving() {
    let mut cluster = Cluster::prepare(&[Embedded; 3], &[]).with_http();
    cluster.launch_all();
    let victim = (cluster.leader() + 1) % 3;
    cluster.kill(victim);
    let () = words("SET k while-it-was-away").query(&mut cluster.connect((victim + 1) % 3)).unwrap();
    let flood = Flood::of(512, cluster.nodes[victim].raft_port);
    cluster.launch(victim);
    let began = Instant::now();
    wait_for("the node to serve", || {
        let value: Result<String, _> = words("GET k").query(&mut cluster.connect(victim));
        value.is_ok_and(|value| value == "while-it-was-away")
    });
    let took = began.elapsed();
    assert!(took < Duration::from_secs(6), "it serves after {took:?}\n{}", cluster.log(victim));
    // They are there all the time, and a write that has its majority by this node only is committed.
    wait_for("all strangers", || *flood.opened.lock().unwrap() >= 512);
    let leader = cluster.leader();
    cluster.kill((0..3).find(|index| *index != leader && *index != victim).unwrap());
    wait_for("a write", || words("SET k with-strangers").query::<()>(&mut cluster.connect(victim)).is_ok());
    let metrics = http::get(cluster.http(victim), "/metrics").body;
    assert!(
        metrics.contains("raft_proxy_network_refused_connections_total{reason=\"crowded\"}"),
        "{metrics}"
    );
    let lines = cluster.log(victim).matches("a connection to the Raft port was refused").count();
    assert!((1..10).contains(&lines), "{lines} lines\n{}", cluster.log(victim));
}

#[test]
fn a_wrong_word_on_the_raft_port_costs_the_connection_at_once_and_one_line_in_the_log() {
    let mut cluster = Cluster::prepare(&[Embedded], &[]).with_http();
    cluster.launch_all();
    for _ in 0..12 {
        let mut stream = TcpStream::connect(("127.0.0.1", cluster.nodes[0].raft_port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        // Shorter than a hello: it is not waited for more.
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        let began = Instant::now();
        let _ = stream.read_to_end(&mut answer);
        assert!(answer.is_empty() && began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    }
    let metrics = http::get(cluster.http(0), "/metrics").body;
    assert!(
        metrics.contains("raft_proxy_network_refused_connections_total{reason=\"not-a-node\"} 12"),
        "{metrics}"
    );
    let lines = cluster.log(0).matches("it does not speak as nodes do").count();
    assert!((1..=2).contains(&lines), "{lines} lines\n{}", cluster.log(0));
}

#[test]
fn a_web_page_changes_nothing_where_no_password_is_set() {
    let mut cluster = Cluster::prepare(&[Embedded], &[]).with_http();
    cluster.launch_all();
    let address = cluster.http(0).to_owned();
    let stranger = Stranger::start(b"");
    let body = json!({ "raft": stranger.address() }).to_string();
    let page = ("Origin", "https://evil.example");
    let rebound = ("Host", "evil.example:9640");
    let json_type = ("Content-Type", "application/json");
    let requests: [(&[(&str, &str)], u16); 9] = [
        (&[page, ("Content-Type", "text/plain")], 403),
        (&[page, json_type], 403),
        (&[("Origin", "null"), json_type], 403),
        (&[("Sec-Fetch-Site", "cross-site"), json_type], 403),
        (&[("Sec-Fetch-Site", "same-site"), json_type], 403),
        (&[rebound, json_type], 403),
        (
            &[rebound, ("Origin", "http://evil.example:9640"), ("Sec-Fetch-Site", "same-origin"), json_type],
            403,
        ),
        (&[("Content-Type", "text/plain")], 415),
        (&[("Content-Type", "application/x-www-form-urlencoded")], 415),
    ];
    for (headers, status) in requests {
        for (method, path) in
            [("POST", "/cluster/members"), ("PUT", "/log-level"), ("DELETE", "/cluster/members?id=1&force")]
        {
            let answer = http::call(&address, method, path, headers, &body);
            assert_eq!(answer.status, status, "{method} {path} {headers:?}: {answer:?}");
            assert!(answer.json()["error"].is_string());
        }
    }
    // What a browser asks before it sends JSON is not granted.
    let asked = http::call(
        &address,
        "OPTIONS",
        "/cluster/members",
        &[
            page,
            ("Access-Control-Request-Method", "POST"),
            ("Access-Control-Request-Headers", "content-type"),
        ],
        "",
    );
    assert!(asked.status == 405 && asked.header("access-control-allow-origin").is_none(), "{asked:?}");
    assert_eq!(cluster.members(0).unwrap().len(), 1);
    assert!(stranger.heard().is_empty());
    // To the port for clients, where a line of the body would be a command.
    let mut resp = TcpStream::connect(("127.0.0.1", cluster.nodes[0].port)).unwrap();
    resp.set_read_timeout(Some(PATIENCE)).unwrap();
    let _ = resp.write_all(
        b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/plain\r\n\r\nSET from-a-page 1\r\n",
    );
    let _ = resp.read_to_end(&mut Vec::new());
    let mut resp = TcpStream::connect(("127.0.0.1", cluster.nodes[0].port)).unwrap();
    resp.set_read_timeout(Some(PATIENCE)).unwrap();
    let _ = resp.write_all(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nSET from-a-page 1\r\n");
    let _ = resp.read_to_end(&mut Vec::new());
    let there: i64 = words("EXISTS from-a-page").query(&mut cluster.connect(0)).unwrap();
    assert_eq!(there, 0);
    // A program on the same machine may.
    let changed =
        http::call(&address, "PUT", "/log-level", &[("Host", "localhost:1")], r#"{"level": "warn"}"#);
    assert_eq!(changed.status, 200, "{changed:?}");
}
