//! Free ports, so that tests can run beside each other and beside whatever else listens.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

/// Below the range that the kernel hands out for outgoing connections.
const FIRST: u16 = 11_000;
const LAST: u16 = 31_000;

/// A port that nobody listens on, not given to anybody else in this process, and unlikely to be given in another.
pub fn free() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let spread = (std::process::id() as u16).wrapping_mul(37) % (LAST - FIRST);
    for _ in 0..LAST - FIRST {
        let step = NEXT.fetch_add(1, Ordering::Relaxed) % (LAST - FIRST);
        let port = FIRST + (spread + step) % (LAST - FIRST);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port");
}
