//! Consensus on committed batches.
//!
//! | module | what it says |
//! |---|---|
//! | [`types`] | the types openraft is instantiated with |
//! | [`codec`] | a log entry as bytes, on disk and between nodes |
//! | [`identity`] | whose data directory this is, and which log belongs to it |
//! | [`data_id`] | which data directory, as the other members know it |
//! | [`logger`] | what happens to a member, as lines of the log |
//! | [`log_store`] | the Raft log on RocksDB: group fsync, cache of recent entries |
//! | [`state_machine`] | committed entries onto an [`adapter::Adapter`]; snapshots |
//! | [`network`] | nodes talking over HTTP |
//! | [`server`] | what a peer may ask of this node |
//! | [`discovery`] | how a member is found |
//! | [`applying`] | whether the storage is busy with a run that takes long |
//! | [`proposer`] | many commands, one entry |
//! | [`consensus`] | what the proposer proposes to: openraft here, or the leader over there |
//! | [`health`] | every link between the members, in one shared view |
//! | [`leadership`] | who leads, as this node last heard, and the way to ask the leader |
//! | [`elections`] | what a node has heard of leaders and candidates, and has promised them |
//! | [`read_index`] | one quorum round for all reads that wait |
//! | [`lease`] | for how long nobody else can have been elected |
//! | [`freshness`] | how old what this node shows may be |
//! | [`log_clock`] | the time that log entries carry, and that decides what has expired |
//! | [`boot_clock`] | the clock that leases and bounds are measured by |
//! | [`remote_clock`] | deadlines for another process, by that process's own clock |
//! | [`membership`] | who belongs to the cluster and who leads it, as operators change it |
//! | [`node`] | a member of a cluster, put together |
//! | [`backup`] | a snapshot as a backup |
//! | [`restore`] | data directories from a backup |
//! | [`recover`] | a cluster of one, from a node of a cluster that has lost its majority for good |
//! | [`standalone`] | the same storage without a cluster |
//! | [`version`] | which forms the members store and send |
//! | [`checkpoint`] | the content between two runs |
//! | [`error`] | why a write has no reply, and why a read could not be ordered |
//! | [`failure`] | the end of a node that cannot go on |
//! | [`listener`] | accepting connections, on every port alike |
//! | [`status`] | how a node is, as it says itself |
//! | [`committed`] | what became of writes that were committed |
//! | [`boxed`] | futures behind a dynamic boundary |
//! | [`handle`] | what the proxy sees of all this |
//!
//! Nothing here knows a Redis command by name, except the internal one that removes expired keys.

mod applying;
pub mod backup;
mod boot_clock;
pub mod boxed;
pub mod checkpoint;
pub mod codec;
mod committed;
mod consensus;
pub mod data_id;
mod discovery;
mod elections;
mod error;
pub mod failure;
mod freshness;
pub mod handle;
pub mod health;
pub mod identity;
mod leadership;
mod lease;
pub mod listener;
mod log_clock;
pub mod log_store;
pub mod logger;
mod membership;
pub mod network;
pub mod node;
mod proposer;
mod read_index;
pub mod recover;
mod remote_clock;
pub mod restore;
mod server;
#[cfg(test)]
mod silent_peers;
pub mod standalone;
pub mod state_machine;
pub mod status;
pub mod types;
pub mod version;
mod watermark;

pub use committed::Committed;
pub use conf::Consistency;
pub use handle::{Handle, ProposeError, ReadError};
pub use node::{Node, StartError};
pub use standalone::Standalone;
pub use types::TypeConfig;
