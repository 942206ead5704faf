//! Why a connection ended.

use std::io;

use crate::resp::ProtocolError;

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum Closed {
    #[error("the client has closed it")]
    ByClient,
    #[error("it was asked to close")]
    Asked,
    #[error("it sent an HTTP request")]
    Http,
    #[error("it was idle for too long")]
    Idle,
    #[error("it had sent no command, and another one needed its place")]
    MadeRoom,
    #[error("it has not proved in time who it is")]
    Unproven,
    #[error("there are too many, and it is not for administration")]
    TooMany,
    #[error("protocol error: {0}")]
    Protocol(#[from] ProtocolError),
    #[error("a reply of about {0} bytes is larger than reply_buffer_bytes")]
    LargeReply(usize),
    #[error("{0}")]
    Io(#[from] io::Error),
}
