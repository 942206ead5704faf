//! Key-value separation: the store keeps keys, types, lengths and order of everything, and another storage (Kiwi) keeps
//! the values. In the manner of WiscKey (Lu et al., FAST 2016), with a write-behind in between.
//!
//! A value is first stored inline, and its name is added to the dirty log in the same batch. The write-behind worker
//! flushes dirty names in batches; once a batch is on the other storage, its values are evicted: replaced by value
//! pointers, which hold the length and the hash of the value. A read that meets a pointer fetches the value, and uses
//! it only if it matches the pointer.
//!
//! | module | what it says |
//! |---|---|
//! | [`value_ref`] | a stored value: inline bytes, or a value pointer |
//! | [`remote`] | remote values: how they are identified, and where they come from |
//! | [`missing`] | finding remote values, and bringing them back inline |
//! | [`dirty_log`] | which names have changed and are not flushed yet |
//! | [`flush_batch`] | a snapshot of the store, and the oldest dirty names |
//! | [`placement`] | what the other storage has of each key |
//! | [`evict`] | replacing flushed values by pointers |
//! | [`worker_state`] | the durable state of the write-behind worker |

pub(crate) mod dirty_log;
pub(crate) mod evict;
pub(crate) mod flush_batch;
pub(crate) mod missing;
pub(crate) mod placement;
pub(crate) mod remote;
pub(crate) mod value_ref;
pub(crate) mod worker_state;
