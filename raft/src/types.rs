//! The types openraft is instantiated with.

use std::fmt;
use std::path::PathBuf;

use adapter::{Batch, Reply};
use serde::{Deserialize, Serialize};

/// A node's id.
pub type NodeId = u64;

openraft::declare_raft_types!(
    /// One log entry is one batch of commands, answered by one list of replies.
    pub TypeConfig:
        D = Batch,
        R = Replies,
        NodeId = NodeId,
        Node = Peer,
        SnapshotData = SnapshotFile,
);

/// A log id.
pub type LogId = openraft::LogId<NodeId>;
/// A vote.
pub type Vote = openraft::Vote<NodeId>;
/// A log entry.
pub type Entry = openraft::Entry<TypeConfig>;
/// The membership with the log id that brought it.
pub type StoredMembership = openraft::StoredMembership<NodeId, Peer>;
/// openraft's handle.
pub type Raft = openraft::Raft<TypeConfig>;
/// An error of the log store or the state machine. Fatal to the node.
pub type StorageError = openraft::StorageError<NodeId>;

/// What the membership says of a node: where it is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// `host:port` of its Raft listener.
    pub raft: String,
    /// `host:port` for Redis clients; empty until the node has told it.
    pub resp: String,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (clients: {})", self.raft, self.resp)
    }
}

/// The replies to one entry; empty for entries without commands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Replies(pub Vec<Reply>);

/// A snapshot stream in a file. A received one is removed when this is dropped unless it was installed.
#[derive(Debug)]
pub struct SnapshotFile {
    /// Where it is.
    pub path: PathBuf,
    /// Whether the file goes when this goes.
    pub temporary: bool,
}

impl Drop for SnapshotFile {
    fn drop(&mut self) {
        if self.temporary {
            // A leftover is removed at the next start.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
