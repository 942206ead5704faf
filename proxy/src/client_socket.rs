//! How the socket of a client is set up.

use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

/// The silence after which the kernel probes whether a client still exists (Redis's `tcp-keepalive`).
pub(crate) const KEEPALIVE: Duration = Duration::from_secs(300);

/// Replies leave at once, and a client that vanished is noticed.
pub(crate) fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE / 3).with_retries(3);
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}
