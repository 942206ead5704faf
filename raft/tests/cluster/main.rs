//! Clusters of members in one process, over real loopback sockets, on the storage in memory.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(missing_docs, unreachable_pub, reason = "nobody uses a test as a library")]

mod bench;
mod failover;
mod forward;
mod reads;
mod snapshot;
mod strangers;

use bench::Cluster;
