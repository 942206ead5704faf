//! Adapters that are called like servers.

use adapter::batch::{Batch, CommandBuffer};
use std::path::Path;
use std::time::{Duration, Instant};

use adapter::embedded::EmbeddedAdapter;
use adapter::kiwi::KiwiAdapter;
use adapter::memory::MemoryAdapter;
use adapter::snapshot::Digest;
use adapter::{Adapter, Position, Reply, Run};
use bytes::Bytes;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::Call;
use crate::cluster::PATIENCE;
use crate::engine::{self, Engine};
use crate::kiwi::Kiwi;

/// A storage with a log of one command per entry and a clock that the test sets.
pub trait Storage {
    /// Its name.
    fn name(&self) -> &'static str;
    /// Applies a call, reading or writing, as a log entry of its own. The seed decides all chance.
    fn apply(&mut self, call: &Call, now_ms: u64, seed: u64) -> Reply;
    /// Reads past the log: the reply, and the due keys that it met.
    fn read(&self, call: &Call, now_ms: u64) -> (Reply, Vec<Bytes>);
    /// The keys that are due.
    fn due_keys(&self, now_ms: u64, limit: usize) -> Vec<Bytes>;
    /// The digest of the content.
    fn digest(&self) -> Digest;
    /// Waits until all content is where it is kept in the end.
    fn settle(&self);
}

/// An adapter, with what it needs to live.
struct Called<A> {
    is_settled: fn(&A) -> bool,
    name: &'static str,
    adapter: A,
    runtime: Runtime,
    index: u64,
    _dir: TempDir,
    _kiwi: Option<Kiwi>,
}

/// Every storage of this project, empty. The one in memory, which is the model of the others, is the first.
pub fn all() -> Vec<Box<dyn Storage>> {
    let memory = called("memory", |_| MemoryAdapter::new(), tempfile::tempdir().unwrap(), None);
    let rows = engine::all().into_iter().map(on);
    [Box::new(memory) as Box<dyn Storage>].into_iter().chain(rows).collect()
}

/// The storage of a row of the table, empty.
pub fn on(engine: Engine) -> Box<dyn Storage> {
    if engine.is_kiwi() {
        return Box::new(on_kiwi(engine));
    }
    let open =
        |dir: &Path| EmbeddedAdapter::open(&dir.join("data"), &conf::Storage::default(), false).unwrap();
    Box::new(called(engine.name(), open, tempfile::tempdir().unwrap(), None))
}

/// Kiwi, with next to nothing kept beside it, so that most reads ask it.
fn on_kiwi(engine: Engine) -> Called<KiwiAdapter> {
    let dir = tempfile::tempdir().unwrap();
    // Without the wait of 10 ms, or the many short commands would take all day.
    let kiwi = Kiwi::start(engine, &dir.path().join("kiwi"), &["--without", "batcher"]);
    let config = conf::Storage {
        address: kiwi.address(),
        keep_values: 0,
        cache_size: 0,
        settle_time: Duration::ZERO,
        ..conf::Storage::default()
    };
    let open = |dir: &Path| KiwiAdapter::open(&dir.join("index"), &config, false).unwrap();
    let storage = called(engine.name(), open, dir, Some(kiwi));
    Called { is_settled: KiwiAdapter::is_caught_up, ..storage }
}

fn called<A: Adapter>(
    name: &'static str,
    open: impl FnOnce(&Path) -> A,
    dir: TempDir,
    kiwi: Option<Kiwi>,
) -> Called<A> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let adapter = {
        let _inside = runtime.enter();
        open(dir.path())
    };
    let index = adapter.applied().position.index;
    Called { is_settled: |_| true, name, adapter, runtime, index, _dir: dir, _kiwi: kiwi }
}

impl<A: Adapter> Storage for Called<A> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn apply(&mut self, call: &Call, now_ms: u64, seed: u64) -> Reply {
        let mut commands = CommandBuffer::default();
        commands.push(&call.iter().map(Vec::as_slice).collect::<Vec<_>>());
        self.index += 1;
        let position = Position { index: self.index, mark: Bytes::new() };
        let run = Run { batches: vec![Batch::new(now_ms, seed, [&commands])], position };
        let mut replies = self.runtime.block_on(self.adapter.apply(run)).unwrap();
        replies.pop().and_then(|mut batch| batch.pop()).expect("a reply per command")
    }

    fn read(&self, call: &Call, now_ms: u64) -> (Reply, Vec<Bytes>) {
        let args = call.iter().map(|arg| Bytes::copy_from_slice(arg)).collect();
        let outcome = self.runtime.block_on(self.adapter.read(args, now_ms));
        (outcome.reply, outcome.expired)
    }

    fn due_keys(&self, now_ms: u64, limit: usize) -> Vec<Bytes> {
        self.runtime.block_on(self.adapter.due_keys(now_ms, limit)).unwrap()
    }

    fn settle(&self) {
        let deadline = Instant::now() + PATIENCE;
        while !(self.is_settled)(&self.adapter) {
            assert!(Instant::now() < deadline, "{}", self.adapter.health().detail);
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn digest(&self) -> Digest {
        self.runtime.block_on(self.adapter.digest()).unwrap().1
    }
}
