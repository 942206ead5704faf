//! Adapters that are called like servers.

use adapter::batch::{Batch, CommandBuffer};
use adapter::embedded::EmbeddedAdapter;
use adapter::memory::MemoryAdapter;
use adapter::snapshot::Digest;
use adapter::{Adapter, Position, Reply, Run};
use bytes::Bytes;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::Call;

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
}

/// An adapter, with what it needs to live.
struct Called<A> {
    name: &'static str,
    adapter: A,
    runtime: Runtime,
    index: u64,
    _dir: TempDir,
}

/// Every storage of this project, empty. The one in memory, which is the model of the others, is the first.
pub fn all() -> Vec<Box<dyn Storage>> {
    let dir = tempfile::tempdir().unwrap();
    let embedded = EmbeddedAdapter::open(&dir.path().join("data"), &conf::Storage::default(), false).unwrap();
    vec![
        called("memory", MemoryAdapter::new(), tempfile::tempdir().unwrap()),
        called("embedded", embedded, dir),
    ]
}

fn called(name: &'static str, adapter: impl Adapter, dir: TempDir) -> Box<dyn Storage> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let index = adapter.applied().position.index;
    Box::new(Called { name, adapter, runtime, index, _dir: dir })
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

    fn digest(&self) -> Digest {
        self.runtime.block_on(self.adapter.digest()).unwrap().1
    }
}
