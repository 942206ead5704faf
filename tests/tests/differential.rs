//! Random calls of every command, run on a real Redis and on the storages of this project: the replies must be
//! equal, frame by frame, in both versions of the protocol, and in the end so must all data.
//!
//! `DIFFERENTIAL_CASES` sets the number of cases. When a case fails, it is made as short as possible first, and the
//! calls that are printed can be pasted into `redis-cli`. The ignored test `a_survey_of_differences` goes on after a
//! difference and prints one example for every command.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet};
use std::time::{SystemTime, UNIX_EPOCH};

use adapter::Reply;
use adapter::command::{self, Flags, Handler};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use raft_proxy::resp::reply::Protocol;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tests::differential::compare::{self, Rule};
use tests::differential::content::{self, Value};
use tests::differential::grammar::{self, RULES};
use tests::differential::resp::{Frame, frame_of};
use tests::differential::server::{Connection, RedisServer};
use tests::differential::storage::{self, Storage};
use tests::differential::{Call, call, show};

/// Cases of the ordinary run.
const CASES: u32 = 1000;
/// The most calls of a case.
const CALLS: usize = 80;

/// A call to be: the rule it is made by, and the seed of all chance in it.
type Plan = (usize, u64);

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

/// A real Redis and the storages, all with the same content.
struct Bench {
    redis2: Connection,
    redis3: Connection,
    storages: Vec<Box<dyn Storage>>,
    payloads: Vec<Vec<u8>>,
    _server: RedisServer,
}

impl Bench {
    fn new() -> Self {
        let server = RedisServer::start();
        let mut redis2 = server.connect(Protocol::Resp2);
        let payloads = make_payloads(&mut redis2);
        let redis3 = server.connect(Protocol::Resp3);
        Self { redis3, redis2, storages: storage::all(), payloads, _server: server }
    }

    /// Applies a call to every storage. They share all but the engine, so their replies must be the very same.
    fn apply(&mut self, call: &Call, seed: u64) -> Result<Reply, String> {
        let now_ms = now_ms();
        let mut replies =
            self.storages.iter_mut().map(|storage| (storage.name(), storage.apply(call, now_ms, seed)));
        let (first, reply) = replies.next().unwrap();
        for (name, other) in replies {
            if other != reply {
                return Err(format!("  {first} {reply:?}\n  {name} {other:?}"));
            }
        }
        Ok(reply)
    }

    /// Removes all keys, one by one: emptying everything at once is a rare command, and RocksDB pays for it later.
    fn clear(&mut self) {
        self.redis2.call(&call(&[b"FLUSHALL"]));
        let due = self.storages[0].due_keys(now_ms(), usize::MAX).into_iter().map(|key| key.to_vec());
        let due: Call = [b"RAFT.EXPIRE".to_vec()].into_iter().chain(due).collect();
        let mut keys: Call = vec![b"DEL".to_vec()];
        for storage in &self.storages {
            let there = ask(&**storage)(&call(&[b"KEYS", b"*"]));
            keys.extend(there.items().into_iter().filter_map(|key| key.bytes().map(<[u8]>::to_vec)));
        }
        // Not compared: what a case has found to differ is told, and would only differ once more here.
        for call in [due, keys] {
            let now_ms = now_ms();
            for storage in self.storages.iter_mut().filter(|_| call.len() > 1) {
                storage.apply(&call, now_ms, 0);
            }
        }
    }

    /// Runs a case from nothing. An error tells what differs, and all calls up to there.
    fn run(&mut self, protocol: Protocol, plans: &[Plan]) -> Result<(), Difference> {
        self.clear();
        let mut calls = Vec::new();
        for (rule, seed) in plans {
            calls.push(grammar::generate(RULES[*rule], *seed, &self.payloads));
            self.step(protocol, &calls[calls.len() - 1], *seed)
                .map_err(|text| Difference { calls: calls.clone(), text })?;
        }
        self.compare_content().map_err(|text| Difference { calls, text })
    }

    fn step(&mut self, protocol: Protocol, call: &Call, seed: u64) -> Result<(), String> {
        // Redis does not say what these do to members of different scores, and its skip lists do this and that.
        if compare::key_of_lexical_range(call).is_some_and(|key| !self.has_one_score(key)) {
            return Ok(());
        }
        let rule = compare::rule(call);
        let held = if rule == Rule::Random { self.held(call) } else { Vec::new() };
        let redis = if protocol == Protocol::Resp2 { &mut self.redis2 } else { &mut self.redis3 };
        let theirs = redis.call(call);
        let reply = self.apply(call, seed)?;
        // DBSIZE counts due keys until they are removed: Redis does that by its own clock.
        if call[0].eq_ignore_ascii_case(b"dbsize") && !self.storages[0].due_keys(now_ms(), 1).is_empty() {
            return Ok(());
        }
        let ours = frame_of(&reply, protocol);
        if !compare::equal(call, &ours, &theirs) {
            return Err(format!("  ours   {ours:?}\n  theirs {theirs:?}"));
        }
        match (rule, &reply) {
            (Rule::Random, reply) if !reply.is_error() => {
                compare::check_random(call, &ours, &held)?;
                self.synchronize(&call[1]);
            }
            (Rule::Payload, Reply::Bulk(payload)) => self.exchange(&call[1], payload, &theirs)?,
            _ => {}
        }
        Ok(())
    }

    /// Whether all members of a sorted set have the same score; so have those of what is none.
    fn has_one_score(&mut self, key: &[u8]) -> bool {
        let Some(value) = self.our_value(key).filter(|value| value.kind == "zset") else { return true };
        value.items.windows(2).all(|pair| pair[0].1 == pair[1].1)
    }

    /// What the key of a call for random members holds.
    fn held(&mut self, call: &Call) -> Vec<(Vec<u8>, Vec<u8>)> {
        let Some(key) = call.get(1) else { return Vec::new() };
        self.our_value(key).map(|value| value.items).unwrap_or_default()
    }

    fn our_value(&mut self, key: &[u8]) -> Option<Value> {
        content::value(&mut ask(&*self.storages[0]), key)
    }

    /// Makes a key of Redis what it is here, after chance has taken different members.
    fn synchronize(&mut self, key: &[u8]) {
        let Some(value) = self.our_value(key) else {
            self.redis2.call(&call(&[b"DEL", key]));
            return;
        };
        if value.kind != "set" {
            return;
        }
        let pttl = self.redis2.call(&call(&[b"PTTL", key])).integer().unwrap();
        self.redis2.call(&call(&[b"DEL", key]));
        let members = value.items.iter().map(|(member, _)| &member[..]);
        let sadd: Vec<&[u8]> = [&b"SADD"[..], key].into_iter().chain(members).collect();
        self.redis2.call(&call(&sadd));
        if pttl > 0 {
            self.redis2.call(&call(&[b"PEXPIRE", key, pttl.to_string().as_bytes()]));
        }
    }

    /// Each side restores the other's serialized value, and both have what they had.
    fn exchange(&mut self, key: &[u8], ours: &[u8], theirs: &Frame) -> Result<(), String> {
        let restore = |payload: &[u8]| call(&[b"RESTORE", b"restored", b"0", payload]);
        let there = self.redis2.call(&restore(ours));
        let here = self.apply(&restore(theirs.bytes().unwrap()), 0)?;
        let result = if (&there, &here) == (&Frame::Status("OK".to_owned()), &Reply::OK) {
            let ours = self.our_value(b"restored").map(|value| value.items);
            let redis = &mut self.redis2;
            let theirs = content::value(&mut |call| redis.call(call), b"restored").map(|value| value.items);
            let original = self.our_value(key).map(|value| value.items);
            let same = ours == original && theirs == original;
            if same { Ok(()) } else { Err(format!("  restored here {ours:?}\n  and there {theirs:?}")) }
        } else {
            Err(format!("  Redis restores ours: {there:?}\n  ours restores Redis's: {here:?}"))
        };
        let delete = call(&[b"DEL", b"restored"]);
        self.redis2.call(&delete);
        self.apply(&delete, 0)?;
        result
    }

    /// Leaves out every call without which the difference is still there.
    fn shortest(
        &mut self,
        protocol: Protocol,
        mut plans: Vec<Plan>,
        mut difference: Difference,
    ) -> Difference {
        plans.truncate(difference.calls.len());
        for index in (0..plans.len()).rev() {
            let mut fewer = plans.clone();
            fewer.remove(index);
            match self.run(protocol, &fewer) {
                Err(other) if other.name() == difference.name() => (plans, difference) = (fewer, other),
                _ => {}
            }
        }
        difference
    }

    fn compare_content(&mut self) -> Result<(), String> {
        let redis = &mut self.redis2;
        let theirs = content::all(&mut |call| redis.call(call));
        for storage in &self.storages {
            storage.settle();
            let text = content::differences(&content::all(&mut ask(&**storage)), &theirs);
            if !text.is_empty() {
                return Err(format!("the content in the end ({}):\n{text}", storage.name()));
            }
        }
        let digests: Vec<_> = self.storages.iter().map(|storage| storage.digest()).collect();
        let same = digests.iter().all(|digest| *digest == digests[0]);
        if same { Ok(()) } else { Err(format!("the content in the end: digests {digests:?}")) }
    }
}

/// Reads of a storage, past the log.
fn ask(storage: &dyn Storage) -> impl FnMut(&Call) -> Frame {
    |call| frame_of(&storage.read(call, now_ms()).0, Protocol::Resp2)
}

/// What differed, and the calls that led to it.
struct Difference {
    calls: Vec<Call>,
    text: String,
}

impl Difference {
    /// The command that differed, or `content`.
    fn name(&self) -> String {
        match self.calls.last() {
            Some(call) if !self.text.starts_with("the content") => {
                String::from_utf8_lossy(&call[0]).into_owned()
            }
            _ => "content".to_owned(),
        }
    }
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.calls.iter().try_for_each(|call| writeln!(f, "{}", show(call)))?;
        f.write_str(&self.text)
    }
}

/// Serialized values of every type, in Redis's small and in its large encodings, and one that is damaged.
fn make_payloads(redis: &mut Connection) -> Vec<Vec<u8>> {
    let long = "x".repeat(100);
    let script = format!(
        "SET int 12345\nSET text hello\nSET long {long}\nRPUSH list a b 1\nSADD ints 1 2 3\nSADD set a b 1\n\
         SADD longset a {long}\nHSET hash a 1 b x\nHSET longhash a {long}\nZADD zset 1 a 2.5 b\nZADD longzset 1 {long}"
    );
    let mut payloads = vec![b"damaged".to_vec()];
    for line in script.lines() {
        let words: Call = line.split(' ').map(|word| word.as_bytes().to_vec()).collect();
        redis.call(&words);
        let payload = redis.call(&call(&[b"DUMP", &words[1]]));
        payloads.push(payload.bytes().unwrap().to_vec());
    }
    payloads
}

/// Rules that put something there for others to meet.
fn filling_rules() -> Vec<usize> {
    let fills = |rule: &str| matches!(grammar::name(rule), "set" | "hset" | "rpush" | "sadd" | "zadd");
    (0..RULES.len()).filter(|index| fills(RULES[*index])).collect()
}

/// Rules except those that empty everything; these few would leave nothing to meet.
fn other_rules() -> Vec<usize> {
    (0..RULES.len()).filter(|index| !RULES[*index].starts_with("flush")).collect()
}

fn plan() -> impl Strategy<Value = Plan> {
    let rule = prop_oneof![
        3 => prop::sample::select(filling_rules()),
        7 => prop::sample::select(other_rules()),
        1 => 0..RULES.len(),
    ];
    (rule, any::<u64>())
}

fn protocol() -> impl Strategy<Value = Protocol> {
    any::<bool>().prop_map(|resp3| if resp3 { Protocol::Resp3 } else { Protocol::Resp2 })
}

fn cases() -> u32 {
    std::env::var("DIFFERENTIAL_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(CASES)
}

/// The names of all commands that a rule must be there for: those that Redis has.
fn data_commands() -> HashSet<&'static str> {
    command::all()
        .filter(|spec| !spec.flags.has(Flags::INTERNAL) && !spec.name.starts_with("raft."))
        .filter(|spec| {
            let data = |run: &Handler| !matches!(run, Handler::Front);
            data(&spec.handler) || spec.subcommands.iter().any(|sub| data(&sub.handler))
        })
        .map(|spec| spec.name)
        .collect()
}

#[test]
fn every_data_command_has_a_rule_and_every_rule_a_command() {
    let commands = data_commands();
    let rules: HashSet<&str> = RULES.iter().map(|rule| grammar::name(rule)).collect();
    let without_rule: Vec<_> = commands.difference(&rules).collect();
    assert!(without_rule.is_empty(), "commands that the differential test does not call: {without_rule:?}");
    let without_command: Vec<_> = rules.difference(&commands).collect();
    assert!(without_command.is_empty(), "rules for commands that are not in the table: {without_command:?}");
}

#[test]
fn replies_and_content_are_those_of_redis() {
    let bench = RefCell::new(Bench::new());
    let config =
        Config { cases: cases(), failure_persistence: None, max_shrink_iters: 4000, ..Config::default() };
    let strategy = (protocol(), prop::collection::vec(plan(), 1..CALLS));
    let result = TestRunner::new(config).run(&strategy, |(protocol, plans)| {
        bench
            .borrow_mut()
            .run(protocol, &plans)
            .map_err(|difference| TestCaseError::fail(difference.to_string()))
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

#[test]
#[ignore = "a tool: prints an example of every difference"]
fn a_survey_of_differences() {
    let mut bench = Bench::new();
    let mut rng = SmallRng::seed_from_u64(std::env::var("SEED").map_or(1, |seed| seed.parse().unwrap()));
    let known = |rule: &usize| command::lookup(grammar::name(RULES[*rule]).as_bytes()).is_some();
    let (mut filling, mut other) = (filling_rules(), other_rules());
    filling.retain(known);
    other.retain(known);
    let mut found: BTreeMap<String, (usize, String)> = BTreeMap::new();
    for _ in 0..cases() {
        let plans: Vec<Plan> = (0..CALLS)
            .map(|_| {
                let rules = if rng.random_ratio(1, 3) { &filling } else { &other };
                (rules[rng.random_range(0..rules.len())], rng.random())
            })
            .collect();
        let protocol = if rng.random() { Protocol::Resp2 } else { Protocol::Resp3 };
        if let Err(difference) = bench.run(protocol, &plans) {
            let (count, example) = found.entry(difference.name()).or_default();
            *count += 1;
            if example.is_empty() {
                *example = bench.shortest(protocol, plans, difference).to_string();
            }
        }
    }
    let report: Vec<String> = found
        .iter()
        .map(|(name, (count, example))| format!("## {name}: {count} times\n{example}\n"))
        .collect();
    assert!(report.is_empty(), "{}", report.join("\n"));
}
