//! What goes to one peer and comes from it: counted for operators.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use metrics::{Counter, Gauge, Histogram};
use serde::{Deserialize, Serialize};

use super::version::Version;
use crate::types::NodeId;

/// Connections that were opened to a member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connections {
    /// How many were made.
    pub oks: u64,
    /// How many could not be made.
    pub errors: u64,
    /// Seconds since the last one was made.
    pub last_seconds: Option<u64>,
    /// The version of the protocol between nodes that it was agreed to speak on the last one.
    pub protocol: Option<u16>,
}

/// The counts of one peer. They go on when its address changes.
pub(crate) struct Traffic {
    sent_bytes: Counter,
    received_bytes: Counter,
    sent_failures: Counter,
    round_trips: Histogram,
    version: Gauge,
    oks: AtomicU64,
    errors: AtomicU64,
    /// The last connection that was made.
    last: Mutex<Option<Last>>,
}

#[derive(Clone, Copy)]
struct Last {
    at: Instant,
    to: SocketAddr,
    version: Version,
}

impl Traffic {
    pub(crate) fn new(peer: NodeId) -> Self {
        let peer = peer.to_string();
        Self {
            sent_bytes: metrics::counter!("raft_proxy_network_peer_sent_bytes_total", "to" => peer.clone()),
            received_bytes: metrics::counter!("raft_proxy_network_peer_received_bytes_total", "from" => peer.clone()),
            sent_failures: metrics::counter!("raft_proxy_network_peer_sent_failures_total", "to" => peer.clone()),
            round_trips: metrics::histogram!("raft_proxy_network_peer_round_trip_time_seconds", "to" => peer.clone()),
            version: metrics::gauge!("raft_proxy_network_peer_protocol_version", "to" => peer),
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
            version: Gauge::noop(),
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

    /// A connection to the peer, which has proved that it is the peer, was made, or could not be.
    pub(crate) fn connected(&self, connection: Option<(SocketAddr, Version)>) {
        let Some((to, version)) = connection else {
            self.errors.fetch_add(1, Ordering::Relaxed);
            return;
        };
        self.oks.fetch_add(1, Ordering::Relaxed);
        self.version.set(f64::from(version.number()));
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Last { at: Instant::now(), to, version });
    }

    /// Where the last connection went.
    pub(crate) fn last_address(&self) -> Option<SocketAddr> {
        self.last().map(|last| last.to)
    }

    /// The connections so far.
    pub(crate) fn connections(&self) -> Connections {
        let last = self.last();
        Connections {
            oks: self.oks.load(Ordering::Relaxed),
            errors: self.errors.load(Ordering::Relaxed),
            last_seconds: last.map(|last| last.at.elapsed().as_secs()),
            protocol: last.map(|last| last.version.number()),
        }
    }

    fn last(&self) -> Option<Last> {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
