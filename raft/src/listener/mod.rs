//! Accepting connections, on every port alike: how many there may be, from where, and for how long one may stay that
//! says nothing.
//!
//! | module | what it says |
//! |---|---|
//! | [`slots`] | the places of a port, who has one, and who gives one up |
//! | [`quiet`] | one log line where there could be thousands |
//!
//! A port has a number of places. A connection that has shown nothing yet keeps its place only as long as nobody else
//! needs it, so strangers who only connect keep nobody out. Some more places are for connections from this machine, so
//! that whoever administers a node gets in when all others are taken.

pub mod quiet;
pub mod slots;

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use metrics::Counter;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

pub use quiet::Quiet;
use slots::Slots;
pub use slots::{Granted, Limits, Refusal, Slot};

/// Connections that may wait to be accepted (Redis's `tcp-backlog`). The kernel takes no more than
/// `net.core.somaxconn`.
pub const BACKLOG: i32 = 511;

/// The wait after an `accept` that failed: mostly there are no more file descriptors, and no connection that ends says
/// so.
const PAUSE: Duration = Duration::from_millis(100);
/// How often a line tells of an `accept` that failed.
const FAILURES_EVERY: Duration = Duration::from_secs(1);
/// How often a line tells of connections that were turned away.
const REFUSALS_EVERY: Duration = Duration::from_secs(10);

/// Binds a port. The socket does not block.
pub fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart does not wait for the connections of the process before.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// A bound port. It goes on whatever `accept` says.
pub struct Acceptor {
    port: &'static str,
    socket: TcpListener,
    failures: Quiet,
}

/// A port that takes connections up to its limits.
pub struct Listener {
    acceptor: Acceptor,
    slots: Arc<Slots>,
    door: Arc<Door>,
}

/// Counts who is turned away from a port, and tells of it.
pub struct Door {
    /// What the port is called in the log and in metrics.
    port: &'static str,
    turned_away: [(Refusal, Counter); Refusal::ALL.len()],
    told: Quiet,
}

/// A connection that has come.
#[derive(Debug)]
pub enum Accepted {
    /// It has a place, which it keeps until `Slot` is dropped.
    Connection(TcpStream, SocketAddr, Slot),
    /// There is no place for it.
    TurnedAway(TcpStream, Refusal),
}

impl Acceptor {
    /// A port by this name.
    pub fn new(port: &'static str, socket: TcpListener) -> Self {
        Self { port, socket, failures: Quiet::new(FAILURES_EVERY) }
    }

    /// The next connection. Dropping the future loses none.
    pub async fn accept(&self) -> (TcpStream, SocketAddr) {
        loop {
            match self.socket.accept().await {
                Ok(accepted) => return accepted,
                Err(error) => self.failed(&error).await,
            }
        }
    }

    async fn failed(&self, error: &io::Error) {
        // The connection broke before it was taken: nothing is wrong here, and the next one may be there already.
        let is_its_own = [ErrorKind::ConnectionAborted, ErrorKind::ConnectionReset, ErrorKind::Interrupted];
        if is_its_own.contains(&error.kind()) {
            return;
        }
        if let Some(untold) = self.failures.line() {
            tracing::warn!(port = self.port, %error, untold, "no connection can be accepted");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

impl Listener {
    /// A port by this name (`resp`, `http`). A metrics recorder must be installed before, or nothing is counted.
    pub fn new(port: &'static str, socket: TcpListener) -> Self {
        let acceptor = Acceptor::new(port, socket);
        Self { acceptor, slots: Arc::default(), door: Arc::new(Door::new(port)) }
    }

    /// For connections that are turned away after they have got a place.
    pub fn door(&self) -> Arc<Door> {
        Arc::clone(&self.door)
    }

    /// The next connection. `limits` is asked for each, so limits can change. Dropping the future loses no connection.
    pub async fn accept(&self, limits: impl Fn() -> Limits) -> Accepted {
        self.slots.settle().await;
        let (stream, address) = self.acceptor.accept().await;
        match self.slots.take(address.ip(), &limits()) {
            Ok(Granted::Free(slot)) => Accepted::Connection(stream, address, slot),
            Ok(Granted::Evicted(slot, age)) => {
                self.door.turn_away(Refusal::Silent, format_args!("one {age:.1?} old"));
                Accepted::Connection(stream, address, slot)
            }
            Err(refusal) => {
                self.door.turn_away(refusal, format_args!("from {}", address.ip()));
                Accepted::TurnedAway(stream, refusal)
            }
        }
    }
}

impl Door {
    fn new(port: &'static str) -> Self {
        let counter = |refusal: Refusal| {
            let labels = [("port", port), ("reason", refusal.reason())];
            (refusal, metrics::counter!("raft_proxy_connections_turned_away_total", &labels))
        };
        Self { port, turned_away: Refusal::ALL.map(counter), told: Quiet::new(REFUSALS_EVERY) }
    }

    /// Counts a connection that was closed for this reason, and tells of it now and then.
    pub fn turn_away(&self, refusal: Refusal, which: std::fmt::Arguments<'_>) {
        if let Some((_, counter)) = self.turned_away.iter().find(|(known, _)| *known == refusal) {
            counter.increment(1);
        }
        if let Some(untold) = self.told.line() {
            let (port, reason) = (self.port, refusal.to_string());
            tracing::warn!(port, %which, untold, "a connection was closed: {reason}");
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    const LIMITS: Limits = Limits { connections: 1, reserved: 0, per_address: 0, patience: Duration::ZERO };

    async fn listener() -> (Listener, SocketAddr) {
        let socket = TcpListener::from_std(bind("127.0.0.1:0".parse().unwrap()).unwrap()).unwrap();
        let address = socket.local_addr().unwrap();
        (Listener::new("test", socket), address)
    }

    #[tokio::test]
    async fn one_that_is_silent_makes_room_for_the_next_and_one_that_has_spoken_does_not() {
        let (listener, address) = listener().await;
        let _silent = TcpStream::connect(address).await.unwrap();
        let Accepted::Connection(_first, _, first) = listener.accept(|| LIMITS).await else { panic!() };
        let _speaks = TcpStream::connect(address).await.unwrap();
        let Accepted::Connection(_second, _, second) = listener.accept(|| LIMITS).await else { panic!() };
        first.given_up().await;
        assert!(!first.prove() && second.prove());
        let mut refused = TcpStream::connect(address).await.unwrap();
        let Accepted::TurnedAway(stream, refusal) = listener.accept(|| LIMITS).await else { panic!() };
        assert_eq!(refusal, Refusal::TooMany);
        drop(stream);
        assert_eq!(refused.read(&mut [0]).await.unwrap(), 0);
        drop(second);
        let _next = TcpStream::connect(address).await.unwrap();
        assert!(matches!(listener.accept(|| LIMITS).await, Accepted::Connection(..)));
    }

    #[tokio::test]
    async fn a_burst_of_silent_ones_does_not_keep_out_who_comes_behind_them() {
        let (listener, address) = listener().await;
        let _silent: Vec<_> = (0..100).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
        for _ in 0..100 {
            let accepted = listener.accept(|| Limits { connections: 20, ..LIMITS }).await;
            let Accepted::Connection(stream, _, slot) = accepted else { panic!("{accepted:?}") };
            tokio::spawn(async move {
                slot.given_up().await;
                drop(stream);
            });
        }
    }

    #[tokio::test]
    async fn ports_are_bound_as_before_a_restart() {
        let (listener, address) = listener().await;
        let _there = TcpStream::connect(address).await.unwrap();
        let Accepted::Connection(stream, ..) = listener.accept(|| LIMITS).await else { panic!() };
        drop((stream, listener));
        bind(address).unwrap();
    }
}
