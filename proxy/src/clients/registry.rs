//! All connections that there are: for `CLIENT LIST`, `CLIENT KILL`, the limit and the shutdown.

use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;

use super::client::{Client, Directive};
use super::memory::ClientMemory;

/// All connections.
#[derive(Default)]
pub struct Clients {
    by_id: DashMap<u64, Arc<Client>>,
    last_id: AtomicU64,
    /// What they hold.
    pub memory: ClientMemory,
}

impl Clients {
    /// Adds a connection, with its file descriptor.
    pub fn add(&self, address: SocketAddr, local: SocketAddr, fd: RawFd) -> Arc<Client> {
        let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        let client = Arc::new(Client::new(id, address, local, fd));
        self.by_id.insert(client.id, Arc::clone(&client));
        client
    }

    /// Removes a connection, and what it holds from the sum.
    pub fn remove(&self, client: &Client) {
        self.by_id.remove(&client.id);
        self.memory.forget(client);
    }

    /// Closes clients that hold most, if all hold more than the bound.
    pub fn relieve(&self, bound: usize) {
        self.memory.keep_within(bound, &self.by_id);
    }

    /// The most bytes of requests, and of replies, that one of them holds now.
    pub fn largest_buffers(&self) -> (usize, usize) {
        self.by_id.iter().fold((0, 0), |(input, output), entry| {
            let holds = entry.value().usage.holdings();
            (input.max(holds.query + holds.query_free), output.max(holds.reply + holds.piece_bytes))
        })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// All of them, oldest first.
    pub fn all(&self) -> Vec<Arc<Client>> {
        let mut all: Vec<_> = self.by_id.iter().map(|entry| Arc::clone(entry.value())).collect();
        all.sort_unstable_by_key(|client| client.id);
        all
    }

    /// Asks all of them.
    pub fn ask_all(&self, directive: Directive) {
        for entry in &self.by_id {
            entry.value().ask(directive);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::Relaxed;

    use super::super::memory::STEP;
    use super::super::usage::{Holdings, LARGE};
    use super::*;

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
        clients.relieve(8 << 20);
        assert_eq!(clients.memory.evicted(), 0);
        clients.relieve(2 << 20);
        assert_eq!(
            [&small, &large, &largest].map(|client| client.directive()),
            [Directive::Serve, Directive::Close, Directive::Close]
        );
        // What is about to be freed is not asked for twice.
        clients.relieve(2 << 20);
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
        clients.relieve(bound);
        assert_eq!(
            [&busy, &resting, &exempt].map(|client| client.directive()),
            [Directive::Serve, Directive::Close, Directive::Serve]
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
}
