//! The Redis protocol as clients speak it: requests in, replies out.
//!
//! Requests come from strangers, so they have a parser of their own that is incremental and checks every limit
//! before it believes a length; replies go through redis-protocol's encoders.

pub mod inline;
pub mod output;
pub mod reply;
pub mod request;

pub use output::Output;
pub use reply::Protocol;
pub use request::{ProtocolError, RequestLimits, RequestParser, Requests};
