//! A TCP link that can be slow or cut: what peers send to a node goes through it, so a test decides whether and how
//! late it arrives. What the node itself sends takes the links of the others.

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
}

impl Link {
    /// A link to a port on loopback, without delay. It ends with the process.
    pub fn to(target: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let delay_ms = Arc::new(AtomicU64::new(0));
        let cut = Arc::new(AtomicBool::new(false));
        let (delay, is_cut) = (Arc::clone(&delay_ms), Arc::clone(&cut));
        thread::spawn(move || {
            for peer in listener.incoming().map_while(Result::ok) {
                // A node that does not run refuses; the peer sees a connection that closes.
                if is_cut.load(Ordering::Relaxed) {
                    continue;
                }
                let Ok(node) = TcpStream::connect(("127.0.0.1", target)) else { continue };
                let (from_peer, from_node) = (peer.try_clone().unwrap(), node.try_clone().unwrap());
                let (delay, cut) = (Arc::clone(&delay), Arc::clone(&is_cut));
                thread::spawn(move || pass(from_peer, node, &delay, &cut));
                thread::spawn(move || pass(from_node, peer, &AtomicU64::new(0), &AtomicBool::new(false)));
            }
        });
        Self { port, delay_ms, cut }
    }

    /// From now on, what peers send arrives this much later.
    pub fn delay(&self, by: Duration) {
        self.delay_ms.store(by.as_millis() as u64, Ordering::Relaxed);
    }

    /// From now on, nothing that peers send arrives, until [`Self::mend`].
    pub fn cut(&self) {
        self.cut.store(true, Ordering::Relaxed);
    }

    /// Ends a [`Self::cut`].
    pub fn mend(&self) {
        self.cut.store(false, Ordering::Relaxed);
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, delay_ms: &AtomicU64, cut: &AtomicBool) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(size @ 1..) = from.read(&mut buffer) {
        thread::sleep(Duration::from_millis(delay_ms.load(Ordering::Relaxed)));
        if cut.load(Ordering::Relaxed) || to.write_all(&buffer[..size]).is_err() {
            break;
        }
    }
    // Either side may be gone already.
    let _ = to.shutdown(Shutdown::Write);
    let _ = from.shutdown(Shutdown::Read);
}
