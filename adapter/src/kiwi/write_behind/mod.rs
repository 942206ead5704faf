//! The write-behind: flushes changes to Kiwi in batches, after clients have been answered.
//!
//! A flush: take a batch, which first makes everything in it durable here; plan; send; advance the markers;
//! confirm. If anything fails on the way, the dirty log still names the changes, and they are planned again from
//! the store as it is by then.
//!
//! A request whose reply was lost, or was an error, may still take effect later, even more than once. After such a
//! request nothing is sent until that is ruled out: until nobody listens on Kiwi's port, so its process is gone, or
//! until Kiwi must have given the request up (`storage.settle_time`). Then the whole batch is sent again. So no
//! late effect lands on top of newer data.

mod error;
mod flush;
mod plan;
mod worker;

pub(super) use plan::InlineLimits;
pub(super) use worker::Worker;
