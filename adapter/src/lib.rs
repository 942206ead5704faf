//! What a command is, and the storages it can run on.
//!
//! | module | what it says |
//! |---|---|
//! | [`command`] | the one command table, and what every command does, written once over a [`keyspace`] |
//! | [`keyspace`] | the typed primitives a storage supplies ([`Keyspace`], [`KeyspaceMut`]), and the in-memory one |
//! | [`embedded`] | a keyspace and an [`Adapter`] on RocksDB |
//! | [`kiwi`] | an [`Adapter`] on an unchanged Kiwi, with an index beside it |
//! | [`any`] | the [`Adapter`] that a configuration asks for |
//! | [`snapshot`] | the engine-neutral snapshot stream and the content digest |
//! | [`batch`] | how commands travel: the body of a log entry |
//! | [`step`] | where tests have a process stop |
//! | [`bytes_hash`] | how maps by strings of bytes hash |
//! | [`clock`] | Unix time |
//! | [`reply`] | what a command answers, independent of the protocol version |
//!
//! Nothing here knows of Raft or of client sockets. Start reading at [`Adapter`], then [`Keyspace`], then
//! [`command::Spec`].

pub mod any;
pub mod batch;
pub mod clock;
pub mod command;
pub mod embedded;
pub mod error;
pub mod keyspace;
pub mod kiwi;
pub mod memory;
pub mod reply;
pub mod snapshot;
pub mod step;

mod adapter;
mod bytes_hash;

/// What all keys begin with that a storage keeps for itself. Clients cannot write them.
pub const RESERVED: &[u8] = b"__raft_proxy__:";

pub use adapter::{Adapter, Applied, Fact, FactValue, Frozen, Health, Position, ReadOutcome, Run};
pub use any::AnyAdapter;
pub use batch::{Batch, CommandBuffer};
pub use command::{Call, Spec};
pub use error::{Stop, StorageError};
pub use keyspace::{Keyspace, KeyspaceMut};
pub use reply::Reply;
