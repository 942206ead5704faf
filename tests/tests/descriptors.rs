//! What runs out first: file descriptors, and places for connections.

use std::net::TcpStream;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use tests::ask::wait_for;
use tests::cluster::binary;
use tests::http;
use tests::raw::Client;
use tests::solo::{Solo, is_closed};

/// A small write buffer: files of the storage come and go all the time.
const MANY_FILES: (&str, &str) = ("storage.write_buffer_bytes", "1MiB");
/// A node of a cluster of one, which has a Raft log beside its storage.
const CLUSTER_OF_ONE: [(&str, &str); 3] =
    [MANY_FILES, ("cluster.enabled", "true"), ("cluster.members", "1=127.0.0.1:1")];

/// Writes values of 100 kB; answers how many were acknowledged before something went wrong, or all.
fn write(client: &mut Client, from: usize, count: usize) -> usize {
    use std::io::{Read as _, Write as _};
    let value = vec![b'v'; 100_000];
    for n in from..from + count {
        let mut reply = [0; 5];
        let request = tests::raw::encode(&[b"SET", format!("key{n}").as_bytes(), &value]);
        let done = client.stream.write_all(&request).and_then(|()| client.stream.read_exact(&mut reply));
        if done.is_err() || reply != *b"+OK\r\n" {
            return n - from;
        }
    }
    count
}

/// The only client of a node: those that have waited for its start are gone.
fn only_client(node: &Solo) -> Client {
    let mut client = node.client();
    wait_for("the others are gone", || client.ask("INFO clients").contains("connected_clients:1\\r"));
    client
}

/// So many clients, which have all places, and keep them.
fn take_all_places(node: &Solo, count: usize) -> Vec<Client> {
    let mut clients = vec![only_client(node)];
    clients.resize_with(count, || node.client());
    for client in &mut clients {
        assert_eq!(client.ask("EXISTS a"), ":0");
    }
    clients
}

#[test]
fn clients_beyond_the_limit_of_open_files_do_not_end_the_node() {
    let mut node = Solo::prepare(&[MANY_FILES]).open_files(512);
    node.launch();
    node.wait();
    let most: usize = node.info("maxclients").parse().unwrap();
    assert!((32..480).contains(&most), "{most}");
    assert!(node.log().contains("limits.max_clients is lowered"), "{}", node.log());
    let mut held = take_all_places(&node, most);
    let mut refused = node.client();
    assert_eq!(format!("{:?}", refused.receive()), "-ERR max number of clients reached");
    // Far more come than there are descriptors, and the storage can still open files.
    let _more: Vec<TcpStream> =
        (0..600).map(|_| TcpStream::connect(("127.0.0.1", node.port)).unwrap()).collect();
    let client = &mut held[0];
    assert_eq!(write(client, 0, 100), 100, "{}", node.log());
    assert!(node.open_now() < 512);
    assert_eq!(
        client.ask("CONFIG SET maxclients 10000"),
        format!(
            "-ERR CONFIG SET failed (possibly related to argument 'maxclients') - The operating system is not \
             able to handle the specified number of clients, try with {most}"
        )
    );
    assert_eq!(client.ask("CONFIG SET maxclients 40"), "+OK");
    assert_eq!(client.ask("CONFIG GET maxclients"), "[\"maxclients\", \"40\"]");
}

#[test]
fn without_descriptors_accept_pauses_and_tells_of_it_once_a_second() {
    let node = Solo::start(&[]);
    let mut client = node.client();
    client.check(&[("SET a 1", "+OK")]);
    node.set_open_files(node.open_now());
    let told = |node: &Solo| node.log().matches("no connection can be accepted").count();
    let waiting: Vec<Client> = (0..20).map(|_| node.client()).collect();
    wait_for("the first line", || told(&node) > 0);
    let (lines, ticks, began) = (told(&node), node.ticks(), Instant::now());
    // What is looked at is what happens in a while in which nothing can be accepted.
    sleep(Duration::from_secs(2));
    let seconds = began.elapsed().as_secs_f64();
    let (lines, ticks) = (told(&node) - lines, node.ticks() - ticks);
    assert!(lines as f64 <= seconds + 1.0, "{lines} lines in {seconds} s");
    assert!(ticks < 50, "{ticks} ticks of processor time in {seconds} s");
    client.check(&[("GET a", "\"1\"")]);
    node.set_open_files(1000);
    for mut client in waiting {
        client.check(&[("GET a", "\"1\"")]);
    }
}

#[test]
fn a_storage_that_fails_ends_the_process_with_the_exit_code_for_what_went_wrong() {
    for settings in [&[MANY_FILES][..], &CLUSTER_OF_ONE] {
        let raft = format!("127.0.0.1:{}", tests::ports::free());
        let mut settings = settings.to_vec();
        if settings.len() > 1 {
            settings.push(("listen.raft", &raft));
        }
        let mut node = Solo::start(&settings);
        let mut client = node.client();
        let before = write(&mut client, 0, 5);
        assert_eq!(before, 5);
        // It cannot open another file from here on.
        node.set_open_files(8);
        let acknowledged = before + write(&mut client, before, 400);
        assert!(acknowledged < 405, "it does not need files at all");
        let status = node.wait_for_exit();
        assert_eq!(status.code(), Some(1), "{status}\n{}", node.log());
        assert!(node.log().contains("has failed"), "{}", node.log());
        node.launch();
        node.wait();
        let mut client = node.client();
        for n in 0..acknowledged {
            assert_eq!(client.ask(&format!("STRLEN key{n}")), ":100000", "key{n} of {acknowledged}");
        }
    }
}

#[test]
fn a_limit_of_open_files_that_is_too_low_is_said_at_the_start() {
    let mut node = Solo::prepare(&[]).open_files(100);
    node.launch();
    let status = node.wait_for_exit();
    assert_eq!(status.code(), Some(1), "{status}");
    assert!(node.log().contains("the limit of open files is 100: too low"), "{}", node.log());
}

#[test]
fn silent_connections_over_http_do_not_shut_out_probes() {
    let node = Solo::start(&[]);
    let _silent: Vec<TcpStream> = (0..400).map(|_| TcpStream::connect(&node.http).unwrap()).collect();
    for path in ["/livez", "/readyz"] {
        let began = Instant::now();
        assert_eq!(http::get(&node.http, path).status, 200);
        assert!(began.elapsed() < Duration::from_secs(1), "{path} took {:?}", began.elapsed());
    }
    let metrics = http::get(&node.http, "/metrics").body;
    let closed = "raft_proxy_connections_turned_away_total{port=\"http\",reason=\"silent\"}";
    let count: u64 =
        metrics.lines().find_map(|line| line.strip_prefix(closed)).unwrap().trim().parse().unwrap();
    assert!(count >= 100, "{count}");
    // One line, whatever comes.
    assert_eq!(node.log().matches("a connection was closed").count(), 1, "{}", node.log());
}

#[test]
fn clients_that_take_all_places_do_not_lock_out_whoever_administers_the_node() {
    let settings = [("limits.max_clients", "40"), ("limits.handshake_timeout", "0s")];
    let node = Solo::start(&settings);
    let _held = take_all_places(&node, 40);
    let address = format!("127.0.0.1:{}", node.port);
    let status = Command::new(binary()).args(["status", "--addr", &address, "--json"]).output().unwrap();
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stderr));
    let mut administrator = node.client();
    assert!(administrator.ask("CLIENT LIST").contains(" cmd=exists "));
    let mut application = node.client();
    assert_eq!(application.ask("GET ready"), "-ERR max number of clients reached");
    assert!(is_closed(&application, Duration::from_secs(5)));
    // An administrator makes room, and is no client of data for that.
    assert_eq!(administrator.ask("CLIENT KILL ADDR 127.0.0.1:1"), ":0");
    assert_eq!(administrator.ask("CONFIG SET maxclients 60"), "+OK");
    assert_eq!(node.client().ask("GET ready"), "\"1\"");
    assert_eq!(administrator.ask("GET ready"), "-ERR max number of clients reached");
}
