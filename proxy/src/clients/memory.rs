//! The memory that clients hold: what each one has, and a bound over all of them (Redis's `maxmemory-clients`).
//!
//! A connection counts what it holds after each read and around each pipeline, in [`Usage`](super::usage::Usage),
//! which nobody else writes. The sum over all connections is shared; it is touched only when a connection's part of
//! it has changed by [`STEP`] or more, so clients with short commands never do.
//!
//! Beyond the bound, clients that hold most are closed until the others are within it. A client whose commands run is
//! not closed (closing would free nothing before they are done, and its replies would be lost), nor is one that takes
//! its replies. Until those are done, whoever holds much is not read any further, and makes no more replies than its
//! client takes. So the sum stays within the bound, but for what one step of each client adds.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use conf::MemoryBound;
use dashmap::DashMap;
use metrics::{Counter, Gauge};
use raft::listener::Quiet;

use super::available_memory::available;
use super::client::{Client, Directive};
use super::usage::{Holdings, LARGE};

/// A change of what a client holds that is worth telling the others.
pub(super) const STEP: usize = 16 * 1024;
/// How often a line tells of clients that were closed.
const EVICTIONS_EVERY: Duration = Duration::from_secs(1);

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
            client.ask(Directive::Close);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_of_what_the_process_may_have() {
        let memory = ClientMemory { available: 1000, ..ClientMemory::default() };
        assert_eq!(memory.bytes(MemoryBound::Percent(25)), 250);
        assert_eq!(memory.bytes(MemoryBound::Bytes(7)), 7);
        assert_eq!(memory.bytes(MemoryBound::Unbounded), usize::MAX);
    }
}
