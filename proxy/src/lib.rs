//! Everything a client touches: connections, the commands that the proxy answers itself, and the way of all others
//! to the storage.
//!
//! | module | what it says |
//! |---|---|
//! | [`server`] | listens, accepts, drains |
//! | [`connection`] | one client: its pipelines become groups of writes and reads |
//! | [`session`] | what has been agreed on with it |
//! | [`lookup`] | which command it calls |
//! | [`client_socket`] | how its socket is set up |
//! | [`resp`] | the Redis protocol: requests in, replies out |
//! | [`resp_error`] | what clients are told when consensus has no answer |
//! | [`front`] | the commands that are answered here: HELLO, CLIENT, COMMAND, CONFIG, INFO … |
//! | [`adoption`] | making the data that a storage already has the cluster's |
//! | [`clients`] | the connections there are, what they hold, and the bound over all of them |
//! | [`descriptors`] | what a node does with the file descriptors that it may have |
//! | [`http`] | HTTP for operators, probes and Prometheus |
//! | [`metrics`] | what is measured |
//! | [`cli`] | the command line: serve, check, status, demo |
//! | [`sources`] | where the configuration comes from |
//! | [`reload`] | changing it while the node runs |
//! | [`protection`] | protected mode: who is served while no password is set |
//! | [`stats`] | what is counted |
//! | [`telemetry`] | the log |
//!
//! Nothing here knows how a write is committed: that is behind [`raft::Handle`]. Start reading at [`server::Server`],
//! then [`connection::Connection`].

pub mod adoption;
pub mod cli;
mod client_socket;
pub mod clients;
pub mod connection;
pub mod descriptors;
pub mod front;
pub mod http;
mod lookup;
pub mod metrics;
mod password;
mod protection;
pub mod reload;
pub mod resp;
mod resp_error;
pub mod server;
pub mod session;
pub mod shared;
pub mod sources;
pub mod stats;
pub mod telemetry;
mod transaction;

pub use server::Server;
