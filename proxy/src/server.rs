//! The port for clients: serves connections, and drains them at the end.

use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use raft::Handle;
use raft::listener::{Accepted, Door, Limits, Listener, Refusal, Slot};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use crate::adoption::resume;
use crate::client_socket::prepare;
use crate::clients::Directive;
use crate::connection::{Connection, TOO_MANY};
use crate::protection;
use crate::reload::Reloader;
use crate::shared::Shared;

/// How long connections have, at the end, to finish the pipeline that they are in.
pub const DRAIN: Duration = Duration::from_secs(5);
/// Connections beyond `max_clients` from this machine, for who administers the node.
const RESERVED: usize = 16;
/// What a client is told when there are too many from where it is.
const TOO_MANY_FROM_ADDRESS: &str = "ERR max number of clients from one address reached";

/// A server of the Redis protocol over a storage.
pub struct Server {
    shared: Arc<Shared>,
    connections: TaskTracker,
}

impl Server {
    /// A server that does not listen yet. A metrics recorder must be installed before, or nothing is recorded.
    pub fn new(handle: Handle, reloader: Arc<Reloader>) -> Self {
        Self { shared: Arc::new(Shared::new(handle, reloader)), connections: TaskTracker::new() }
    }

    /// What its connections share.
    pub fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// The number of connections.
    pub fn clients(&self) -> usize {
        self.shared.clients.len()
    }

    /// Serves until `shutdown`; then stops accepting and lets every connection finish the pipeline that it is in.
    /// What is not finished after `drain` is closed. Answers whether all finished.
    pub async fn run(
        &self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()>,
        drain: Duration,
    ) -> bool {
        let adoption = Arc::clone(&self.shared.adoption);
        let _resuming = AbortOnDropHandle::new(tokio::spawn(resume(adoption, self.shared.handle.clone())));
        let mut shutdown = pin!(shutdown);
        let listener = Listener::new("resp", listener);
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                accepted = listener.accept(|| self.limits()) => match accepted {
                    Accepted::Connection(stream, address, slot) => self.serve(listener.door(), stream, address, slot),
                    Accepted::TurnedAway(stream, refusal) => self.turn_away(&stream, refusal),
                },
            }
        }
        drop(listener);
        self.connections.close();
        self.shared.clients.ask_all(Directive::Drain);
        if tokio::time::timeout(drain, self.connections.wait()).await.is_ok() {
            return true;
        }
        tracing::warn!(connections = self.clients(), "connections are closed before they have finished");
        self.shared.clients.ask_all(Directive::Close);
        false
    }

    fn limits(&self) -> Limits {
        let limits = &self.shared.config.load().limits;
        Limits {
            connections: limits.max_clients,
            reserved: RESERVED,
            per_address: limits.max_clients_per_address,
            patience: if limits.handshake_timeout.is_zero() {
                Duration::MAX
            } else {
                limits.handshake_timeout
            },
        }
    }

    fn turn_away(&self, stream: &TcpStream, refusal: Refusal) {
        self.shared.stats.turned_away();
        let text = match refusal {
            Refusal::TooManyFromAddress => TOO_MANY_FROM_ADDRESS,
            Refusal::TooMany | Refusal::Silent | Refusal::Unproven => TOO_MANY,
        };
        // A new socket's buffer takes this at once; a client that it does not reach learns by the close.
        let _ = stream.try_write(format!("-{text}\r\n").as_bytes());
    }

    fn serve(&self, door: Arc<Door>, stream: TcpStream, address: SocketAddr, slot: Slot) {
        let local = match prepare(&stream).and_then(|()| stream.local_addr()) {
            Ok(local) => local,
            Err(error) => {
                tracing::debug!(%error, %address, "a connection was gone before it was served");
                return;
            }
        };
        if protection::denies(&self.shared.config.load(), address, local) {
            self.shared.stats.turned_away();
            let _ = stream.try_write(format!("-{}\r\n", protection::DENIED).as_bytes());
            return;
        }
        let client = self.shared.clients.add(address, local, stream.as_raw_fd());
        let connection = Connection::new(Arc::clone(&self.shared), client, stream, slot);
        self.connections.spawn(async move {
            if let Some(refusal) = connection.run().await {
                door.turn_away(refusal, format_args!("from {}", address.ip()));
            }
        });
    }
}
