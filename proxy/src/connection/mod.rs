//! One client: its bytes become pipelines, pipelines become replies, in order.
//!
//! Each connection is one task. It reads, runs *every* complete command that has arrived ([`pipeline`]), writes all
//! their replies with one system call, and reads again. While replies wait for a client that does not read them,
//! input is still taken, up to `reply_buffer_bytes` of them; from there on the client is waited for.
//!
//! | module | what it says |
//! |---|---|
//! | [`state`] | what a connection is made of |
//! | [`serve`] | its life, from the first request to the close |
//! | [`pipeline`] | the commands that have arrived, cut into groups |
//! | [`group`] | commands that run together: one log entry, and reads behind it |
//! | [`riding`] | which reads stand in a log entry, between writes |
//! | [`transaction`] | what is queued behind `MULTI`, and how it runs |
//! | [`routing`] | where a command goes that is for the leader |
//! | [`waiting`] | waiting for the client, as long as it may take |
//! | [`exchange`] | one wait: input, room to write, or somebody who wants it closed |
//! | [`holdings`], [`running`] | the memory that the connection holds, and what of it the requests that run take |
//! | [`closed`] | why it ended |
//!
//! What has been agreed on with the client is its [`Session`](crate::session::Session).

mod closed;
mod exchange;
mod group;
mod holdings;
mod pipeline;
mod riding;
mod routing;
mod running;
mod serve;
mod state;
mod transaction;
mod waiting;

pub(crate) use serve::TOO_MANY;
pub use state::Connection;
