//! A lone Kiwi with data, and sidecars: its data becomes the cluster's.

use std::collections::{BTreeMap, BTreeSet};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

use redis::{Connection, Value, cmd};
use tests::cluster::{Cluster, PATIENCE};
use tests::engine::{self, Engine};

type Bytes = Vec<u8>;

/// Far in the future, Unix milliseconds.
const DEADLINE: u64 = 4_000_000_000_123;

/// What a lone Kiwi was given.
#[derive(Default)]
struct Content {
    strings: BTreeMap<Bytes, Bytes>,
    hashes: BTreeMap<Bytes, BTreeMap<Bytes, Bytes>>,
    lists: BTreeMap<Bytes, Vec<Bytes>>,
    sets: BTreeMap<Bytes, BTreeSet<Bytes>>,
    zsets: BTreeMap<Bytes, BTreeMap<Bytes, f64>>,
    /// Those with a deadline, which is [`DEADLINE`].
    deadlines: BTreeSet<Bytes>,
}

fn nasty() -> Vec<Bytes> {
    let all: Bytes = (0..=255).collect();
    vec![
        b"plain".to_vec(),
        b"\r\n".to_vec(),
        b"\xff\xfe".to_vec(),
        b"a*?[]\\".to_vec(),
        all,
        b"nul\0".to_vec(),
    ]
}

fn numbered(what: &str, count: usize) -> impl Iterator<Item = Bytes> {
    let what = what.to_owned();
    (0..count).map(move |number| format!("{what}{number:06}").into_bytes())
}

impl Content {
    /// Some of everything.
    fn of_all_kinds() -> Self {
        let mut content = Self::many_strings(1000);
        for key in nasty() {
            content.strings.insert([&b"s:"[..], &key].concat(), key);
        }
        content.strings.insert(b"empty".to_vec(), Bytes::new());
        content.strings.insert(b"long".to_vec(), (0..3_000_000_u32).map(|n| (n % 251) as u8).collect());
        let pairs = nasty().into_iter().map(|field| (field.clone(), field.into_iter().rev().collect()));
        content.hashes.insert(b"hash\xff".to_vec(), pairs.collect());
        content.hashes.insert(b"big hash".to_vec(), numbered("f", 5000).zip(numbered("v", 5000)).collect());
        content.lists.insert(b"list".to_vec(), nasty().into_iter().chain(nasty()).collect());
        content.lists.insert(b"big list".to_vec(), numbered("e", 5000).collect());
        content.lists.insert(b"heavy list".to_vec(), numbered("x", 30).map(|e| e.repeat(30_000)).collect());
        content.sets.insert(b"set".to_vec(), nasty().into_iter().collect());
        content.sets.insert(b"big set".to_vec(), numbered("m", 5000).collect());
        let scores = [-1e300, -0.5, 0.0, 0.1, 5e-324, f64::MAX];
        content.zsets.insert(b"zset".to_vec(), nasty().into_iter().zip(scores).collect());
        let scored = numbered("z", 5000).zip((0..).map(|n| f64::from(n) / 3.0));
        content.zsets.insert(b"big zset".to_vec(), scored.collect());
        content.deadlines = ["empty", "list", "zset", "s:plain"].map(|key| key.as_bytes().to_vec()).into();
        content
    }

    fn many_strings(count: usize) -> Self {
        let strings = numbered("key:", count).map(|key| (key.clone(), key.repeat(3))).collect();
        Self { strings, ..Self::default() }
    }

    fn keys(&self) -> usize {
        self.strings.len() + self.hashes.len() + self.lists.len() + self.sets.len() + self.zsets.len()
    }

    /// Gives it to a Kiwi, by commands that a Kiwi carries out as they are meant.
    fn put(&self, kiwi: &mut Connection) {
        let (short, long): (Vec<_>, Vec<_>) = self.strings.iter().partition(|(_, value)| value.len() < 1000);
        for pairs in short.chunks(500).chain(long.chunks(1)) {
            let mut mset = cmd("MSET");
            for (key, value) in pairs {
                mset.arg(*key).arg(*value);
            }
            let () = mset.query(kiwi).unwrap();
        }
        for (key, fields) in &self.hashes {
            for part in fields.iter().collect::<Vec<_>>().chunks(500) {
                let mut call = cmd("HMSET");
                call.arg(key);
                for (field, value) in part {
                    call.arg(*field).arg(*value);
                }
                let () = call.query(kiwi).unwrap();
            }
        }
        for (key, elements) in &self.lists {
            for part in elements.chunks(if elements[0].len() > 1000 { 1 } else { 500 }) {
                let () = cmd("RPUSH").arg(key).arg(part).query(kiwi).unwrap();
            }
        }
        for (key, members) in &self.sets {
            for part in members.iter().collect::<Vec<_>>().chunks(if members.len() > 100 { 500 } else { 1 }) {
                let () = cmd("SADD").arg(key).arg(part).query(kiwi).unwrap();
            }
        }
        for (key, members) in &self.zsets {
            for part in members.iter().collect::<Vec<_>>().chunks(500) {
                let mut call = cmd("ZADD");
                call.arg(key);
                for (member, score) in part {
                    call.arg(format!("{score:e}")).arg(*member);
                }
                let () = call.query(kiwi).unwrap();
            }
        }
        for key in &self.deadlines {
            let () = cmd("PEXPIREAT").arg(key).arg(DEADLINE).query(kiwi).unwrap();
        }
    }

    /// Checks that a node has exactly this.
    fn check(&self, node: &mut Connection) {
        let keys: usize = cmd("DBSIZE").query(node).unwrap();
        assert_eq!(keys, self.keys());
        for pairs in self.strings.iter().collect::<Vec<_>>().chunks(500) {
            let found: Vec<Option<Bytes>> =
                cmd("MGET").arg(pairs.iter().map(|(key, _)| *key).collect::<Vec<_>>()).query(node).unwrap();
            for ((key, value), found) in pairs.iter().zip(found) {
                assert!(found.as_ref() == Some(value), "{}", key.escape_ascii());
            }
        }
        for (key, fields) in &self.hashes {
            let found: BTreeMap<Bytes, Bytes> = cmd("HGETALL").arg(key).query(node).unwrap();
            assert!(found == *fields, "{}", key.escape_ascii());
        }
        for (key, elements) in &self.lists {
            let found: Vec<Bytes> = cmd("LRANGE").arg(key).arg(0).arg(-1).query(node).unwrap();
            assert!(found == *elements, "{}", key.escape_ascii());
        }
        for (key, members) in &self.sets {
            let found: BTreeSet<Bytes> = cmd("SMEMBERS").arg(key).query(node).unwrap();
            assert!(found == *members, "{}", key.escape_ascii());
        }
        for (key, members) in &self.zsets {
            let found: Vec<(Bytes, f64)> =
                cmd("ZRANGE").arg(key).arg(0).arg(-1).arg("WITHSCORES").query(node).unwrap();
            assert!(found.into_iter().collect::<BTreeMap<_, _>>() == *members, "{}", key.escape_ascii());
        }
        for key in self.strings.keys().chain(self.lists.keys()).chain(self.zsets.keys()).take(2000) {
            let found: i64 = cmd("PEXPIRETIME").arg(key).query(node).unwrap();
            let is_right = if self.deadlines.contains(key) {
                // Reading it takes a moment, which Kiwi's answer does not know of.
                (found - DEADLINE as i64).abs() < 5000
            } else {
                found == -1
            };
            assert!(is_right, "{} {found}", key.escape_ascii());
        }
    }
}

/// Three nodes; the first one's Kiwi has data.
struct Nodes {
    cluster: Cluster,
}

impl Nodes {
    fn start(engine: Engine, content: &Content) -> Self {
        let settings = [("storage.timeout", "4s"), ("storage.keep_values", "0")];
        let mut cluster = Cluster::prepare(&[engine; 3], &settings);
        cluster.kiwi_mut(0).launch();
        content.put(&mut cluster.kiwi(0).connect());
        cluster.launch_all();
        cluster.wait_for_storage(0, "RAFT.CLUSTER INIT ADOPT");
        Self { cluster }
    }

    /// Has the first node adopt, in the background.
    fn adopt(&self) -> JoinHandle<Result<String, String>> {
        let mut node = self.cluster.connect(0);
        node.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
        spawn(move || {
            cmd("RAFT.CLUSTER").arg("INIT").arg("ADOPT").query(&mut node).map_err(|error| error.to_string())
        })
    }

    /// What a write is answered, without effect.
    fn is_loading(&self, index: usize) -> bool {
        match cmd("DEL").arg("nothing").query::<Value>(&mut self.cluster.connect(index)) {
            Ok(_) => false,
            Err(error) => {
                error.code() == Some("LOADING") && error.detail() == Some("Raft module is loading data")
            }
        }
    }

    /// Waits until clients are, or are no longer, told that data is loading.
    fn wait_for_loading(&self, index: usize, loading: bool) {
        let deadline = Instant::now() + PATIENCE * 2;
        while self.is_loading(index) != loading {
            assert!(Instant::now() < deadline, "{}", self.cluster.log(0));
            sleep(Duration::from_millis(2));
        }
    }

    /// Checks that everything is everywhere.
    fn check(&self, content: &Content) {
        self.cluster.settle();
        for index in 0..3 {
            content.check(&mut self.cluster.connect(index));
        }
        self.cluster.assert_equal_digests();
    }
}

fn ask(connection: &mut Connection, words: &[&str]) -> Result<Value, String> {
    let mut call = cmd(words[0]);
    for word in &words[1..] {
        call.arg(word);
    }
    call.query(connection).map_err(|error| error.to_string())
}

#[test]
fn the_data_of_a_lone_kiwi_becomes_the_clusters() {
    engine::on_each_kiwi(adopt_all_kinds);
}

fn adopt_all_kinds(engine: Engine) {
    let mut content = Content::of_all_kinds();
    let nodes = Nodes::start(engine, &content);
    let () =
        cmd("PSETEX").arg("soon gone").arg(700).arg("v").query(&mut nodes.cluster.kiwi(0).connect()).unwrap();
    let mut first = nodes.cluster.connect(0);
    let again = ask(&mut first, &["RAFT.CLUSTER", "INIT"]).unwrap_err();
    assert!(again.contains("Already cluster member"), "{again}");
    let adopting = nodes.adopt();
    nodes.wait_for_loading(1, true);
    for words in [&["GET", "long"][..], &["DBSIZE"], &["SET", "a", "b"], &["KEYS", "*"], &["FLUSHALL"]] {
        let refused = ask(&mut nodes.cluster.connect(2), words).unwrap_err();
        assert!(refused.contains("Raft module is loading data"), "{words:?}: {refused}");
    }
    assert_eq!(ask(&mut nodes.cluster.connect(2), &["PING"]), Ok(Value::SimpleString("PONG".to_owned())));
    let answer = adopting.join().unwrap().unwrap();
    let id = nodes.cluster.status(0).unwrap().cluster_id;
    assert_eq!(answer, format!("OK {id}"));
    sleep(Duration::from_millis(700));
    nodes.check(&content);
    let mut kiwi = nodes.cluster.kiwi(0).connect();
    assert_eq!(ask(&mut kiwi, &["PTTL", "zset"]), Ok(Value::Int(-1)), "the deadline is the index's");
    assert_eq!(ask(&mut kiwi, &["LLEN", "big list"]), Ok(Value::Int(5000)));
    assert_eq!(ask(&mut kiwi, &["EXISTS", "__raft_proxy__:mark:0"]), Ok(Value::Int(1)));
    assert_eq!(ask(&mut kiwi, &["EXISTS", "__raft_proxy__:adopted"]), Ok(Value::Int(0)));
    let deadline = Instant::now() + PATIENCE;
    while nodes.cluster.status(0).unwrap().snapshot == 0 {
        assert!(Instant::now() < deadline, "it is the first snapshot");
        sleep(Duration::from_millis(50));
    }
    let again = nodes.adopt().join().unwrap().unwrap_err();
    assert!(again.contains("this node's already"), "{again}");
    content.strings.insert(b"new".to_vec(), b"one".to_vec());
    assert!(ask(&mut first, &["SET", "new", "one"]).is_ok());
    nodes.check(&content);
}

#[test]
fn only_an_empty_cluster_adopts_and_only_a_kiwis_data() {
    engine::on_each_kiwi(adopt_where_it_is_refused);
}

fn adopt_where_it_is_refused(engine: Engine) {
    let content = Content::many_strings(100);
    let nodes = Nodes::start(engine, &content);
    let mut client = nodes.cluster.connect(1);
    assert!(ask(&mut client, &["SET", "k", "v"]).is_ok());
    let refused = nodes.adopt().join().unwrap().unwrap_err();
    assert!(refused.contains("the cluster has data already"), "{refused}");
    let refused = ask(&mut client, &["RAFT.CLUSTER", "INIT", "ADOPT"]).unwrap_err();
    assert!(refused.contains("nothing to adopt"), "{refused}");
    assert_eq!(ask(&mut nodes.cluster.kiwi(0).connect(), &["EXISTS", "key:000001"]), Ok(Value::Int(1)));
    assert!(ask(&mut client, &["FLUSHALL"]).is_ok());
    nodes.adopt().join().unwrap().unwrap();
    nodes.check(&content);
    drop(nodes);

    let embedded = Cluster::start(&[Engine::Embedded]);
    let refused = ask(&mut embedded.connect(0), &["RAFT.CLUSTER", "INIT", "ADOPT"]).unwrap_err();
    assert!(refused.contains("storage is of kind embedded"), "{refused}");
}

#[test]
fn whoever_still_writes_to_the_lone_kiwi_is_noticed_and_nothing_is_lost() {
    engine::on_each_kiwi(adopt_beside_a_writer);
}

fn adopt_beside_a_writer(engine: Engine) {
    let content = Content::many_strings(20_000);
    let nodes = Nodes::start(engine, &content);
    let adopting = nodes.adopt();
    nodes.wait_for_loading(1, true);
    let mut kiwi = nodes.cluster.kiwi(0).connect();
    let mut written = 0;
    while !adopting.is_finished() {
        let () = cmd("SET").arg(format!("late:{written}")).arg("x").query(&mut kiwi).unwrap();
        written += 1;
    }
    let refused = adopting.join().unwrap().unwrap_err();
    assert!(refused.contains("changed while it was read") || refused.contains("got new keys"), "{refused}");
    assert!(nodes.is_loading(1));
    let elsewhere = &mut nodes.cluster.connect(2);
    assert!(ask(elsewhere, &["RAFT.CLUSTER", "INIT", "ADOPT", "ABORT"]).is_ok());
    assert_eq!(ask(elsewhere, &["DBSIZE"]), Ok(Value::Int(0)));
    let found: Option<Bytes> = cmd("GET").arg("key:000001").query(&mut kiwi).unwrap();
    assert!(found.is_some(), "Kiwi has what it had");
    for number in 0..written {
        let () = cmd("DEL").arg(format!("late:{number}")).query(&mut kiwi).unwrap();
    }
    nodes.adopt().join().unwrap().unwrap();
    nodes.check(&content);
}

#[test]
fn kills_on_the_way_lose_nothing() {
    engine::on_each_kiwi(adopt_and_kill);
}

fn adopt_and_kill(engine: Engine) {
    let content = Content::many_strings(20_000);
    let all: u64 = std::env::var("ADOPT_KILLS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(1);
    for round in 0..all {
        for victim in ["the adopting node", "the leader", "Kiwi"] {
            let delay = rand::random_range(0..1500);
            let mut nodes = Nodes::start(engine, &content);
            let adopting = nodes.adopt();
            nodes.wait_for_loading(1, true);
            sleep(Duration::from_millis(delay));
            let leader = nodes.cluster.leader();
            let node = if victim == "the leader" { leader } else { 0 };
            let done = adopting.is_finished();
            println!("round {round}: {victim} (node {}) after {delay} ms, done: {done}", node + 1);
            if victim == "Kiwi" {
                nodes.cluster.kiwi_mut(0).kill();
                let answer = adopting.join().unwrap();
                nodes.cluster.kiwi_mut(0).launch();
                if answer.is_err() {
                    nodes.adopt().join().unwrap().unwrap();
                }
            } else {
                nodes.cluster.kill(node);
                let answer = adopting.join().unwrap();
                assert!(node == 0 || answer.is_ok(), "another leader takes its place: {answer:?}");
                nodes.cluster.launch(node);
            }
            nodes.wait_for_loading(1, false);
            nodes.check(&content);
        }
    }
}
