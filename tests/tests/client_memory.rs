//! The memory of all clients together, and what CLIENT LIST says of each.

use std::collections::HashMap;
use std::io::Write as _;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tests::ask::wait_for;
use tests::ports;
use tests::raw::{Client, encode};
use tests::solo::{Solo, is_closed};

const MIB: usize = 1 << 20;

/// The fields of a connection in CLIENT LIST, in their order.
fn fields(list: &str, id: &str) -> Vec<(String, String)> {
    let line = list.split("\\n").map(|line| line.trim_start_matches(['"', '=']));
    let line = line.clone().find(|line| line.starts_with(&format!("id={id} ")));
    let line = line.unwrap_or_else(|| panic!("no connection {id} in {list}"));
    let pairs = line.split(' ').map(|field| field.split_once('=').unwrap());
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// What CLIENT LIST says of one connection, to another one.
fn shown(observer: &mut Client, id: &str) -> HashMap<String, String> {
    fields(&observer.ask("CLIENT LIST"), id).into_iter().collect()
}

fn id(client: &mut Client) -> String {
    client.ask("CLIENT ID").trim_start_matches(':').to_owned()
}

fn number(fields: &HashMap<String, String>, name: &str) -> usize {
    fields[name].parse().unwrap_or_else(|_| panic!("{name} is {}", fields[name]))
}

/// The head of a SET of so many bytes, and none of them.
fn announce(key: &str, bytes: usize) -> Vec<u8> {
    format!("*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n${bytes}\r\n", key.len()).into_bytes()
}

#[test]
fn half_of_a_large_value_from_each_of_many_clients_stays_within_the_bound() {
    const BOUND: usize = 64 * MIB;
    const CLIENTS: usize = 24;
    let node = Solo::start(&[("limits.max_client_memory", "64MiB")]);
    let mut observer = node.client();
    observer.check(&[("CLIENT NO-EVICT ON", "+OK"), ("SET kept 1", "+OK")]);
    let before = node.memory("VmRSS") as usize;
    let half = vec![b'v'; 12 * MIB];
    let mut clients: Vec<(String, Client)> = Vec::new();
    for n in 0..CLIENTS {
        let mut client = node.client();
        let id = id(&mut client);
        client.stream.write_all(&announce(&format!("key{n:02}"), 2 * half.len())).unwrap();
        // Who is closed may find out before all is sent.
        let _ = client.stream.write_all(&half);
        let mut seen = 0;
        wait_for("half of the value is shown, or the client is closed", || {
            let list = observer.ask("CLIENT LIST");
            let is_there = list.contains(&format!("id={id} "));
            seen = if is_there { number(&fields(&list, &id).into_iter().collect(), "qbuf") } else { 0 };
            !is_there || seen == half.len()
        });
        if seen > 0 {
            let holds = shown(&mut observer, &id);
            assert_eq!(number(&holds, "argv-mem"), "SET".len() + "key00".len());
            assert!((seen..=3 * half.len()).contains(&number(&holds, "tot-mem")), "{holds:?}");
            assert_eq!(number(&holds, "obl") + number(&holds, "omem"), 0, "{holds:?}");
        }
        clients.push((id, client));
    }
    let grown = (node.memory("VmHWM") as usize).saturating_sub(before);
    // All of them would hold 288 MiB. A buffer is there twice for a moment while it grows.
    assert!(grown < 2 * BOUND + 16 * MIB, "it has grown by {} MiB", grown / MIB);
    assert!(node.info("mem_clients_normal").parse::<usize>().unwrap() <= BOUND + CLIENTS * 64 * 1024);
    let list = observer.ask("CLIENT LIST");
    let (mut stayed, gone): (Vec<_>, Vec<_>) =
        clients.into_iter().partition(|(id, _)| list.contains(&format!("id={id} ")));
    assert!(stayed.len() >= 2 && gone.len() >= 6, "{} stayed, {} are gone", stayed.len(), gone.len());
    assert!(gone.iter().all(|(_, client)| is_closed(client, Duration::from_secs(5))));
    assert_eq!(node.info("evicted_clients").parse::<usize>().unwrap(), gone.len());
    assert!(node.log().contains("hold more than limits.max_client_memory"), "{}", node.log());
    drop(gone);
    // One of those that stayed goes on as if nothing had been.
    let (_, client) = &mut stayed[0];
    client.stream.write_all(&half).unwrap();
    client.stream.write_all(b"\r\n").unwrap();
    assert_eq!(format!("{:?}", client.receive()), "+OK");
    observer.check(&[("GET kept", "\"1\"")]);
}

#[test]
fn replies_that_nobody_reads_stay_within_the_bound_and_those_who_read_get_all() {
    let node = Solo::start(&[("limits.max_client_memory", "32MiB")]);
    let mut client = node.client();
    let value = vec![b'v'; MIB];
    client.call(&[b"SET", b"k", &value]);
    let ask_for = |client: &mut Client, times: usize| {
        client.stream.write_all(&encode(&[b"GET", b"k"]).repeat(times)).unwrap();
    };
    let deaf: Vec<Client> = (0..4)
        .map(|_| {
            let mut client = node.client();
            ask_for(&mut client, 200);
            client
        })
        .collect();
    // 800 MiB are asked for by those, and as much by one that reads.
    ask_for(&mut client, 200);
    for _ in 0..200 {
        assert!(matches!(client.receive(), tests::differential::resp::Frame::Bulk(bytes) if bytes == value));
    }
    let held = node.info("mem_clients_normal").parse::<usize>().unwrap();
    // Each of the five may go one reply beyond it.
    assert!(held <= 32 * MIB + 5 * 2 * MIB, "{held}");
    drop(deaf);
    wait_for("the replies are forgotten", || node.info("mem_clients_normal").parse::<usize>().unwrap() < MIB);
}

#[test]
fn maxmemory_clients_is_set_as_in_redis() {
    let node = Solo::start(&[]);
    let mut client = node.client();
    client.check(&[
        ("CONFIG GET maxmemory-clients", "[\"maxmemory-clients\", \"25%\"]"),
        ("CONFIG SET maxmemory-clients 1gb", "+OK"),
        ("CONFIG GET maxmemory-clients", "[\"maxmemory-clients\", \"1073741824\"]"),
        ("CONFIG SET maxmemory-clients 5%", "+OK"),
        ("CONFIG GET maxmemory-clients limits.max_client_memory", "[\"limits.max_client_memory\", \"5%\", \"maxmemory-clients\", \"5%\"]"),
        ("CONFIG SET maxmemory-clients 0", "+OK"),
        ("CONFIG GET maxmemory-clients", "[\"maxmemory-clients\", \"0\"]"),
        (
            "CONFIG SET maxmemory-clients much",
            "-ERR CONFIG SET failed (possibly related to argument 'maxmemory-clients') - argument must be a memory or percent value",
        ),
    ]);
}

/// A `redis-server` on a port, killed when this is dropped.
struct Redis(Child, u16);

impl Redis {
    fn start() -> Self {
        let port = ports::free();
        let process = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--save", "", "--appendonly", "no"])
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is to be installed: `make deps` does it");
        wait_for("redis-server", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        Self(process, port)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A connection in some state: how it gets there, and the fields that are the same there on both servers.
struct State {
    name: &'static str,
    sends: Vec<u8>,
    /// What is to be read before it is looked at.
    replies: usize,
    same: &'static [&'static str],
}

fn states() -> Vec<State> {
    const BUFFERS: &[&str] = &["qbuf", "argv-mem", "obl", "oll", "omem", "events", "cmd", "flags", "resp"];
    let state = |name, sends: &[u8], replies| State { name, sends: sends.to_vec(), replies, same: BUFFERS };
    let mut half = announce("k", 100_000);
    half.extend_from_slice(&[b'x'; 50_000]);
    vec![
        state("new", b"", 0),
        state("after a command", b"SET a 1\r\n", 1),
        state("after a subcommand", b"CLIENT GETNAME\r\n", 1),
        state("after an unknown command", b"SET a 1\r\nNONSENSE\r\n", 2),
        state("after a wrong number of arguments", b"SET a 1\r\nGET\r\n", 2),
        state("in the middle of a long value", &half, 0),
        state("in the middle of an argument", b"*3\r\n$4\r\nMSET\r\n$3\r\nabc\r\n$5\r\nab", 0),
    ]
}

fn look(port: u16, state: &State) -> HashMap<String, String> {
    let (mut client, mut observer) = (Client::connect(port), Client::connect(port));
    // It came just before the observer.
    let id = id(&mut observer).parse::<u64>().unwrap() - 1;
    client.stream.write_all(&state.sends).unwrap();
    for _ in 0..state.replies {
        client.receive();
    }
    let mut found = HashMap::new();
    let mut last = HashMap::new();
    // What was sent may not be there yet.
    wait_for("the connection is as it will be", || {
        found = shown(&mut observer, &id.to_string());
        found.remove("age");
        found.remove("idle");
        let is_still = found == last && (state.sends.len() < 1000 || number(&found, "qbuf") > 0);
        last = found.clone();
        is_still
    });
    found
}

#[test]
fn client_list_says_of_a_connection_what_redis_says_of_it() {
    let redis = Redis::start();
    let node = Solo::start(&[]);
    for state in states() {
        let (theirs, ours) = (look(redis.1, &state), look(node.port, &state));
        for name in state.same {
            assert_eq!(
                ours[*name], theirs[*name],
                "{name} of a connection {}: {ours:?} {theirs:?}",
                state.name
            );
        }
    }
    // What it says of the connection that asks.
    let (mut at_redis, mut at_node) = (Client::connect(redis.1), node.client());
    let (redis_id, node_id) = (id(&mut at_redis), id(&mut at_node));
    let theirs = fields(&at_redis.ask("CLIENT LIST"), &redis_id);
    let ours = fields(&at_node.ask("CLIENT LIST"), &node_id);
    let names = |fields: &[(String, String)]| fields.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&ours)[..theirs.len()], names(&theirs)[..]);
    for ((name, our), (_, their)) in ours.iter().zip(&theirs) {
        if ["qbuf", "argv-mem", "obl", "oll", "omem", "cmd"].contains(&name.as_str()) {
            assert_eq!(our, their, "{name} of the connection that asks");
        }
    }
    let fd = &ours.iter().find(|(name, _)| name == "fd").unwrap().1;
    let file = std::fs::read_link(format!("/proc/{}/fd/{fd}", node.pid())).unwrap();
    assert!(
        file.starts_with(Path::new("socket:")) || file.to_string_lossy().starts_with("socket:"),
        "{file:?}"
    );
}

#[test]
fn client_list_shows_what_a_client_does_not_read_and_forgets_it_when_it_does() {
    let redis = Redis::start();
    let node = Solo::start(&[]);
    for port in [redis.1, node.port] {
        let (mut slow, mut observer) = (Client::connect(port), Client::connect(port));
        let id = id(&mut slow);
        slow.call(&[b"SET", b"big", &vec![b'x'; 50_000]]);
        slow.stream.write_all(&b"GET big\r\n".repeat(400)).unwrap();
        let mut holds = HashMap::new();
        wait_for("replies wait for the client", || {
            holds = shown(&mut observer, &id);
            // Its socket has taken what it can: until then a server waits for nothing.
            number(&holds, "omem") > 1_000_000 && holds["events"] == "rw"
        });
        assert_eq!(&*holds["cmd"], "get");
        assert!(number(&holds, "oll") > 0, "{holds:?}");
        assert!(number(&holds, "tot-mem") > number(&holds, "omem"), "{holds:?}");
        for _ in 0..400 {
            slow.receive();
        }
        wait_for("none do any more", || {
            holds = shown(&mut observer, &id);
            number(&holds, "omem") + number(&holds, "oll") + number(&holds, "obl") == 0
        });
    }
}
