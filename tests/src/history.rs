//! Writers that remember what they were told, and the check of that against what is there afterwards.
//!
//! Each writer appends values that nobody else writes, and counts. Afterwards: what was acknowledged is there
//! exactly once, in order; what was refused is not there; what is unknown is there at most once.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use redis::{Connection, RedisError, RedisResult};

/// Keys that the writers share.
const KEYS: u64 = 5;

/// What a writer was told of one write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    NotDone,
    Unknown,
}

#[derive(Debug)]
struct Write {
    key: u64,
    /// Empty for an INCR.
    value: String,
    outcome: Outcome,
    /// What an acknowledged INCR or RPUSH answered.
    answer: i64,
}

/// Writers at work.
pub struct Writers {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    threads: Vec<JoinHandle<Vec<Write>>>,
}

/// Everything that the writers were told.
pub struct History(Vec<Write>);

impl Writers {
    /// Starts `count` writers, each on its own connection, spread over the nodes at `ports`.
    pub fn start(count: usize, ports: Vec<u16>) -> Self {
        let (stop, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let threads = (0..count)
            .map(|writer| {
                let (stop, acknowledged, ports) =
                    (Arc::clone(&stop), Arc::clone(&acknowledged), ports.clone());
                std::thread::spawn(move || write_until(writer, &ports, &stop, &acknowledged))
            })
            .collect();
        Self { stop, acknowledged, threads }
    }

    /// How many writes were acknowledged so far.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Waits for `more` acknowledged writes; how long it took.
    pub fn wait_for(&self, more: u64) -> Duration {
        let (start, target) = (Instant::now(), self.acknowledged() + more);
        while self.acknowledged() < target {
            assert!(start.elapsed() < Duration::from_secs(60), "the cluster does not answer writes");
            std::thread::sleep(Duration::from_millis(5));
        }
        start.elapsed()
    }

    /// Ends the writers and answers what they were told.
    pub fn finish(self) -> History {
        self.stop.store(true, Ordering::Relaxed);
        History(self.threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect())
    }
}

fn write_until(writer: usize, ports: &[u16], stop: &AtomicBool, acknowledged: &AtomicU64) -> Vec<Write> {
    let (mut writes, mut connection) = (Vec::new(), None);
    for step in 0u64.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let Some(open) = connection.as_mut() else {
            connection = connect(ports[(writer + step as usize) % ports.len()]);
            continue;
        };
        let key = (writer as u64 + step) % KEYS;
        let value = if step % 2 == 0 { String::new() } else { format!("{writer}:{step}") };
        let result = send(open, key, &value);
        let outcome = result.as_ref().map_or_else(outcome_of, |_| Outcome::Done);
        if outcome == Outcome::Done {
            acknowledged.fetch_add(1, Ordering::Relaxed);
        } else {
            // Without a leader every answer is immediate: don't flood.
            std::thread::sleep(Duration::from_millis(5));
        }
        if result.as_ref().is_err_and(|error| error.is_io_error() || error.is_connection_dropped()) {
            connection = None;
        }
        writes.push(Write { key, value, outcome, answer: result.unwrap_or(0) });
    }
    writes
}

/// A connection whose replies are waited for as long as a write may take.
pub(crate) fn connect(port: u16) -> Option<Connection> {
    let client = redis::Client::open(format!("redis://127.0.0.1:{port}/")).unwrap();
    let connection = client.get_connection_with_timeout(Duration::from_millis(500)).ok();
    if connection.is_none() {
        std::thread::sleep(Duration::from_millis(20));
    }
    let connection = connection?;
    connection.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    Some(connection)
}

fn send(connection: &mut Connection, key: u64, value: &str) -> RedisResult<i64> {
    if value.is_empty() {
        redis::cmd("INCR").arg(format!("counter:{key}")).query(connection)
    } else {
        redis::cmd("RPUSH").arg(format!("list:{key}")).arg(value).query(connection)
    }
}

/// `CLUSTERDOWN` and `BUSY` promise that nothing was done; everything else that is not a reply is unknown.
pub(crate) fn outcome_of(error: &RedisError) -> Outcome {
    match error.code() {
        Some("CLUSTERDOWN" | "BUSY" | "NOCLUSTER") => Outcome::NotDone,
        Some("TIMEOUT") => Outcome::Unknown,
        _ if error.is_io_error() || error.is_connection_dropped() => Outcome::Unknown,
        _ => panic!("a writer was told {error}"),
    }
}

impl History {
    /// How many writes were acknowledged.
    pub fn acknowledged(&self) -> usize {
        self.count(Outcome::Done)
    }

    /// How many have an unknown outcome.
    pub fn unknown(&self) -> usize {
        self.count(Outcome::Unknown)
    }

    /// How many were refused.
    pub fn refused(&self) -> usize {
        self.count(Outcome::NotDone)
    }

    fn count(&self, outcome: Outcome) -> usize {
        self.0.iter().filter(|write| write.outcome == outcome).count()
    }

    /// Checks the history against what a node holds.
    pub fn check(&self, connection: &mut Connection) {
        for key in 0..KEYS {
            self.check_list(key, connection);
            self.check_counter(key, connection);
        }
    }

    fn check_list(&self, key: u64, connection: &mut Connection) {
        let elements: Vec<String> =
            redis::cmd("LRANGE").arg(format!("list:{key}")).arg(0).arg(-1).query(connection).unwrap();
        let mut places: HashMap<&str, usize> = HashMap::new();
        for (place, element) in elements.iter().enumerate() {
            assert!(places.insert(element, place).is_none(), "{element} is there twice");
        }
        for write in self.0.iter().filter(|write| write.key == key && !write.value.is_empty()) {
            match (write.outcome, places.get(write.value.as_str())) {
                (Outcome::Done, Some(place)) => assert_eq!(
                    *place as i64 + 1,
                    write.answer,
                    "{} stands elsewhere than its reply said",
                    write.value
                ),
                (Outcome::Done, None) => panic!("{} was acknowledged and is gone", write.value),
                (Outcome::NotDone, Some(_)) => panic!("{} was refused and is there", write.value),
                (Outcome::NotDone, None) | (Outcome::Unknown, _) => {}
            }
        }
    }

    fn check_counter(&self, key: u64, connection: &mut Connection) {
        let value: Option<i64> = redis::cmd("GET").arg(format!("counter:{key}")).query(connection).unwrap();
        let value = value.unwrap_or(0);
        let increments = || self.0.iter().filter(move |write| write.key == key && write.value.is_empty());
        let mut answers: Vec<i64> =
            increments().filter(|write| write.outcome == Outcome::Done).map(|write| write.answer).collect();
        let unknown = increments().filter(|write| write.outcome == Outcome::Unknown).count() as i64;
        let acknowledged = answers.len() as i64;
        assert!(
            (acknowledged..=acknowledged + unknown).contains(&value),
            "counter:{key} is {value} after {acknowledged} acknowledged and {unknown} unknown increments"
        );
        answers.sort_unstable();
        assert!(answers.windows(2).all(|pair| pair[0] < pair[1]), "two increments had the same answer");
        assert!(answers.last().is_none_or(|last| *last <= value), "an answer is beyond the counter");
    }
}
