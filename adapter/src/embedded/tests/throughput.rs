//! How long applying takes. Not a test: run it with
//! `cargo test --release -p adapter throughput -- --ignored --nocapture`.

#![allow(clippy::print_stdout, reason = "it is there to print")]

use super::position;
use crate::command::random::Chance;
use crate::embedded::db::store::{Log, Setup, Store};
use crate::embedded::keyspace::txn::Txn;
use crate::embedded::keyspace::view::{Pace, View};
use crate::keyspace::{Keyspace, KeyspaceMut};

const RUNS: u64 = 2000;
const RUN: u64 = 500;

/// The time that this thread was running, nanoseconds: other work on the machine does not count.
fn running() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

#[test]
#[ignore = "a measurement"]
fn sets_and_gets_of_100_bytes_on_100_000_random_keys() {
    let dir = tempfile::tempdir().unwrap();
    let setup = Setup { storage: conf::Storage::default(), log: Log::Off, dirty_log: false };
    let store = Store::create(&dir.path().join("1"), &setup).unwrap();
    let mut chance = Chance::new(1);
    let value = [b'x'; 100];
    for round in 0..3 {
        let (mut run, mut commit) = (0, 0);
        for n in 0..RUNS {
            let start = running();
            let mut txn = Txn::begin(&store, None);
            for _ in 0..RUN {
                let key = format!("key:{:012}", chance.below(100_000));
                txn.string_put(key.as_bytes(), &value, None).unwrap();
            }
            let middle = running();
            txn.commit(position(n)).unwrap();
            run += middle - start;
            commit += running() - middle;
        }
        let per = |time: u64| time / (RUNS * RUN);
        println!("round {round}: SET {} ns run + {} ns commit", per(run), per(commit));
        let start = running();
        for _ in 0..RUNS * RUN {
            let key = format!("key:{:012}", chance.below(100_000));
            let view = View::light(&store, 0, Pace::FastCommand);
            view.meta(key.as_bytes()).unwrap();
            view.string(key.as_bytes()).unwrap();
        }
        println!("round {round}: GET {} ns", per(running() - start));
    }
}
