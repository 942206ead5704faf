//! What a command answers, independent of the protocol version of the client.
//!
//! A reply is made once, with RESP3's types; the connection writes it as RESP2 or RESP3. So a log entry and a
//! forwarded write need not say which protocol the client speaks.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::error::Stop;

/// One reply. The comments say how RESP2 sees the types that it lacks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Reply {
    /// A simple string: `+OK`.
    Status(Cow<'static, str>),
    /// An error, its code first: `ERR syntax error`.
    Error(Cow<'static, str>),
    /// An integer.
    Integer(i64),
    /// A double; in RESP2 a bulk string in Redis's formatting (17 significant digits at most, shortest that
    /// reads back, `inf`, `-inf`).
    Double(f64),
    /// A boolean; in RESP2 the integer 1 or 0.
    Boolean(bool),
    /// A bulk string.
    Bulk(Bytes),
    /// A text for people (`txt` verbatim string); in RESP2 a bulk string.
    Verbatim(Bytes),
    /// Nothing; in RESP2 the null bulk string `$-1`.
    Null,
    /// Nothing where a list was expected; in RESP2 the null array `*-1`.
    NullArray,
    /// An array.
    Array(Vec<Reply>),
    /// A map; in RESP2 a flat array of keys and values.
    Map(Vec<(Reply, Reply)>),
    /// An array of two-element arrays; in RESP2 a flat array (`ZRANGE … WITHSCORES`).
    Pairs(Vec<(Reply, Reply)>),
    /// A set; in RESP2 an array.
    Set(Vec<Reply>),
    /// Out-of-band data; in RESP2 an array.
    Push(Vec<Reply>),
}

impl Reply {
    /// `+OK`.
    pub const OK: Self = Self::Status(Cow::Borrowed("OK"));

    /// A simple string.
    pub const fn status(text: &'static str) -> Self {
        Self::Status(Cow::Borrowed(text))
    }

    /// An error with a fixed text, code first.
    pub const fn error(text: &'static str) -> Self {
        Self::Error(Cow::Borrowed(text))
    }

    /// A bulk string from a copy of `bytes`.
    pub fn bulk(bytes: &[u8]) -> Self {
        Self::Bulk(Bytes::copy_from_slice(bytes))
    }

    /// The bulk string, or null.
    pub fn bulk_or_null(value: Option<Bytes>) -> Self {
        value.map_or(Self::Null, Self::Bulk)
    }

    /// An array of bulk strings.
    pub fn bulks(values: impl IntoIterator<Item = Bytes>) -> Self {
        Self::Array(values.into_iter().map(Self::Bulk).collect())
    }

    /// A count. Counts past `i64::MAX` do not occur: every collection is bounded by memory and disk.
    pub fn count(n: u64) -> Self {
        Self::Integer(i64::try_from(n).unwrap_or(i64::MAX))
    }

    /// Whether this is an error.
    pub fn is_error(&self) -> bool {
        matches!(self, Self::Error(_))
    }

    /// About how many bytes it takes, on the wire and in memory; never less than on the wire.
    pub fn size(&self) -> usize {
        match self {
            Self::Bulk(bytes) | Self::Verbatim(bytes) => bytes.len() + 16,
            Self::Status(text) | Self::Error(text) => text.len() + 3,
            Self::Array(items) | Self::Set(items) | Self::Push(items) => {
                items.iter().map(Self::size).fold(16, usize::saturating_add)
            }
            Self::Map(entries) | Self::Pairs(entries) => {
                let size = |(key, value): &(Self, Self)| 4 + key.size() + value.size();
                entries.iter().map(size).fold(16, usize::saturating_add)
            }
            _ => 32,
        }
    }

    /// The reply for a command that stopped, or the storage error that no client can be told as a reply of the
    /// command. `Pending` has no reply: the caller must have run the command again.
    pub fn from_stop(stop: Stop) -> Self {
        match stop {
            Stop::Error(text) => Self::Error(text),
            Stop::Pending => Self::error("ERR storage did not supply what the command needs"),
            Stop::Storage(error) => Self::Error(Cow::Owned(format!("ERR {error}"))),
        }
    }
}
