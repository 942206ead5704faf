//! Any bytes through every type, as key, field, member, element and value: what went in comes out, on every node, when
//! all of it is where it is kept in the end.
//!
//! On a Kiwi nothing is kept beside it that it can keep, so what comes out has been there.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use rand::rngs::SmallRng;
use rand::{RngCore, SeedableRng};
use redis::{Connection, FromRedisValue, cmd};
use tests::cluster::Cluster;
use tests::engine::{self, ALL_ON_KIWI, Engine};

/// Cases on each row.
const CASES: u32 = 40;
const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

type Bytes = Vec<u8>;

/// What a key holds.
#[derive(Clone, Debug, PartialEq)]
enum Content {
    Text(Bytes),
    Hash(BTreeMap<Bytes, Bytes>),
    List(Vec<Bytes>),
    Set(BTreeSet<Bytes>),
    /// Scores by their bits. As in Redis, there is no -0.
    Sorted(BTreeMap<Bytes, u64>),
}

use Content::{Hash, List, Set, Sorted, Text};

/// Keys, and what they hold.
type Model = BTreeMap<Bytes, Content>;

/// What is hard on a storage: nothing, every byte, what is not UTF-8 and what looks like it, what means something in
/// patterns and in the protocol, and the lengths at which a value is kept in another way.
fn bytes() -> impl Strategy<Value = Bytes> {
    let nasty: [&[u8]; 12] = [
        b"",
        b"\0",
        b"a\0",
        b"a",
        b"\r\n",
        b"$-1\r\n",
        b"*?[]\\",
        b"\xff",
        b"\xef\xbf\xbd",
        b"\xe2\x82",
        b"007",
        b"-0",
    ];
    let lengths: [usize; 8] = [31, 32, 33, 255, 256, 4096, 64 * KIB, 64 * KIB + 1];
    prop_oneof![
        3 => prop::sample::select(nasty.map(<[u8]>::to_vec).to_vec()),
        3 => prop::collection::vec(any::<u8>(), 0..40),
        1 => any::<u8>().prop_map(|byte| vec![byte]),
        1 => Just((0..=255).collect()),
        1 => (prop::sample::select(lengths.to_vec()), any::<u64>()).prop_map(|(len, seed)| noise(len, seed)),
    ]
}

fn score() -> impl Strategy<Value = f64> {
    let hard = [0.0, -0.0, 5e-324, -5e-324, 2.2e-308, f64::MAX, f64::MIN, f64::INFINITY, f64::NEG_INFINITY];
    prop_oneof![
        prop::sample::select(hard.to_vec()),
        any::<i32>().prop_map(f64::from),
        any::<u64>().prop_map(f64::from_bits).prop_filter("a number", |score| !score.is_nan()),
    ]
}

fn content() -> impl Strategy<Value = Content> {
    let few = 1..8;
    prop_oneof![
        bytes().prop_map(Text),
        prop::collection::btree_map(bytes(), bytes(), few.clone()).prop_map(Hash),
        prop::collection::vec(bytes(), few.clone()).prop_map(List),
        prop::collection::btree_set(bytes(), few.clone()).prop_map(Set),
        prop::collection::btree_map(bytes(), score().prop_map(|score| (score + 0.0).to_bits()), few)
            .prop_map(Sorted),
    ]
}

/// Bytes of chance.
fn noise(len: usize, seed: u64) -> Bytes {
    let mut bytes = vec![0; len];
    SmallRng::seed_from_u64(seed).fill_bytes(&mut bytes);
    bytes
}

fn ask<T: FromRedisValue>(node: &mut Connection, args: &[&[u8]]) -> T {
    let mut call = cmd(std::str::from_utf8(args[0]).unwrap());
    args[1..].iter().for_each(|arg| {
        call.arg(*arg);
    });
    call.query(node).unwrap_or_else(|error| panic!("{}: {error}", args[0].escape_ascii()))
}

/// Writes what a key is to hold.
fn write(node: &mut Connection, key: &[u8], content: &Content) {
    let scores: Vec<String>;
    let mut args: Vec<&[u8]> = Vec::new();
    match content {
        Text(value) => args.extend([b"SET", key, value]),
        Hash(pairs) => {
            args.extend([b"HSET", key]);
            pairs.iter().for_each(|(field, value)| args.extend([&field[..], value]));
        }
        List(elements) => {
            args.extend([&b"RPUSH"[..], key].into_iter().chain(elements.iter().map(Vec::as_slice)))
        }
        Set(members) => args.extend([&b"SADD"[..], key].into_iter().chain(members.iter().map(Vec::as_slice))),
        Sorted(members) => {
            scores = members.values().map(|bits| f64::from_bits(*bits).to_string()).collect();
            args.extend([b"ZADD", key]);
            members
                .keys()
                .zip(&scores)
                .for_each(|(member, score)| args.extend([score.as_bytes(), &member[..]]));
        }
    }
    ask::<redis::Value>(node, &args);
}

/// Changes a part of what a key holds: the first of it becomes, or is joined by, other bytes.
fn change(node: &mut Connection, key: &[u8], content: &mut Content, bytes: &[u8]) {
    match content {
        Text(value) => {
            value.extend(bytes);
            ask::<usize>(node, &[b"APPEND", key, bytes]);
        }
        Hash(pairs) => {
            let (field, value) = pairs.iter_mut().next().unwrap();
            *value = bytes.to_vec();
            ask::<usize>(node, &[b"HSET", key, field, value]);
        }
        List(elements) => {
            elements[0] = bytes.to_vec();
            ask::<()>(node, &[b"LSET", key, b"0", bytes]);
            elements.insert(0, bytes.to_vec());
            ask::<usize>(node, &[b"LPUSH", key, bytes]);
        }
        Set(members) => {
            let first = members.pop_first().unwrap();
            members.insert(bytes.to_vec());
            ask::<usize>(node, &[b"SADD", key, bytes]);
            if first != bytes {
                ask::<usize>(node, &[b"SREM", key, &first]);
            }
        }
        Sorted(members) => {
            members.insert(bytes.to_vec(), f64::to_bits(0.5));
            ask::<usize>(node, &[b"ZADD", key, b"0.5", bytes]);
        }
    }
}

/// Reads what a key holds, in the form of what it should hold, whole and one by one.
fn read(node: &mut Connection, key: &[u8], like: &Content) -> Content {
    match like {
        Text(_) => Text(ask(node, &[b"GET", key])),
        Hash(pairs) => {
            let whole: BTreeMap<Bytes, Bytes> = ask(node, &[b"HGETALL", key]);
            for field in pairs.keys() {
                assert_eq!(ask::<Option<Bytes>>(node, &[b"HGET", key, field]).as_ref(), whole.get(field));
            }
            Hash(whole)
        }
        List(elements) => {
            let whole: Vec<Bytes> = ask(node, &[b"LRANGE", key, b"0", b"-1"]);
            let last = elements.len() - 1;
            let index = last.to_string();
            assert_eq!(
                ask::<Option<Bytes>>(node, &[b"LINDEX", key, index.as_bytes()]).as_ref(),
                whole.get(last)
            );
            List(whole)
        }
        Set(members) => {
            for member in members {
                assert!(ask::<bool>(node, &[b"SISMEMBER", key, member]), "{}", member.escape_ascii());
            }
            Set(ask(node, &[b"SMEMBERS", key]))
        }
        Sorted(_) => {
            let whole: Vec<(Bytes, Bytes)> = ask(node, &[b"ZRANGE", key, b"0", b"-1", b"WITHSCORES"]);
            let mut members = BTreeMap::new();
            for (member, score) in whole {
                let score: f64 = String::from_utf8(score).unwrap().parse().unwrap();
                let alone: f64 = ask(node, &[b"ZSCORE", key, &member]);
                assert_eq!(alone.to_bits(), score.to_bits(), "{}", member.escape_ascii());
                members.insert(member, score.to_bits());
            }
            Sorted(members)
        }
    }
}

/// A cluster, and a connection to each of its nodes.
struct Nodes {
    cluster: Cluster,
    connections: Vec<Connection>,
}

impl Nodes {
    fn start(engine: Engine) -> Self {
        let cluster = Cluster::start_with(&[engine; 3], &ALL_ON_KIWI);
        let connections = (0..3).map(|index| cluster.connect(index)).collect();
        Self { cluster, connections }
    }

    fn node(&mut self, index: usize) -> &mut Connection {
        &mut self.connections[index % 3]
    }

    /// Waits until everything is where it is kept, and compares it.
    fn check(&mut self, model: &Model) -> Result<(), String> {
        self.cluster.assert_equal_digests();
        self.cluster.settle();
        for (index, node) in self.connections.iter_mut().enumerate() {
            let count: usize = ask(node, &[b"DBSIZE"]);
            if count != model.len() {
                return Err(format!("node {}: {count} keys instead of {}", index + 1, model.len()));
            }
            for (key, content) in model {
                let found = read(node, key, content);
                if found != *content {
                    let key = key.escape_ascii();
                    return Err(format!("node {}, key {key}:\n{}", index + 1, difference(&found, content)));
                }
            }
        }
        self.cluster.assert_equal_digests();
        Ok(())
    }
}

/// Both, no longer than can be read.
fn difference(found: &Content, wanted: &Content) -> String {
    let short = |content: &Content| format!("{content:?}").chars().take(2000).collect::<String>();
    format!("  found  {}\n  wanted {}", short(found), short(wanted))
}

#[test]
fn any_bytes_come_out_of_every_type_as_they_went_in() {
    engine::on_each(|engine| {
        let nodes = RefCell::new((Nodes::start(engine), 0));
        let config = ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() };
        let changes = prop::collection::vec((any::<prop::sample::Index>(), bytes()), 1..8);
        let result = TestRunner::new(config).run(
            &(prop::collection::btree_map(bytes(), content(), 3..12), changes),
            |(mut model, changes)| {
                let (nodes, turn) = &mut *nodes.borrow_mut();
                *turn += 1;
                ask::<()>(nodes.node(*turn), &[b"FLUSHALL"]);
                for (key, content) in &model {
                    write(nodes.node(*turn), key, content);
                }
                nodes.check(&model).map_err(TestCaseError::fail)?;
                for (index, bytes) in changes {
                    let key = index.get(&model.keys().cloned().collect::<Vec<_>>()).clone();
                    let content = model.get_mut(&key).unwrap();
                    change(nodes.node(*turn), &key, content, &bytes);
                }
                nodes.check(&model).map_err(TestCaseError::fail)
            },
        );
        if let Err(error) = result {
            panic!("{}", format!("{error}").chars().take(10_000).collect::<String>());
        }
    });
}

#[test]
fn huge_keys_fields_members_elements_and_values_come_out_as_they_went_in() {
    engine::on_each(|engine| {
        let mut nodes = Nodes::start(engine);
        let sizes = [48 * KIB + 1, 512 * KIB, 512 * KIB + 1, MIB];
        let some =
            |seed: u64| sizes.iter().zip(seed..).map(|(size, seed)| noise(*size, seed)).collect::<Vec<_>>();
        let long_key = noise(MIB, 1);
        let mut model = Model::from([
            (long_key, Text(noise(MIB, 2))),
            (b"hash".to_vec(), Hash(some(10).into_iter().zip(some(20)).collect())),
            (b"list".to_vec(), List(some(30))),
            (b"set".to_vec(), Set(some(40).into_iter().collect())),
            (b"sorted".to_vec(), Sorted(some(50).into_iter().map(|member| (member, 0)).collect())),
        ]);
        for (key, content) in &model {
            write(nodes.node(0), key, content);
        }
        nodes.check(&model).unwrap();
        for content in 0..model.len() {
            let (key, content) = model.iter_mut().nth(content).unwrap();
            change(nodes.node(1), key, content, &noise(700 * KIB, 60));
        }
        nodes.check(&model).unwrap();
    });
}

#[test]
fn parts_of_long_strings_are_read_and_written() {
    engine::on_each(|engine| {
        let mut nodes = Nodes::start(engine);
        for (key, len) in [(&b"on the storage"[..], 12 * MIB), (b"beside it", 20 * MIB)] {
            let mut value = noise(len, 1);
            ask::<()>(nodes.node(0), &[b"SET", key, &value]);
            nodes.check_string(key, &value);
            let (part, at) = (noise(MIB + 3, 2), 5 * MIB - 1);
            ask::<usize>(nodes.node(1), &[b"SETRANGE", key, at.to_string().as_bytes(), &part]);
            value[at..at + part.len()].copy_from_slice(&part);
            nodes.check_string(key, &value);
            ask::<usize>(nodes.node(2), &[b"APPEND", key, &part]);
            value.extend(&part);
            let behind = value.len() + 100;
            ask::<usize>(nodes.node(0), &[b"SETRANGE", key, behind.to_string().as_bytes(), b"end"]);
            value.resize(behind, 0);
            value.extend(b"end");
            nodes.check_string(key, &value);
        }
    });
}

impl Nodes {
    /// Waits until everything is where it is kept, and compares a string, whole and in parts.
    fn check_string(&mut self, key: &[u8], value: &[u8]) {
        self.cluster.assert_equal_digests();
        self.cluster.settle();
        for node in &mut self.connections {
            assert_eq!(ask::<usize>(node, &[b"STRLEN", key]), value.len());
            for (start, len) in [(0, 1), (5 * MIB - 10, 20), (6 * MIB, 3 * MIB), (value.len() - 50, 50)] {
                let (from, to) = (start.to_string(), (start + len - 1).to_string());
                let part: Bytes = ask(node, &[b"GETRANGE", key, from.as_bytes(), to.as_bytes()]);
                assert!(part == value[start..start + len], "{len} bytes from {start}");
            }
            assert!(ask::<Bytes>(node, &[b"GET", key]) == value, "the whole string");
        }
    }
}
