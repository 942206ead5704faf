//! An [`Adapter`](crate::Adapter) on an unchanged Kiwi.
//!
//! Kiwi answers in some 11 ms, knows no transactions, and answers some questions wrongly (see `docs/kiwi.md`). So it is
//! used for what it is good at, keeping values, and a RocksDB of our own beside it, the *index*, keeps what decides:
//! the names, types, lengths, deadlines and order of everything, and the log position. Values are applied to the index
//! first, like everything, and carried over to Kiwi behind that; then stubs stand for them in the index. A stub names
//! the length and the hash of its value, so nothing else is ever taken for it.
//!
//! | module | what it says |
//! |---|---|
//! | [`adapter`] | the adapter: runs and reads over the index, again when what they lack was fetched |
//! | [`at_hand`] | the values at hand while a command runs, the cache, and what is lacking |
//! | [`fetch`] | fetching values, many readers' together |
//! | [`carrier`] | carrying changes over, wave by wave |
//! | [`plan`] | from changes to requests |
//! | [`stream`] | all content at one position, while writes go on |
//! | [`probe`] | what Kiwi can do, tried before it is used |
//! | [`marks`] | whose data Kiwi holds, and how much of it |
//! | [`lone`] | the data of a Kiwi that no node has marked, to be adopted |
//! | [`client`] | connections |
//! | [`command`] | requests, and sizes that are safe |
//! | [`link`] | how it stands with Kiwi |

mod adapter;
mod at_hand;
mod carrier;
mod client;
mod command;
mod fetch;
mod link;
mod lone;
mod marks;
mod plan;
mod probe;
mod stream;

pub use adapter::KiwiAdapter;
pub use lone::{LoneData, LoneError};
