//! How the log behaves.

use conf::Durability;

use crate::data_id::DataId;
use crate::types::NodeId;

/// How the log behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// This node, for the vote guard.
    pub node_id: NodeId,
    /// Which log it must be. None: whichever is there, or a new one.
    pub data: Option<DataId>,
    /// A log that lacks what it had is opened all the same. Only for who gives up what it lacks.
    pub accepts_losses: bool,
    /// When an append is done.
    pub durability: Durability,
    /// Bytes of recent entries kept in memory.
    pub cache_bytes: usize,
    /// The most bytes that [`openraft::RaftLogReader::limited_get_log_entries`] answers, unless one entry alone has
    /// more.
    pub max_append_bytes: usize,
    /// Bytes that RocksDB collects before it writes a file. The write-ahead files stay below twice that.
    pub write_buffer_bytes: usize,
}

impl Options {
    /// The options that a configuration asks for.
    pub fn new(node_id: NodeId, raft: &conf::Raft) -> Self {
        Self {
            node_id,
            data: None,
            accepts_losses: false,
            durability: raft.durability,
            cache_bytes: raft.entry_cache_bytes,
            max_append_bytes: raft.max_append_bytes,
            write_buffer_bytes: 64 * 1024 * 1024,
        }
    }
}
