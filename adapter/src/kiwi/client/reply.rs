//! Decoding replies.

use bytes::Bytes;
use redis_protocol::resp2::types::BytesFrame;

/// The bytes of a string reply; none for any other reply.
pub(crate) fn bulk(reply: BytesFrame) -> Option<Bytes> {
    match reply {
        BytesFrame::BulkString(bytes) | BytesFrame::SimpleString(bytes) => Some(bytes),
        _ => None,
    }
}
