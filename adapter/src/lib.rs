//! What a command is, and the storages it can run on.
//!
//! | module | what it says |
//! |---|---|
//! | [`command`] | the one command table, and what every command does, written once over a [`keyspace`] |
//! | [`keyspace`] | the typed primitives a storage supplies ([`Keyspace`], [`KeyspaceMut`]), and the in-memory one |
//! | [`embedded`] | a keyspace and an [`Adapter`] on RocksDB |
//! | [`kiwi`] | an [`Adapter`] on an unchanged Kiwi, with an index beside it |
//! | [`mod@storage`] | the [`Adapter`] that a configuration asks for |
//! | [`durable_file`] | small files that are either the old or the new one after a crash |
//! | [`rocksdb_failure`] | what an error of RocksDB means to an operator |
//! | [`snapshot`] | the engine-neutral snapshot stream and the content digest |
//! | [`batch`] | how commands travel: the body of a log entry |
//! | [`failpoint`] | where tests have a process stop |
//! | [`import_source`] | data that a storage has which belongs to no cluster yet |
//! | [`position`] | how far a storage is |
//! | [`reserved`] | keys that a storage keeps for itself |
//! | [`bytes_hash`] | how maps by strings of bytes hash |
//! | [`clock`] | Unix time |
//! | [`reply`] | what a command answers, independent of the protocol version |
//!
//! Nothing here knows of Raft or of client sockets. Start reading at [`Adapter`], then [`Keyspace`], then
//! [`command::Spec`].

pub mod batch;
pub mod clock;
pub mod command;
pub mod durable_file;
pub mod embedded;
pub mod error;
pub mod failpoint;
pub mod keyspace;
pub mod kiwi;
pub mod memory;
pub mod reply;
pub mod rocksdb_failure;
pub mod snapshot;

mod adapter;
mod bytes_hash;
mod import_source;
mod position;
mod reserved;
mod storage;

pub use adapter::{Adapter, Fact, FactValue, Health, ReadOutcome, Run, Snapshot};
pub use batch::{Batch, CommandBuffer};
pub use command::{Call, Spec};
pub use error::{Stop, StorageError};
pub use import_source::{ImportError, ImportSource};
pub use keyspace::{Keyspace, KeyspaceMut};
pub use position::{Applied, Position};
pub use reply::Reply;
pub use reserved::RESERVED;
pub use storage::open;
