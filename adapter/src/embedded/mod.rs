//! The embedded storage: a keyspace and an [`Adapter`](crate::Adapter) on RocksDB.
//!
//! | module | what it says |
//! |---|---|
//! | [`adapter`] | the adapter: applying, reading, snapshots |
//! | [`data_dir`] | the data directory: generations, the lock, leftovers |
//! | [`snapshot`] | a snapshot of the content, streamed while writes go on |
//! | [`error`] | why opening fails, and errors of stored data |
//! | [`db`] | one RocksDB instance: schema, store, write buffer, record cache |
//! | [`keyspace`] | the typed keyspace on top: views for reads, transactions for runs |
//! | [`offload`] | key-value separation: values that another storage keeps |
//!
//! # Why it is safe without a write-ahead log
//! The Raft log is the write-ahead log. Every run, or several together, is one RocksDB write batch with all its
//! effects and the state record that holds the log position. All column families are flushed together
//! (`atomic_flush`). So the files contain all runs up to some position and nothing after it, and record that
//! position. Stand-alone mode has no Raft log: there RocksDB's own is on, and synced once per run.
//!
//! # Why deletion of a big key is cheap
//! Content is stored under a version that is never reused. Dropping a big key deletes its record and writes one
//! range tombstone over its version. The entries of a small one are deleted one by one: see [`db::tombstones`].

pub(crate) mod adapter;
mod data_dir;
pub(crate) mod db;
mod error;
pub(crate) mod keyspace;
pub(crate) mod offload;
mod snapshot;
pub(crate) mod staging;

#[cfg(test)]
mod tests;

pub use adapter::EmbeddedAdapter;
pub use error::OpenError;
pub(crate) use error::storage_error;
