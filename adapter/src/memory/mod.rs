//! A keyspace and an [`Adapter`](crate::Adapter) in memory, for simulation, models and tests.
//!
//! It shares nothing with the embedded engine on purpose: where the two agree, neither copied the other's
//! mistake. It favours plainness over speed, and keeps nothing across a restart.

mod adapter;
mod content;
mod keyspace;
mod write;

#[cfg(test)]
mod tests;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test's panic is its failure")]
pub(crate) mod transcript;

pub use adapter::MemoryAdapter;
pub use keyspace::MemoryKeyspace;
