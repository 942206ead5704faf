//! `kiwi-stand-in` has the faults that it promises: shown on real processes, over sockets. What is the same on a real
//! Kiwi is tested on both.
//!
//! | module | what it is about |
//! |---|---|
//! | [`batches`] | batches, and too many connections |
//! | [`limits`] | requests that are too long, replies that are cut |
//! | [`replies`] | commands that are not there, or answer otherwise than in Redis |
//! | [`endings`] | what the end of the process, a power cut and a timeout leave behind |

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

mod batches;
mod endings;
mod limits;
mod replies;

use std::thread::sleep;
use std::time::{Duration, Instant};

use tests::cluster::PATIENCE;
use tests::engine::Engine;
use tests::kiwi::Kiwi;

/// Starts a stand-in in a directory that goes with it.
fn stand_in(options: &[&str]) -> Kiwi {
    Kiwi::start_anywhere(Engine::StandIn, options)
}

fn wait_for<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: not in time");
        sleep(Duration::from_millis(5));
    }
}
