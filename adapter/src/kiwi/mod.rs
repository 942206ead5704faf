//! An [`Adapter`](crate::Adapter) on an unchanged Kiwi.
//!
//! Kiwi answers in some 11 ms, has no transactions, and answers some questions wrongly (see `docs/kiwi.md`). So it is
//! used for what it is good at, storing values. A RocksDB of our own beside it, the *index*, decides everything else:
//! the names, types, lengths, deadlines and order of all data, and the log position. Values are applied to the index
//! first, flushed to Kiwi behind that, and then replaced in the index by *value pointers*. A pointer holds the length
//! and the hash of its value, so nothing else is ever taken for it. See [`offload`](crate::embedded::offload) for the
//! index's half of this.
//!
//! | module | what it says |
//! |---|---|
//! | [`adapter`] | the adapter: applying and reading over the index, fetching missing values |
//! | [`read_context`], [`value_cache`] | the remote values available to a command, and the cache behind them |
//! | [`fetcher`] | fetching values, many readers together |
//! | [`write_behind`] | the write-behind worker: flushing changes to Kiwi in batches |
//! | [`snapshot_gate`], [`snapshot_values`] | snapshots: keeping keys unchanged until scanned, and their values |
//! | [`compatibility`] | what this Kiwi can do, checked on every connect |
//! | [`ownership`] | ownership and fencing markers: whose data Kiwi holds, and how much of it |
//! | [`import`] | importing the data of a Kiwi that no node owns yet |
//! | [`client`] | the connection pool, requests, size limits |
//! | [`connection_state`] | the state of the connection |

mod adapter;
mod client;
mod compatibility;
mod connection_state;
mod fetcher;
mod import;
mod ownership;
mod read_context;
mod snapshot_gate;
mod snapshot_values;
mod value_cache;
mod write_behind;

pub use adapter::KiwiAdapter;
