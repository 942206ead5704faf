//! The Kiwi client: a connection pool, requests, replies, and the size limits they keep to.

mod error;
mod limits;
mod pool;
mod reply;
mod request;

pub(super) use error::RequestError;
pub(super) use limits::{SAFE_ARGS, SAFE_BYTES};
pub(super) use pool::{Client, Target};
pub(super) use reply::bulk;
pub(super) use request::{Request, RequestPacker};
