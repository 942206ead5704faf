//! HTTP for operators, probes and Prometheus, on a listener of its own; off the Raft port.
//!
//! | module | what it says |
//! |---|---|
//! | [`endpoints`] | what can be asked: the table, and the way from a request to its answer |
//! | [`call`] | one request, as far as it matters here |
//! | [`answer`] | what is answered: JSON, text, errors |
//! | [`origin`] | no web page may change anything |
//! | [`credentials`] | who may change something |
//! | [`probes`] | `/livez`, `/readyz` |
//! | [`cluster`] | `/cluster/…` |
//! | [`settings`] | `/config`, `/log-level` |
//! | [`state`] | what the answers are made from |
//!
//! It listens before the node is in its cluster, so that whoever watches the process can tell one that waits for the
//! others from one that hangs. Everything here is bounded: connections, the time for a request, its body.
//!
//! A connection without a request makes room for the next one, so whoever only connects does not keep probes out.

mod answer;
mod call;
mod cluster;
mod credentials;
mod endpoints;
mod origin;
mod probes;
mod settings;
mod state;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use conf::Live;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use raft::listener::{Accepted, Limits, Listener, Slot};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::metrics::Registry;
use crate::shared::Shared;
use state::State;

/// A request's head must be here in this time, and a connection may be idle as long.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Of all connections, one in so many is for this machine alone.
const RESERVED: usize = 16;
/// Of all connections, one in so many may come from one other address.
const PER_ADDRESS: usize = 4;

/// The server. See the module.
pub struct Http {
    state: State,
    limits: Limits,
}

impl Http {
    /// A server without a node behind it, for so many connections at once.
    pub fn new(config: Live, registry: Arc<Registry>, connections: usize) -> Arc<Self> {
        let reserved = connections / RESERVED;
        let limits = Limits {
            connections: connections - reserved,
            reserved,
            per_address: (connections / PER_ADDRESS).max(1),
            // A client of HTTP connects anew where its connection is gone.
            patience: Duration::ZERO,
        };
        Arc::new(Self { state: State { config, registry, node: OnceLock::new() }, limits })
    }

    /// Puts the node behind it. Only the first one counts.
    pub fn open(&self, node: Arc<Shared>) {
        let _ = self.state.node.set(node);
    }

    /// Serves until it is dropped; the connections end with it.
    pub async fn run(self: Arc<Self>, listener: TcpListener) {
        let listener = Listener::new("http", listener);
        let mut serving = JoinSet::new();
        loop {
            let accepted = listener.accept(|| self.limits).await;
            while serving.try_join_next().is_some() {}
            // One without a place is closed by dropping it.
            if let Accepted::Connection(stream, peer, slot) = accepted {
                serving.spawn(Arc::clone(&self).serve(stream, peer, slot));
            }
        }
    }

    async fn serve(self: Arc<Self>, stream: TcpStream, peer: SocketAddr, slot: Slot) {
        let service = service_fn(|request| async {
            if !slot.prove() {
                // It is about to be closed.
                std::future::pending::<()>().await;
            }
            let answer = endpoints::answer(&self.state, peer, request).await;
            slot.rest();
            Ok::<_, Infallible>(answer)
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .serve_connection(TokioIo::new(stream), service);
        tokio::select! {
            served = connection => if let Err(error) = served {
                tracing::debug!(%error, %peer, "an HTTP connection ended early");
            },
            () = slot.given_up() => tracing::debug!(%peer, "an idle HTTP connection made room for another"),
        }
    }
}
