//! Readers at every level of consistency, on every node, each of which checks what its level promises, beside a writer
//! that counts.
//!
//! The writer increments one key and notes when each value was acknowledged. What a read may not answer is then a
//! matter of arithmetic: at `linearizable` and `lease` nothing below what was acknowledged before the read was sent, at
//! `bounded` nothing below what was acknowledged the bound before, at `session` nothing below what the session has
//! written or read, on whichever node it was.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use redis::{Connection, RedisError, RedisResult, cmd};

use crate::ask::ask;
use crate::history::{connect, outcome_of};

/// The levels, as RAFT.CONSISTENCY takes them.
pub const LEVELS: [&str; 5] = ["linearizable", "lease", "session", "bounded 300", "eventual"];
/// The bound of the level in [`LEVELS`] that has one.
const BOUND: Duration = Duration::from_millis(300);
/// What the writer counts in.
const CLOCK: &str = "clock";
/// Between two reads of one reader.
const PAUSE: Duration = Duration::from_millis(2);

/// How many reads of a reader were answered, and how many refused.
#[derive(Clone, Copy, Debug, Default)]
pub struct Count {
    /// Answered, with what the level promises.
    pub served: u64,
    /// Refused with an error, or lost with the connection.
    pub refused: u64,
}

/// A writer and its readers at work.
pub struct Promises {
    shared: Arc<Shared>,
    writer: JoinHandle<()>,
    readers: Vec<((usize, &'static str), JoinHandle<Count>)>,
}

struct Shared {
    ports: Vec<u16>,
    stop: AtomicBool,
    acknowledged: AtomicI64,
    /// When which value was acknowledged.
    times: Mutex<Vec<(Instant, i64)>>,
}

impl Shared {
    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::SeqCst)
    }

    /// The highest value that was acknowledged before this moment.
    fn acknowledged_before(&self, moment: Option<Instant>) -> i64 {
        let times = self.times.lock().unwrap();
        let count = moment.map_or(0, |moment| times.partition_point(|(at, _)| *at < moment));
        count.checked_sub(1).map_or(0, |last| times[last].1)
    }
}

impl Promises {
    /// Starts the writer and a reader for each level on each node.
    pub fn start(ports: Vec<u16>) -> Self {
        let nodes = ports.len();
        let shared = Arc::new(Shared {
            ports,
            stop: AtomicBool::new(false),
            acknowledged: AtomicI64::new(0),
            times: Mutex::default(),
        });
        let for_writer = Arc::clone(&shared);
        let writer = std::thread::spawn(move || write(&for_writer));
        let readers = (0..nodes)
            .flat_map(|node| LEVELS.map(|level| (node, level)))
            .map(|(node, level)| {
                let shared = Arc::clone(&shared);
                let reader = std::thread::spawn(move || match level {
                    "session" => roam(&shared, node),
                    _ => read(&shared, node, level),
                });
                ((node, level), reader)
            })
            .collect();
        Self { shared, writer, readers }
    }

    /// Waits until this many more writes were acknowledged.
    pub fn wait_for(&self, more: i64) {
        let (start, target) = (Instant::now(), self.shared.acknowledged.load(Ordering::SeqCst) + more);
        while self.shared.acknowledged.load(Ordering::SeqCst) < target {
            assert!(start.elapsed() < Duration::from_secs(30), "the cluster does not answer writes");
            assert!(self.readers.iter().all(|(_, reader)| !reader.is_finished()), "a reader has given up");
            sleep(Duration::from_millis(5));
        }
    }

    /// Ends all; what each reader, by node and level, was told. A promise that was broken panics here.
    pub fn finish(self) -> BTreeMap<(usize, &'static str), Count> {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.writer.join().unwrap();
        self.readers.into_iter().map(|(name, reader)| (name, reader.join().unwrap())).collect()
    }
}

fn write(shared: &Shared) {
    let mut connection = None;
    for step in 0.. {
        if !shared.goes_on() {
            return;
        }
        let Some(open) = connection.as_mut() else {
            connection = connect(shared.ports[step % shared.ports.len()]);
            continue;
        };
        match cmd("INCR").arg(CLOCK).query::<i64>(open) {
            Ok(value) => {
                let mut times = shared.times.lock().unwrap();
                times.push((Instant::now(), value));
                shared.acknowledged.store(value, Ordering::SeqCst);
            }
            Err(error) => {
                // Whatever became of it, the next one goes to another node.
                outcome_of(&error);
                connection = None;
                sleep(PAUSE);
            }
        }
    }
}

/// A connection at a level.
fn connect_at(port: u16, level: &str) -> Option<Connection> {
    let mut connection = connect(port)?;
    ask::<()>(&mut connection, &format!("RAFT.CONSISTENCY {level}")).ok()?;
    Some(connection)
}

/// What is lost or refused is no broken promise; whatever else is not a reply is.
fn refusal(error: &RedisError) {
    let is_known = matches!(error.code(), Some("TIMEOUT" | "CLUSTERDOWN" | "STALE"));
    // A node that was just started and has not found its Kiwi yet.
    let is_known = is_known || error.to_string().contains("the storage is not connected");
    assert!(is_known || error.is_io_error() || error.is_connection_dropped(), "a reader was told {error}");
}

fn read(shared: &Shared, node: usize, level: &'static str) -> Count {
    let (mut count, mut connection) = (Count::default(), None);
    while shared.goes_on() {
        sleep(PAUSE);
        let Some(open) = connection.as_mut() else {
            connection = connect_at(shared.ports[node], level);
            continue;
        };
        let least = match level {
            "linearizable" | "lease" => shared.acknowledged.load(Ordering::SeqCst),
            "eventual" => 0,
            _ => shared.acknowledged_before(Instant::now().checked_sub(BOUND)),
        };
        match cmd("GET").arg(CLOCK).query::<Option<i64>>(open) {
            Ok(value) => {
                let value = value.unwrap_or(0);
                assert!(value >= least, "{level} on node {}: {value} after {least}", node + 1);
                count.served += 1;
            }
            Err(error) => {
                refusal(&error);
                count.refused += 1;
                connection = None;
            }
        }
    }
    count
}

/// What a session has written and read so far.
struct Session {
    key: String,
    written: i64,
    read: i64,
}

/// A session that goes from node to node, with its token.
fn roam(shared: &Shared, first: usize) -> Count {
    let mut count = Count::default();
    let mut session = Session { key: format!("session:{first}"), written: 0, read: 0 };
    let mut token = 0;
    for step in first.. {
        if !shared.goes_on() {
            break;
        }
        sleep(PAUSE);
        let node = step % shared.ports.len();
        let Some(mut connection) = connect_at(shared.ports[node], "session") else { continue };
        match visit(&mut connection, &mut session, &mut token, &mut count) {
            Ok(()) => {}
            Err(error) => {
                refusal(&error);
                count.refused += 1;
            }
        }
    }
    count
}

/// Writes and reads on one node, beginning with the token of the node before.
fn visit(
    connection: &mut Connection,
    session: &mut Session,
    token: &mut u64,
    count: &mut Count,
) -> RedisResult<()> {
    let () = cmd("RAFT.WAIT").arg(*token).arg(500).query(connection)?;
    for _ in 0..5 {
        let (own, clock): (Option<i64>, Option<i64>) =
            cmd("MGET").arg(&session.key).arg(CLOCK).query(connection)?;
        let (own, clock) = (own.unwrap_or(0), clock.unwrap_or(0));
        assert!(own >= session.written, "a session that wrote {} reads {own}", session.written);
        assert!(clock >= session.read, "a session that read {} reads {clock}", session.read);
        session.read = clock;
        count.served += 1;
        // What it has read goes with it, also if the write is lost.
        *token = cmd("RAFT.TOKEN").query(connection)?;
        let written = cmd("INCR").arg(&session.key).query(connection)?;
        // A write whose token is lost, because its node stops in between, is promised to nobody who goes on elsewhere.
        *token = cmd("RAFT.TOKEN").query(connection)?;
        session.written = written;
    }
    Ok(())
}
