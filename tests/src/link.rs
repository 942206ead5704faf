//! A TCP link that can be slow or cut: what peers send to a node goes through it, so a test decides whether and how
//! late it arrives. What the node itself sends takes the links of the others; there it can be cut by its sender.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// Listens on a port of its own and passes on to another, in both directions.
pub struct Link {
    /// Where it listens, on loopback.
    pub port: u16,
    delay_ms: Arc<AtomicU64>,
    cut: Arc<AtomicBool>,
    /// A bit for each sender whose requests do not arrive, and whose answers do not leave.
    cut_from: Arc<AtomicU64>,
}

/// Where in what a caller says its own id begins: right behind its hello. See `raft/src/network/handshake`.
const SENDER_AT: usize = 52;
/// Bytes of the id.
const SENDER_BYTES: usize = 8;

impl Link {
    /// A link to a port on loopback, without delay. It ends with the process.
    pub fn to(target: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let delay_ms = Arc::new(AtomicU64::new(0));
        let cut = Arc::new(AtomicBool::new(false));
        let cut_from = Arc::new(AtomicU64::new(0));
        let (delay, is_cut, senders) = (Arc::clone(&delay_ms), Arc::clone(&cut), Arc::clone(&cut_from));
        thread::spawn(move || {
            for peer in listener.incoming().map_while(Result::ok) {
                // A node that does not run refuses; the peer sees a connection that closes.
                if is_cut.load(Ordering::Relaxed) {
                    continue;
                }
                let Ok(node) = TcpStream::connect(("127.0.0.1", target)) else { continue };
                let (from_peer, from_node) = (peer.try_clone().unwrap(), node.try_clone().unwrap());
                let (delay, cut) = (Arc::clone(&delay), Arc::clone(&is_cut));
                // A connection is one sender's; who it is, the handshake says.
                let (cut_from, sender) = (Arc::clone(&senders), Arc::new(AtomicU64::new(0)));
                let (cut_to, receiver) = (Arc::clone(&senders), Arc::clone(&sender));
                thread::spawn(move || {
                    let mut start = Vec::new();
                    pass(from_peer, node, &delay, |said| {
                        if start.len() < SENDER_AT + SENDER_BYTES {
                            start.extend_from_slice(said);
                            sender.store(sender_bit(&start), Ordering::Relaxed);
                        }
                        let is_cut_from =
                            cut_from.load(Ordering::Relaxed) & sender.load(Ordering::Relaxed) != 0;
                        cut.load(Ordering::Relaxed) || is_cut_from
                    });
                });
                thread::spawn(move || {
                    pass(from_node, peer, &AtomicU64::new(0), |_| {
                        cut_to.load(Ordering::Relaxed) & receiver.load(Ordering::Relaxed) != 0
                    });
                });
            }
        });
        Self { port, delay_ms, cut, cut_from }
    }

    /// From now on, what peers send arrives this much later.
    pub fn delay(&self, by: Duration) {
        self.delay_ms.store(by.as_millis() as u64, Ordering::Relaxed);
    }

    /// From now on, nothing that peers send arrives, until [`Self::mend`].
    pub fn cut(&self) {
        self.cut.store(true, Ordering::Relaxed);
    }

    /// From now on, nothing that one node sends arrives, nor do answers to it, until [`Self::mend`].
    pub fn cut_from(&self, node: u64) {
        self.cut_from.fetch_or(1 << node, Ordering::Relaxed);
    }

    /// Ends what was cut.
    pub fn mend(&self) {
        self.cut.store(false, Ordering::Relaxed);
        self.cut_from.store(0, Ordering::Relaxed);
    }
}

/// The bit of the node that begins a connection like this; 0 if it has not said yet who it is.
fn sender_bit(start: &[u8]) -> u64 {
    let id = start.get(SENDER_AT..SENDER_AT + SENDER_BYTES).and_then(|id| id.try_into().ok());
    id.map(u64::from_le_bytes).filter(|node| *node < 64).map_or(0, |node| 1 << node)
}

fn pass(mut from: TcpStream, mut to: TcpStream, delay_ms: &AtomicU64, mut is_cut: impl FnMut(&[u8]) -> bool) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(size @ 1..) = from.read(&mut buffer) {
        thread::sleep(Duration::from_millis(delay_ms.load(Ordering::Relaxed)));
        if is_cut(&buffer[..size]) || to.write_all(&buffer[..size]).is_err() {
            break;
        }
    }
    // Either side may be gone already.
    let _ = to.shutdown(Shutdown::Write);
    let _ = from.shutdown(Shutdown::Read);
}
