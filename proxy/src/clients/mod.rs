//! The connections there are, and the memory that they hold.
//!
//! | module | what it says |
//! |---|---|
//! | [`usage`] | what one connection holds |
//! | [`client`] | one connection, as others see it |
//! | [`memory`] | the sum over all connections, and the bound on it |
//! | [`available_memory`] | how much memory the process may have |
//! | [`registry`] | all connections |
//!
//! Each imports only what stands above it.

mod available_memory;
mod client;
mod memory;
mod registry;
mod usage;

pub use client::{Client, Directive, Shown};
pub use memory::ClientMemory;
pub use registry::Clients;
pub use usage::{Holdings, LARGE, Usage};
