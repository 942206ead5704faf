//! The configured storage.

use std::sync::Arc;

use conf::{ClusterConfig, StorageKind};

use crate::adapter::Adapter;
use crate::embedded::{EmbeddedAdapter, OpenError};
use crate::kiwi::KiwiAdapter;
use crate::memory::MemoryAdapter;

/// Opens the configured storage, with its files in the data directory. Without a cluster there is no Raft log to
/// replay, so it keeps a log of its own. Must be called on a runtime.
pub fn open(config: &ClusterConfig) -> Result<Arc<dyn Adapter>, OpenError> {
    let (dir, storage, wal) = (&config.node.data_dir, &config.storage, !config.cluster.enabled);
    Ok(match storage.kind {
        StorageKind::Embedded => Arc::new(EmbeddedAdapter::open(&dir.join("data"), storage, wal)?),
        StorageKind::Kiwi => Arc::new(KiwiAdapter::open(&dir.join("index"), storage, wal)?),
        StorageKind::Memory => Arc::new(MemoryAdapter::new()),
    })
}
