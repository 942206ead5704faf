//! The listener: accepts connections up to the limit, and drains them at the end.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use adapter::Adapter;
use raft::Handle;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use crate::adoption::resume;
use crate::clients::Wish;
use crate::connection::Connection;
use crate::protection;
use crate::reload::Reloader;
use crate::shared::Shared;

/// How long connections have, at the end, to finish the pipeline that they are in.
pub const DRAIN: Duration = Duration::from_secs(5);
/// How long to wait after a failed `accept`: mostly there are no more file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// The silence after which the kernel probes whether a client still exists (Redis's `tcp-keepalive`).
pub const KEEPALIVE: Duration = Duration::from_secs(300);
/// What a client is told when there are too many.
const TOO_MANY: &[u8] = b"-ERR max number of clients reached\r\n";

/// A server of the Redis protocol over a storage.
pub struct Server<A: Adapter> {
    shared: Arc<Shared<A>>,
    connections: TaskTracker,
}

impl<A: Adapter> Server<A> {
    /// A server that does not listen yet. A metrics recorder must be installed before, or nothing is recorded.
    pub fn new(handle: Handle<A>, reloader: Arc<Reloader>) -> Self {
        Self { shared: Arc::new(Shared::new(handle, reloader)), connections: TaskTracker::new() }
    }

    /// What its connections share.
    pub fn shared(&self) -> Arc<Shared<A>> {
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
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                accepted = listener.accept() => match accepted {
                    Ok((stream, address)) => self.accept(stream, address),
                    Err(error) => {
                        tracing::warn!(%error, "a connection could not be accepted");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        drop(listener);
        self.connections.close();
        self.shared.clients.ask_all(Wish::Drain);
        if tokio::time::timeout(drain, self.connections.wait()).await.is_ok() {
            return true;
        }
        tracing::warn!(connections = self.clients(), "connections are closed before they have finished");
        self.shared.clients.ask_all(Wish::Close);
        false
    }

    fn accept(&self, stream: TcpStream, address: SocketAddr) {
        if self.clients() >= self.shared.config.load().limits.max_clients {
            self.shared.stats.turned_away();
            // A new socket's buffer takes this at once; a client that it does not reach learns by the close.
            let _ = stream.try_write(TOO_MANY);
            return;
        }
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
        let client = self.shared.clients.add(address, local);
        let connection = Connection::new(Arc::clone(&self.shared), client, stream);
        self.connections.spawn(connection.run());
    }
}

/// Replies leave at once, and a client that vanished is noticed.
fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE / 3).with_retries(3);
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}
