//! Writers that do everything that must not be done twice, each on keys of its own, and know what is to be there.
//!
//! A writer checks every reply against what it expects. A write of unknown outcome may be done now, later, or never:
//! the writer turns to a new page, with other keys, and the old page must hold one of two contents in the end.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use redis::{Connection, Value};

use crate::history::{Outcome, connect, outcome_of};

/// What the keys of a page hold.
#[derive(Clone, Debug, Default, PartialEq)]
struct Content {
    counter: i64,
    text: String,
    list: VecDeque<String>,
    set: BTreeSet<String>,
    other: BTreeSet<String>,
    field: i64,
    score: f64,
    deadline: i64,
    /// How often the traveller was renamed: its name says.
    travelled: u64,
    slots: [u64; 3],
}

/// Something that must not be done twice.
#[derive(Clone, Debug)]
enum Op {
    Incr,
    Append(String),
    Rpush(String),
    Lpush(String),
    Rpop,
    Linsert(String),
    Sadd(String),
    Spop,
    Smove(String),
    Hincrby(i64),
    Zadd,
    Expireat(i64),
    Rename,
    Mset(u64),
}

/// Keys with a common beginning, and what is known of them.
struct Page {
    name: String,
    content: Content,
    /// What may have been done or not.
    doubt: Option<Op>,
}

/// Writers at work.
pub struct Ledgers {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    threads: Vec<JoinHandle<Vec<Page>>>,
}

/// Everything that was written.
pub struct Ledger(Vec<Page>);

impl Ledgers {
    /// Starts `count` writers, spread over the nodes at `ports`.
    pub fn start(count: u64, ports: &[u16]) -> Self {
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let write = |writer| {
            let (stop, done, ports) = (Arc::clone(&stop), Arc::clone(&done), ports.to_vec());
            std::thread::spawn(move || Writer::new(writer).write_until(&ports, &stop, &done))
        };
        let threads = (0..count).map(write).collect();
        Self { stop, done, threads }
    }

    /// Waits for `more` acknowledged writes.
    pub fn wait_for(&self, more: u64) {
        let (start, target) = (Instant::now(), self.done.load(Ordering::Relaxed) + more);
        while self.done.load(Ordering::Relaxed) < target {
            assert!(start.elapsed() < Duration::from_secs(60), "the cluster does not answer writes");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends the writers.
    pub fn finish(self) -> Ledger {
        self.stop.store(true, Ordering::Relaxed);
        Ledger(self.threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect())
    }
}

struct Writer {
    number: u64,
    rng: StdRng,
    pages: Vec<Page>,
    serial: u64,
}

impl Writer {
    fn new(number: u64) -> Self {
        Self { number, rng: StdRng::seed_from_u64(number), pages: Vec::new(), serial: 0 }
    }

    fn write_until(mut self, ports: &[u16], stop: &AtomicBool, done: &AtomicU64) -> Vec<Page> {
        let mut connection: Option<Connection> = None;
        let mut turn = self.number as usize;
        while !stop.load(Ordering::Relaxed) {
            turn += 1;
            let Some(open) = connection.as_mut() else {
                connection = connect(ports[turn % ports.len()]);
                continue;
            };
            match self.write(open) {
                Outcome::Done => {
                    done.fetch_add(1, Ordering::Relaxed);
                }
                Outcome::NotDone => std::thread::sleep(Duration::from_millis(10)),
                // Another node, too.
                Outcome::Unknown => connection = None,
            }
        }
        self.pages
    }

    fn write(&mut self, connection: &mut Connection) -> Outcome {
        let op = match self.page() {
            Some(page) => {
                let content = page.content.clone();
                self.choose(&content)
            }
            None => {
                // Its first write makes what is there to be renamed.
                let name = format!("{{{}:{}}}", self.number, self.pages.len());
                self.pages.push(Page { name, content: Content::default(), doubt: None });
                Op::Mset(0)
            }
        };
        let Some(page) = self.page() else { return Outcome::NotDone };
        let (after, expected) = page.content.after(&op);
        let reply: redis::RedisResult<Value> = op.command(page).query(connection);
        match reply {
            Ok(reply) => {
                page.content = match (&op, reply) {
                    (Op::Spop, Value::BulkString(member)) => {
                        let member = String::from_utf8(member).unwrap();
                        let mut after = after;
                        assert!(after.set.remove(&member), "SPOP answered {member}, which was not there");
                        after
                    }
                    (_, reply) => {
                        assert_eq!(reply, expected, "{op:?} on {} at {:?}", page.name, page.content);
                        after
                    }
                };
                Outcome::Done
            }
            Err(error) => {
                let outcome = outcome_of(&error);
                if outcome == Outcome::Unknown {
                    page.doubt = Some(op);
                }
                outcome
            }
        }
    }

    /// The page that is written on.
    fn page(&mut self) -> Option<&mut Page> {
        self.pages.last_mut().filter(|page| page.doubt.is_none())
    }

    fn choose(&mut self, content: &Content) -> Op {
        self.serial += 1;
        let name = format!("{}-{}", self.serial, "x".repeat(self.rng.random_range(0..60)));
        let member = content.set.first().cloned();
        match self.rng.random_range(0..14) {
            0 => Op::Append(name),
            1 => Op::Rpush(name),
            2 => Op::Lpush(name),
            3 if !content.list.is_empty() => Op::Rpop,
            4 if !content.list.is_empty() => Op::Linsert(name),
            5 if content.set.len() > 5 => Op::Spop,
            6 if member.is_some() => Op::Smove(member.unwrap_or_default()),
            5..=7 => Op::Sadd(name),
            8 => Op::Hincrby(self.rng.random_range(1..9)),
            9 => Op::Zadd,
            10 => Op::Expireat(4_000_000_000 + self.serial as i64),
            11 if content.slots != [0; 3] => Op::Rename,
            12 | 11 => Op::Mset(self.serial),
            _ => Op::Incr,
        }
    }
}

impl Content {
    /// The content behind an operation, and its reply. The member that SPOP takes is not known.
    fn after(&self, op: &Op) -> (Self, Value) {
        let mut after = self.clone();
        let int = |number: usize| Value::Int(number as i64);
        let reply = match op {
            Op::Incr => {
                after.counter += 1;
                Value::Int(after.counter)
            }
            Op::Append(text) => {
                after.text.push_str(text);
                int(after.text.len())
            }
            Op::Rpush(element) => {
                after.list.push_back(element.clone());
                int(after.list.len())
            }
            Op::Lpush(element) => {
                after.list.push_front(element.clone());
                int(after.list.len())
            }
            Op::Rpop => Value::BulkString(after.list.pop_back().unwrap_or_default().into_bytes()),
            Op::Linsert(element) => {
                after.list.insert(1, element.clone());
                int(after.list.len())
            }
            Op::Sadd(member) => int(usize::from(after.set.insert(member.clone()))),
            Op::Spop => Value::Nil,
            Op::Smove(member) => {
                after.set.remove(member);
                after.other.insert(member.clone());
                Value::Int(1)
            }
            Op::Hincrby(by) => {
                after.field += by;
                Value::Int(after.field)
            }
            Op::Zadd => {
                after.score += 1.5;
                Value::BulkString(after.score.to_string().into_bytes())
            }
            Op::Expireat(at) => {
                let is_there = after.field != 0;
                after.deadline = if is_there { *at } else { 0 };
                int(usize::from(is_there))
            }
            Op::Rename => {
                after.travelled += 1;
                Value::Okay
            }
            Op::Mset(number) => {
                after.slots = [*number; 3];
                Value::Okay
            }
        };
        (after, reply)
    }

    /// Whether `op`, and nothing else, may have made this of `before`.
    fn may_follow(&self, before: &Self, op: &Op) -> bool {
        let (mut after, _) = before.after(op);
        after.travelled %= 2;
        if matches!(op, Op::Spop) {
            let gone: Vec<_> = after.set.difference(&self.set).cloned().collect();
            if let [member] = gone.as_slice() {
                after.set.remove(member);
            }
        }
        *self == after
    }

    /// What a page's keys hold.
    fn read(page: &Page, connection: &mut Connection) -> Self {
        let key = |name: &str| page.key(name);
        let (counter, text, list, set, other): (Option<i64>, Option<String>, _, _, _) = redis::pipe()
            .cmd("GET")
            .arg(key("counter"))
            .cmd("GET")
            .arg(key("text"))
            .cmd("LRANGE")
            .arg(key("list"))
            .arg(0)
            .arg(-1)
            .cmd("SMEMBERS")
            .arg(key("set"))
            .cmd("SMEMBERS")
            .arg(key("other"))
            .query(connection)
            .unwrap();
        let list: Vec<String> = list;
        let (field, score, deadline, here): (Option<i64>, Option<f64>, i64, Option<u64>) = redis::pipe()
            .cmd("HGET")
            .arg(key("hash"))
            .arg("f")
            .cmd("ZSCORE")
            .arg(key("zset"))
            .arg("m")
            .cmd("EXPIRETIME")
            .arg(key("hash"))
            .cmd("GET")
            .arg(key("traveller:0"))
            .query(connection)
            .unwrap();
        let (there, one, two): (Option<u64>, Option<u64>, Option<u64>) = redis::pipe()
            .cmd("GET")
            .arg(key("traveller:1"))
            .cmd("GET")
            .arg(key("slot:1"))
            .cmd("GET")
            .arg(key("slot:2"))
            .query(connection)
            .unwrap();
        assert!(here.is_none() || there.is_none(), "{} is in two places", page.name);
        let parity = u64::from(there.is_some());
        Self {
            counter: counter.unwrap_or(0),
            text: text.unwrap_or_default(),
            list: list.into(),
            set,
            other,
            field: field.unwrap_or(0),
            score: score.unwrap_or(0.0),
            deadline: deadline.max(0),
            travelled: parity,
            slots: [here.or(there).unwrap_or(0), one.unwrap_or(0), two.unwrap_or(0)],
        }
    }
}

impl Page {
    fn key(&self, name: &str) -> String {
        format!("{}:{name}", self.name)
    }

    /// The traveller's name after so many renames.
    fn traveller(&self, travelled: u64) -> String {
        self.key(&format!("traveller:{}", travelled % 2))
    }
}

impl Op {
    fn command(&self, page: &Page) -> redis::Cmd {
        let key = |name: &str| page.key(name);
        let args = match self {
            Self::Incr => vec!["INCR".to_owned(), key("counter")],
            Self::Append(text) => vec!["APPEND".to_owned(), key("text"), text.clone()],
            Self::Rpush(element) => vec!["RPUSH".to_owned(), key("list"), element.clone()],
            Self::Lpush(element) => vec!["LPUSH".to_owned(), key("list"), element.clone()],
            Self::Rpop => vec!["RPOP".to_owned(), key("list")],
            Self::Linsert(element) => {
                let pivot = page.content.list.front().cloned().unwrap_or_default();
                vec!["LINSERT".to_owned(), key("list"), "AFTER".to_owned(), pivot, element.clone()]
            }
            Self::Sadd(member) => vec!["SADD".to_owned(), key("set"), member.clone()],
            Self::Spop => vec!["SPOP".to_owned(), key("set")],
            Self::Smove(member) => vec!["SMOVE".to_owned(), key("set"), key("other"), member.clone()],
            Self::Hincrby(by) => vec!["HINCRBY".to_owned(), key("hash"), "f".to_owned(), by.to_string()],
            Self::Zadd => ["ZADD", &key("zset"), "INCR", "1.5", "m"].map(str::to_owned).to_vec(),
            Self::Expireat(at) => vec!["EXPIREAT".to_owned(), key("hash"), at.to_string()],
            Self::Rename => {
                let travelled = page.content.travelled;
                vec!["RENAME".to_owned(), page.traveller(travelled), page.traveller(travelled + 1)]
            }
            Self::Mset(number) => {
                let slots = [page.traveller(page.content.travelled), key("slot:1"), key("slot:2")];
                let pairs = slots.into_iter().flat_map(|slot| [slot, number.to_string()]);
                std::iter::once("MSET".to_owned()).chain(pairs).collect()
            }
        };
        let mut command = redis::cmd(&args[0]);
        args[1..].iter().for_each(|arg| {
            command.arg(arg);
        });
        command
    }
}

impl Ledger {
    /// Checks what a node holds against what was written.
    pub fn check(&self, connection: &mut Connection) {
        for page in &self.0 {
            let held = Content::read(page, connection);
            let known = Content { travelled: page.content.travelled % 2, ..page.content.clone() };
            let may_be = |op: &Op| held.may_follow(&known, op);
            assert!(
                held == known || page.doubt.as_ref().is_some_and(may_be),
                "{} holds\n{held:?}\nafter\n{:?}\nand perhaps {:?}",
                page.name,
                page.content,
                page.doubt
            );
        }
    }

    /// How many pages there are.
    pub fn pages(&self) -> usize {
        self.0.len()
    }
}
