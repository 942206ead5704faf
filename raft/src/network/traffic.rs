//! What goes to one peer and comes from it: counted for operators.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use metrics::{Counter, Histogram};

use crate::health::Connections;
use crate::types::NodeId;

/// The counts of one peer. They go on when its address changes.
pub(crate) struct Traffic {
    sent_bytes: Counter,
    received_bytes: Counter,
    sent_failures: Counter,
    round_trips: Histogram,
    oks: AtomicU64,
    errors: AtomicU64,
    /// When a connection was last made, and to where.
    last: Mutex<Option<(Instant, SocketAddr)>>,
}

impl Traffic {
    pub(crate) fn new(peer: NodeId) -> Self {
        let peer = peer.to_string();
        Self {
            sent_bytes: metrics::counter!("raft_proxy_network_peer_sent_bytes_total", "to" => peer.clone()),
            received_bytes: metrics::counter!("raft_proxy_network_peer_received_bytes_total", "from" => peer.clone()),
            sent_failures: metrics::counter!("raft_proxy_network_peer_sent_failures_total", "to" => peer.clone()),
            round_trips: metrics::histogram!("raft_proxy_network_peer_round_trip_time_seconds", "to" => peer),
            oks: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            last: Mutex::new(None),
        }
    }

    /// Of a node that is no peer yet: nobody looks at the counts.
    pub(crate) fn uncounted() -> Self {
        Self {
            sent_bytes: Counter::noop(),
            received_bytes: Counter::noop(),
            sent_failures: Counter::noop(),
            round_trips: Histogram::noop(),
            oks: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            last: Mutex::new(None),
        }
    }

    /// A body was sent.
    pub(crate) fn sent(&self, bytes: u64) {
        self.sent_bytes.increment(bytes);
    }

    /// A body was received.
    pub(crate) fn received(&self, bytes: u64) {
        self.received_bytes.increment(bytes);
    }

    /// A request brought no answer.
    pub(crate) fn failed(&self) {
        self.sent_failures.increment(1);
    }

    /// A question of the health monitor was answered after this time.
    pub(crate) fn round_trip(&self, took: Duration) {
        self.round_trips.record(took);
    }

    /// A connection was made, or could not be.
    pub(crate) fn connected(&self, to: Option<SocketAddr>) {
        match to {
            Some(address) => {
                self.oks.fetch_add(1, Ordering::Relaxed);
                *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), address));
            }
            None => {
                self.errors.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Where the last connection went.
    pub(crate) fn last_address(&self) -> Option<SocketAddr> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).map(|(_, address)| address)
    }

    /// The connections so far.
    pub(crate) fn connections(&self) -> Connections {
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        Connections {
            oks: self.oks.load(Ordering::Relaxed),
            errors: self.errors.load(Ordering::Relaxed),
            last_seconds: last.map(|(at, _)| at.elapsed().as_secs()),
        }
    }
}
