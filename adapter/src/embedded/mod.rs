//! A keyspace and an [`Adapter`](crate::Adapter) on RocksDB.
//!
//! | module | what it says |
//! |---|---|
//! | [`encoding`] | the column families and the form of their keys and records |
//! | [`store`] | one RocksDB instance: opening, reading, writing, flushing |
//! | [`options`] | how RocksDB is tuned |
//! | [`home`] | the directory: generations, the pointer to the current one, the lock, leftovers |
//! | [`source`] | what reading needs: a look-up and an ordered scan |
//! | [`overlay`] | a run's effects that are not written yet, laid over the store |
//! | [`records`] | the writer's memory of records |
//! | [`held`] | committed records that are not yet written to RocksDB |
//! | [`journal`] | which changes the storage behind, if there is one, may not have |
//! | [`away`] | finding values that the storage behind has, and putting them back |
//! | [`behind`] | what the storage behind has, and moving values there |
//! | [`view`] | a consistent view for one reading command |
//! | [`typed`] | [`Keyspace`](crate::Keyspace) over any source |
//! | [`keys`], [`strings`], [`collections`], [`lists`] | [`KeyspaceMut`](crate::KeyspaceMut) over an overlay |
//! | [`frozen`] | the content at one position, written as a snapshot while writes go on |
//! | [`engine`] | the adapter |
//!
//! # Why it is safe without a write-ahead log
//! The Raft log is the write-ahead log. Every run, or several together, is one RocksDB write batch that holds all
//! its effects and the state record with the log position, and all column families are flushed together
//! (`atomic_flush`). So the files hold all runs up to some position and nothing of later ones, and say which
//! position that is. In
//! stand-alone mode there is no Raft log: then RocksDB's own is on, and synced once per run.
//!
//! # Why deletion of a big key is cheap
//! Content is stored under a version that is never used twice. To drop a big key is to forget its record and to
//! lay one range tombstone over its version.

mod away;
pub(crate) mod behind;
mod collections;
pub(crate) mod encoding;
pub(crate) mod engine;
mod frozen;
mod held;
mod home;
pub(crate) mod journal;
mod keys;
mod lists;
mod options;
mod overlay;
mod records;
pub(crate) mod source;
pub(crate) mod store;
mod strings;
mod typed;
mod view;

#[cfg(test)]
mod tests;

pub use engine::EmbeddedAdapter;
pub(crate) use frozen::{FrozenStore, storage_error};
pub use home::OpenError;
