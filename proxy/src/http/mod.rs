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
//!
//! It listens before the node is in its cluster, so that whoever watches the process can tell one that waits for the
//! others from one that hangs. Everything here is bounded: connections, the time for a request, its body.

mod answer;
mod call;
mod cluster;
mod credentials;
mod endpoints;
mod origin;
mod probes;
mod settings;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use adapter::Adapter;
use conf::Live;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::metrics::Registry;
use crate::shared::Shared;

/// Connections that are served at once; one more is closed.
const MAX_CONNECTIONS: usize = 256;
/// A request's head must be here in this time, and a connection may be idle as long.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// The wait after an `accept` that failed, as it does while there are no file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The server. See the module.
pub struct Http<A: Adapter> {
    config: Live,
    registry: Arc<Registry>,
    /// The node, once there is one.
    node: OnceLock<Arc<Shared<A>>>,
    connections: Arc<Semaphore>,
}

impl<A: Adapter> Http<A> {
    /// A server without a node behind it.
    pub fn new(config: Live, registry: Arc<Registry>) -> Arc<Self> {
        let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        Arc::new(Self { config, registry, node: OnceLock::new(), connections })
    }

    /// Puts the node behind it. Only the first one counts.
    pub fn open(&self, node: Arc<Shared<A>>) {
        let _ = self.node.set(node);
    }

    /// Serves until it is dropped; the connections end with it.
    pub async fn run(self: Arc<Self>, listener: TcpListener) {
        let mut serving = JoinSet::new();
        loop {
            let (stream, peer) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "an HTTP connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            while serving.try_join_next().is_some() {}
            // Over the limit: the connection is closed by dropping it.
            if let Ok(permit) = Arc::clone(&self.connections).try_acquire_owned() {
                let http = Arc::clone(&self);
                serving.spawn(async move {
                    http.serve(stream, peer).await;
                    drop(permit);
                });
            }
        }
    }

    async fn serve(self: Arc<Self>, stream: TcpStream, peer: SocketAddr) {
        let service = service_fn(|request| async {
            Ok::<_, Infallible>(endpoints::answer(&self, peer, request).await)
        });
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .serve_connection(TokioIo::new(stream), service)
            .await;
        if let Err(error) = served {
            tracing::debug!(%error, %peer, "an HTTP connection ended early");
        }
    }
}
