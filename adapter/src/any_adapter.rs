//! The configured storage, as one type.
//!
//! The layers above are compiled once for this type, rather than once per kind of storage. A call costs one match.

use std::io::{Read, Write};

use bytes::Bytes;
use conf::{ClusterConfig, StorageKind};

use crate::adapter::{Adapter, Fact, Frozen, Health, ReadOutcome, Run};
use crate::embedded::{EmbeddedAdapter, OpenError, StoreSnapshot};
use crate::error::StorageError;
use crate::import_source::ImportSource;
use crate::kiwi::KiwiAdapter;
use crate::memory::{FrozenMemory, MemoryAdapter};
use crate::position::{Applied, Digest, Position};
use crate::reply::Reply;

/// A storage of any kind.
pub enum AnyAdapter {
    /// RocksDB inside the process.
    Embedded(EmbeddedAdapter),
    /// An unchanged Kiwi, with an index beside it.
    Kiwi(Box<KiwiAdapter>),
    /// Memory only.
    Memory(MemoryAdapter),
}

impl AnyAdapter {
    /// Opens the configured storage, with its files in the data directory. Without a cluster there is no Raft log
    /// to replay, so it keeps a log of its own. Must be called on a runtime.
    pub fn open(config: &ClusterConfig) -> Result<Self, OpenError> {
        let (dir, storage, wal) = (&config.node.data_dir, &config.storage, !config.cluster.enabled);
        match storage.kind {
            StorageKind::Embedded => {
                EmbeddedAdapter::open(&dir.join("data"), storage, wal).map(Self::Embedded)
            }
            StorageKind::Kiwi => {
                KiwiAdapter::open(&dir.join("index"), storage, wal).map(|kiwi| Self::Kiwi(Box::new(kiwi)))
            }
            StorageKind::Memory => Ok(Self::Memory(MemoryAdapter::new())),
        }
    }
}

/// Calls a method of the storage, whichever it is.
macro_rules! of_each {
    ($any:expr, $adapter:ident => $call:expr) => {
        match $any {
            AnyAdapter::Embedded($adapter) => $call,
            AnyAdapter::Kiwi($adapter) => $call,
            AnyAdapter::Memory($adapter) => $call,
        }
    };
}

impl Adapter for AnyAdapter {
    fn applied(&self) -> Applied {
        of_each!(self, adapter => adapter.applied())
    }

    async fn apply(&self, run: Run) -> Result<Vec<Vec<Reply>>, StorageError> {
        of_each!(self, adapter => adapter.apply(run).await)
    }

    async fn read(&self, args: Vec<Bytes>, now_ms: u64) -> ReadOutcome {
        of_each!(self, adapter => adapter.read(args, now_ms).await)
    }

    fn reads_wait(&self) -> bool {
        of_each!(self, adapter => adapter.reads_wait())
    }

    async fn due_keys(&self, now_ms: u64, limit: usize) -> Result<Vec<Bytes>, StorageError> {
        of_each!(self, adapter => adapter.due_keys(now_ms, limit).await)
    }

    async fn flush(&self) -> Result<Position, StorageError> {
        of_each!(self, adapter => adapter.flush().await)
    }

    fn freeze(&self) -> Result<impl Frozen + 'static, StorageError> {
        match self {
            Self::Embedded(adapter) => adapter.take_snapshot(None).map(AnyFrozen::Store),
            Self::Kiwi(adapter) => adapter.frozen().map(AnyFrozen::Store),
            Self::Memory(adapter) => Ok(AnyFrozen::Memory(adapter.frozen())),
        }
    }

    async fn install(&self, stream: impl Read + Send + 'static) -> Result<Applied, StorageError> {
        of_each!(self, adapter => adapter.install(stream).await)
    }

    async fn digest(&self) -> Result<(Position, Digest), StorageError> {
        of_each!(self, adapter => adapter.digest().await)
    }

    async fn close(&self) {
        of_each!(self, adapter => adapter.close().await)
    }

    fn import_source(&self) -> Option<impl ImportSource + 'static> {
        match self {
            Self::Kiwi(adapter) => adapter.import_source(),
            Self::Embedded(_) | Self::Memory(_) => None,
        }
    }

    fn health(&self) -> Health {
        of_each!(self, adapter => adapter.health())
    }

    fn facts(&self) -> Vec<Fact> {
        of_each!(self, adapter => adapter.facts())
    }

    async fn lost(&self) -> String {
        of_each!(self, adapter => adapter.lost().await)
    }

    fn set_rebuilding(&self, rebuilding: bool) {
        of_each!(self, adapter => adapter.set_rebuilding(rebuilding))
    }
}

/// The content of a storage of any kind.
enum AnyFrozen {
    Store(StoreSnapshot),
    Memory(FrozenMemory),
}

impl Frozen for AnyFrozen {
    fn applied(&self) -> &Applied {
        match self {
            Self::Store(frozen) => frozen.applied(),
            Self::Memory(frozen) => frozen.applied(),
        }
    }

    fn write(self, cluster_id: Bytes, out: &mut (dyn Write + Send)) -> Result<Digest, StorageError> {
        match self {
            Self::Store(frozen) => frozen.write(cluster_id, out),
            Self::Memory(frozen) => frozen.write(cluster_id, out),
        }
    }
}
