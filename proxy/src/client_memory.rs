//! The memory that clients hold: what each one has, and a bound over all of them (Redis's `maxmemory-clients`).
//!
//! A connection counts what it holds after each read and around each pipeline, in [`Usage`], which nobody else writes. The
//! sum over all connections is shared; it is touched only when a connection's part of it has changed by [`STEP`] or more, so
//! clients with short commands never do.
//!
//! Beyond the bound, clients that hold most are closed until the others are within it. A client whose commands run is not
//! closed (closing would free nothing before they are done, and its replies would be lost), nor is one that takes its
//! replies. Until those are done, whoever holds much is not read any further, and makes no more replies than its client
//! takes. So the sum stays within the bound, but for what one step of each client adds.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use conf::MemoryBound;
use dashmap::DashMap;
use metrics::{Counter, Gauge};
use raft::listener::Quiet;

use crate::clients::{Client, Wish};

/// A change of what a client holds that is worth telling the others.
const STEP: usize = 16 * 1024;
/// A client that holds less is read, whatever the others hold.
pub const LARGE: usize = 64 * 1024;
/// A connection without any buffer: its task, its state, its entry among the clients.
const BARE: usize = 3 * 1024;
/// How often a line tells of clients that were closed.
const EVICTIONS_EVERY: Duration = Duration::from_secs(1);

/// What a connection holds at one moment, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Requests that are not parsed yet, or run now.
    pub query: usize,
    /// Room for more of them.
    pub query_free: usize,
    /// The arguments of the commands that run, or of the one that is not complete.
    pub arguments: usize,
    /// All memory for input: the buffers, and where each argument is in them.
    pub input: usize,
    /// Replies in the buffer that is written now.
    pub reply: usize,
    /// The size of that buffer.
    pub reply_capacity: usize,
    /// The number of pieces before it.
    pub pieces: usize,
    /// Their bytes.
    pub piece_bytes: usize,
}

impl Holdings {
    /// All that it holds.
    pub fn total(&self) -> usize {
        BARE + self.input + self.reply_capacity + self.piece_bytes
    }
}

/// What a connection holds, as others see it.
#[derive(Debug, Default)]
pub struct Usage {
    query: AtomicUsize,
    query_free: AtomicUsize,
    arguments: AtomicUsize,
    input: AtomicUsize,
    reply: AtomicUsize,
    reply_capacity: AtomicUsize,
    pieces: AtomicUsize,
    piece_bytes: AtomicUsize,
    /// Its part of the sum.
    counted: AtomicUsize,
    /// Its part of what belongs to clients that are not closed: commands of theirs run, or they take replies.
    moving: AtomicUsize,
    /// Its part of what belongs to clients that are being closed.
    leaving: AtomicUsize,
    /// `CLIENT NO-EVICT`.
    pub no_evict: AtomicBool,
}

impl Usage {
    /// What it holds.
    pub fn holdings(&self) -> Holdings {
        Holdings {
            query: self.query.load(Relaxed),
            query_free: self.query_free.load(Relaxed),
            arguments: self.arguments.load(Relaxed),
            input: self.input.load(Relaxed),
            reply: self.reply.load(Relaxed),
            reply_capacity: self.reply_capacity.load(Relaxed),
            pieces: self.pieces.load(Relaxed),
            piece_bytes: self.piece_bytes.load(Relaxed),
        }
    }

    /// Whether it holds so much that it may have to wait for others.
    pub fn is_large(&self) -> bool {
        self.counted.load(Relaxed) >= LARGE
    }

    fn show(&self, holdings: &Holdings) {
        self.query.store(holdings.query, Relaxed);
        self.query_free.store(holdings.query_free, Relaxed);
        self.arguments.store(holdings.arguments, Relaxed);
        self.input.store(holdings.input, Relaxed);
        self.reply.store(holdings.reply, Relaxed);
        self.reply_capacity.store(holdings.reply_capacity, Relaxed);
        self.pieces.store(holdings.pieces, Relaxed);
        self.piece_bytes.store(holdings.piece_bytes, Relaxed);
    }
}

/// The sums over all clients.
pub struct ClientMemory {
    /// The memory that the process may have; 0 if that is not known.
    available: u64,
    total: AtomicUsize,
    moving: AtomicUsize,
    leaving: AtomicUsize,
    /// Clients that were closed to stay within the bound.
    evicted: AtomicU64,
    evictions: Counter,
    level: Gauge,
    bound: Gauge,
    /// Who looks for clients to close.
    turn: Mutex<()>,
    quiet: Quiet,
}

impl Default for ClientMemory {
    fn default() -> Self {
        Self {
            available: available(),
            total: AtomicUsize::new(0),
            moving: AtomicUsize::new(0),
            leaving: AtomicUsize::new(0),
            evicted: AtomicU64::new(0),
            evictions: metrics::counter!("raft_proxy_evicted_clients_total"),
            level: metrics::gauge!("raft_proxy_client_memory_bytes"),
            bound: metrics::gauge!("raft_proxy_client_memory_limit_bytes"),
            turn: Mutex::default(),
            quiet: Quiet::new(EVICTIONS_EVERY),
        }
    }
}

impl ClientMemory {
    /// The memory of all clients, as far as they have told.
    pub fn total(&self) -> usize {
        self.total.load(Relaxed)
    }

    /// How many clients were closed to stay within the bound.
    pub fn evicted(&self) -> u64 {
        self.evicted.load(Relaxed)
    }

    /// Sets that back.
    pub fn reset_evicted(&self) {
        self.evicted.store(0, Relaxed);
    }

    /// A bound in bytes; `usize::MAX` for none.
    pub fn bytes(&self, bound: MemoryBound) -> usize {
        match bound {
            MemoryBound::Percent(percent) if self.available > 0 => {
                (self.available / 100 * u64::from(percent)) as usize
            }
            MemoryBound::Bytes(bytes) => bytes as usize,
            MemoryBound::Percent(_) | MemoryBound::Unbounded => usize::MAX,
        }
    }

    /// Counts what a connection holds. `moving`: commands of it run, or its client
    /// takes replies. Answers whether the sum has grown by it.
    pub fn count(&self, client: &Client, holdings: &Holdings, moving: bool) -> bool {
        let usage = &client.usage;
        usage.show(holdings);
        let before = usage.counted.load(Relaxed);
        let mut counted = before;
        if holdings.total().abs_diff(before) >= STEP {
            counted = holdings.total();
            usage.counted.store(counted, Relaxed);
            self.total.fetch_add(counted.wrapping_sub(before), Relaxed);
        }
        let moved = usage.moving.load(Relaxed);
        let moves = if moving && counted >= LARGE { counted } else { 0 };
        if moves != moved {
            usage.moving.store(moves, Relaxed);
            self.moving.fetch_add(moves.wrapping_sub(moved), Relaxed);
        }
        counted > before
    }

    /// Counts a connection no more.
    pub fn forget(&self, client: &Client) {
        for (sum, part) in [
            (&self.total, &client.usage.counted),
            (&self.moving, &client.usage.moving),
            (&self.leaving, &client.usage.leaving),
        ] {
            sum.fetch_sub(part.swap(0, Relaxed), Relaxed);
        }
    }

    /// Sets the metrics; 0 is no bound.
    pub fn publish(&self, bound: MemoryBound) {
        self.level.set(self.total() as f64);
        let bound = Some(self.bytes(bound)).filter(|bytes| *bytes != usize::MAX);
        self.bound.set(bound.unwrap_or(0) as f64);
    }

    /// Whether there is more than `bound` without what is about to be freed.
    pub fn exceeds(&self, bound: usize) -> bool {
        self.total().saturating_sub(self.leaving.load(Relaxed)) > bound
    }

    /// Whether a client that holds much has to wait before it is read any further.
    pub fn holds_back(&self, client: &Client, bound: usize) -> bool {
        client.usage.is_large() && self.exceeds(bound) && !client.usage.no_evict.load(Relaxed)
    }

    /// Closes clients until the others are within `bound`, but for those that move.
    pub fn keep_within(&self, bound: usize, clients: &DashMap<u64, Arc<Client>>) {
        let resting = || {
            let others = self.moving.load(Relaxed) + self.leaving.load(Relaxed);
            self.total().saturating_sub(others)
        };
        if resting() <= bound {
            return;
        }
        let Ok(_turn) = self.turn.try_lock() else { return };
        while resting() > bound {
            let Some(client) = largest(clients) else { return };
            let bytes = client.usage.counted.load(Relaxed);
            client.usage.leaving.store(bytes, Relaxed);
            self.leaving.fetch_add(bytes, Relaxed);
            client.ask(Wish::Close);
            self.evicted.fetch_add(1, Relaxed);
            self.evictions.increment(1);
            if let Some(untold) = self.quiet.line() {
                let (client, address, all) = (client.id, client.address, self.total());
                tracing::warn!(client, %address, bytes, all, bound, untold, "a client was closed: all clients together hold more than limits.max_client_memory");
            }
        }
    }
}

/// Who holds most of those that can be closed.
fn largest(clients: &DashMap<u64, Arc<Client>>) -> Option<Arc<Client>> {
    let mut found: Option<(usize, Arc<Client>)> = None;
    for entry in clients {
        let usage = &entry.value().usage;
        let bytes = usage.counted.load(Relaxed);
        let stays = usage.moving.load(Relaxed) > 0
            || usage.leaving.load(Relaxed) > 0
            || usage.no_evict.load(Relaxed)
            || bytes == 0;
        if !stays && found.as_ref().is_none_or(|(most, _)| bytes > *most) {
            found = Some((bytes, Arc::clone(entry.value())));
        }
    }
    found.map(|(_, client)| client)
}

/// The memory that the process may have: the machine's, or its control group's if that is less; 0 if nobody says.
fn available() -> u64 {
    let machine = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| machine_memory(&text));
    let group = std::fs::read_to_string("/proc/self/cgroup").map(|text| group_memory(&text)).ok().flatten();
    [machine, group].into_iter().flatten().min().unwrap_or(0)
}

fn machine_memory(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}

/// The least limit of the group and of those that it is in. What is seen of them inside of a container is its own.
fn group_memory(cgroup: &str) -> Option<u64> {
    let files = cgroup.lines().flat_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
        let (root, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            "memory" => ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            _ => return Vec::new(),
        };
        let groups = std::path::Path::new(path).ancestors();
        let groups = groups.map(|group| group.strip_prefix("/").unwrap_or(group));
        groups.map(|group| std::path::Path::new(root).join(group).join(file)).collect()
    });
    let limits = files.filter_map(|file| std::fs::read_to_string(file).ok()?.trim().parse::<u64>().ok());
    limits.min()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::clients::Clients;

    fn holding(bytes: usize) -> Holdings {
        Holdings { input: bytes, ..Holdings::default() }
    }

    fn client(clients: &Clients, bytes: usize, moving: bool) -> Arc<Client> {
        let address = ([127, 0, 0, 1], 1).into();
        let client = clients.add(address, address, -1);
        clients.memory.count(&client, &holding(bytes), moving);
        client
    }

    #[test]
    fn the_largest_are_closed_until_the_others_are_within_the_bound() {
        let clients = Clients::default();
        let [small, large, largest] = [1 << 20, 2 << 20, 4 << 20].map(|bytes| client(&clients, bytes, false));
        clients.memory.keep_within(8 << 20, clients.by_id());
        assert_eq!(clients.memory.evicted(), 0);
        clients.memory.keep_within(2 << 20, clients.by_id());
        assert_eq!(
            [&small, &large, &largest].map(|client| client.wish()),
            [Wish::Serve, Wish::Close, Wish::Close]
        );
        // What is about to be freed is not asked for twice.
        clients.memory.keep_within(2 << 20, clients.by_id());
        assert_eq!(clients.memory.evicted(), 2);
        for client in [small, large, largest] {
            clients.remove(&client);
        }
        assert_eq!(clients.memory.total(), 0);
        assert!(!clients.memory.exceeds(0));
    }

    #[test]
    fn whoever_runs_commands_or_must_not_be_evicted_is_not_closed_and_the_others_wait() {
        let clients = Clients::default();
        let [busy, resting] = [true, false].map(|moving| client(&clients, 8 << 20, moving));
        let exempt = client(&clients, 16 << 20, false);
        exempt.usage.no_evict.store(true, Relaxed);
        let bound = 24 << 20;
        clients.memory.keep_within(bound, clients.by_id());
        assert_eq!(
            [&busy, &resting, &exempt].map(|client| client.wish()),
            [Wish::Serve, Wish::Close, Wish::Serve]
        );
        let next = client(&clients, LARGE, false);
        assert!(clients.memory.holds_back(&next, bound) && !clients.memory.holds_back(&exempt, bound));
        let small = client(&clients, LARGE / 2, false);
        assert!(!clients.memory.holds_back(&small, bound));
        clients.memory.count(&busy, &Holdings::default(), false);
        assert!(!clients.memory.holds_back(&next, bound));
    }

    #[test]
    fn small_changes_do_not_touch_the_sum() {
        let clients = Clients::default();
        let client = client(&clients, STEP, false);
        let before = clients.memory.total();
        assert!(!clients.memory.count(&client, &holding(STEP + STEP / 2), true));
        assert_eq!(clients.memory.total(), before);
        assert_eq!(client.usage.holdings(), holding(STEP + STEP / 2));
    }

    #[test]
    fn a_share_is_of_what_the_process_may_have() {
        let memory = ClientMemory { available: 1000, ..ClientMemory::default() };
        assert_eq!(memory.bytes(MemoryBound::Percent(25)), 250);
        assert_eq!(memory.bytes(MemoryBound::Bytes(7)), 7);
        assert_eq!(memory.bytes(MemoryBound::Unbounded), usize::MAX);
        assert_eq!(machine_memory("MemTotal:       2048 kB\nMemFree: 1 kB\n"), Some(2 << 20));
        assert!(available() > 0);
    }
}
