//! The typed keyspace over the store, for reading commands and for runs of writes.
//!
//! | module | what it says |
//! |---|---|
//! | [`reader`] | what reading needs: look-ups and ordered scans |
//! | [`read`] | [`Keyspace`](crate::Keyspace) over any reader |
//! | [`view`] | a consistent view for one reading command |
//! | [`txn`] | a run in progress: its effects, overlaid on the store |
//! | [`keys`], [`strings`], [`collections`], [`lists`] | [`KeyspaceMut`](crate::KeyspaceMut) over a run |

mod collections;
mod keys;
mod lists;
pub(crate) mod read;
pub(crate) mod reader;
mod strings;
pub(crate) mod txn;
pub(crate) mod view;
