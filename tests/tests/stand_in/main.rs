//! `kiwi-stand-in` has the faults that it promises: shown on real processes, over sockets. What a test does not turn on
//! or cut off by an option of the stand-in's, it shows on a real Kiwi as well.
//!
//! | module | what it is about |
//! |---|---|
//! | [`batches`] | batches, and too many connections |
//! | [`limits`] | requests that are too long, replies that are cut |
//! | [`replies`] | commands that are not there, handshakes, texts |
//! | [`collections`] | lists, sets and sorted sets that answer otherwise than in Redis |
//! | [`cursors`] | SCAN and its like |
//! | [`instances`] | keys that may not stand in one command |
//! | [`endings`] | what the end of the process, a power cut and an error leave behind |

mod batches;
mod collections;
mod cursors;
mod endings;
mod instances;
mod limits;
mod replies;

use std::thread::sleep;
use std::time::{Duration, Instant};

use tests::cluster::PATIENCE;
use tests::engine::{self, Engine};
use tests::kiwi::Kiwi;

/// Nobody wants to wait for batches where they are not the point.
const AT_ONCE: [&str; 2] = ["--without", "batcher"];

/// Starts a stand-in in a directory that goes with it.
fn stand_in(options: &[&str]) -> Kiwi {
    Kiwi::start_anywhere(Engine::StandIn, options)
}

/// Shows something on the stand-in, and on a real Kiwi if there is one. The lines are of their configuration.
fn on_each_with(lines: &[(&'static str, &str)], options: &[&str], show: impl Fn(Kiwi)) {
    engine::on_each_kiwi(|engine| {
        let dir = tempfile::tempdir().unwrap();
        let mut kiwi = Kiwi::prepare(engine, dir.path());
        kiwi.settings = lines.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
        kiwi.options = options.iter().map(|option| (*option).to_owned()).collect();
        kiwi.launch();
        show(kiwi);
    });
}

/// As [`on_each_with`], as it is and without waiting for batches.
fn on_each(show: impl Fn(Kiwi)) {
    on_each_with(&[], &AT_ONCE, show);
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
