//! One RocksDB instance and what stands in front of it in memory.
//!
//! | module | what it says |
//! |---|---|
//! | [`schema`] | the column families, and the encoding of keys and records |
//! | [`store`] | one RocksDB instance: opening, reading, writing, flushing |
//! | [`commit`] | committing: batches, buffered records, and when both become visible |
//! | [`state`] | the state record: position, clock, counts |
//! | [`commit_lock`] | the lock under which runs become visible |
//! | [`key_range`], [`cursor`] | ranges of keys, and iterating over them |
//! | [`options`] | RocksDB's options |
//! | [`write_buffer`] | committed records that are not yet written to RocksDB |
//! | [`record_cache`] | the writer's cache of records |
//! | [`tombstones`] | what removals leave, kept from making everything after it dearer |

mod commit;
pub(crate) mod commit_lock;
mod cursor;
pub(crate) mod key_range;
mod options;
pub(crate) mod record_cache;
mod removal;
pub(crate) mod schema;
pub(crate) mod state;
pub(crate) mod store;
pub(crate) mod tombstones;
pub(crate) mod write_buffer;
