//! Why two nodes do not come together.

use std::io;

use crate::network::version::Versions;

/// Why there is no connection. Each is about who is at the other end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandshakeError {
    /// It does not speak as nodes do.
    #[error("{0}")]
    NotANode(Protocol),
    /// No version is spoken by both.
    #[error(
        "it speaks {theirs} of the protocol between nodes, and this node speaks {ours}: upgrade the older one in smaller steps"
    )]
    NoCommonVersion {
        /// What the other one speaks.
        theirs: Versions,
        /// What this node speaks.
        ours: Versions,
    },
    /// It does not know the secret.
    #[error("cluster.secret is another one there")]
    Secret,
    /// It has closed the connection where a frame should come.
    #[error("it closes the connection without an answer")]
    Closed {
        /// Whether anything has come of it.
        silent: bool,
    },
    /// A frame has not the form that it must have.
    #[error("its answer is malformed")]
    Malformed,
    /// The connection failed.
    #[error(transparent)]
    Connection(io::Error),
}

impl From<io::Error> for HandshakeError {
    fn from(error: io::Error) -> Self {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
        match error.kind() {
            // It has closed before this side had said all; a reset may have thrown away what it said.
            BrokenPipe | ConnectionAborted | ConnectionReset => Self::Closed { silent: true },
            _ => Self::Connection(error),
        }
    }
}

/// What somebody seems to speak who is not a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Protocol {
    #[error("what answers there speaks HTTP and is no node's listen.raft")]
    Http,
    #[error("what answers there speaks the Redis protocol: that is no node's listen.raft")]
    Redis,
    #[error("what answers there does not speak as nodes do: that is no node's listen.raft")]
    Other,
}
