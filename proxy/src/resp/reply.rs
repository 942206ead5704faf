//! Replies as bytes, in the protocol version that the client speaks.
//!
//! Scalars go through redis-protocol's encoders. Headers of aggregates, doubles and `+OK` are written directly:
//! its maps and sets are hash tables, which would lose the order that Redis's clients see, its doubles are not
//! written as Redis writes them, and `+OK` is the answer to most writes.

use std::borrow::Cow;

use adapter::Reply;
use adapter::command::number::format_f64;
use bytes::{BufMut, Bytes};
use redis_protocol::resp2::encode::extend_encode_borrowed as encode2;
use redis_protocol::resp2::types::BorrowedFrame as Frame2;
use redis_protocol::resp3::encode::complete::extend_encode_borrowed as encode3;
use redis_protocol::resp3::types::{BorrowedFrame as Frame3, VerbatimStringFormat};

use crate::resp::output::{LARGE, Output};

/// A version of the protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// What every connection begins with.
    #[default]
    Resp2,
    /// After `HELLO 3`.
    Resp3,
}

impl Protocol {
    /// The number that HELLO and CLIENT LIST show.
    pub const fn number(self) -> u8 {
        match self {
            Self::Resp2 => 2,
            Self::Resp3 => 3,
        }
    }
}

/// Adds a reply to what the client is sent.
pub fn encode(reply: &Reply, protocol: Protocol, out: &mut Output) {
    let resp3 = protocol == Protocol::Resp3;
    match reply {
        Reply::Status(Cow::Borrowed("OK")) => out.open().put_slice(b"+OK\r\n"),
        Reply::Status(text) => frame2(out, &Frame2::SimpleString(one_line(text).as_bytes())),
        Reply::Error(text) => frame2(out, &Frame2::Error(&one_line(text))),
        Reply::Integer(value) => frame2(out, &Frame2::Integer(*value)),
        Reply::Double(value) if resp3 => {
            let open = out.open();
            open.put_u8(b',');
            open.put_slice(format_f64(*value).as_bytes());
            open.put_slice(b"\r\n");
        }
        Reply::Double(value) => frame2(out, &Frame2::BulkString(format_f64(*value).as_bytes())),
        Reply::Boolean(value) if resp3 => frame3(out, &Frame3::Boolean { data: *value, attributes: None }),
        Reply::Boolean(value) => frame2(out, &Frame2::Integer(i64::from(*value))),
        Reply::Verbatim(text) if resp3 => frame3(
            out,
            &Frame3::VerbatimString { data: text, format: VerbatimStringFormat::Text, attributes: None },
        ),
        Reply::Bulk(bytes) | Reply::Verbatim(bytes) => bulk(bytes, out),
        Reply::Null | Reply::NullArray if resp3 => frame3(out, &Frame3::Null),
        Reply::Null => frame2(out, &Frame2::Null),
        Reply::NullArray => out.open().put_slice(b"*-1\r\n"),
        Reply::Array(items) => list(b'*', items, protocol, out),
        Reply::Set(items) => list(if resp3 { b'~' } else { b'*' }, items, protocol, out),
        Reply::Push(items) => list(if resp3 { b'>' } else { b'*' }, items, protocol, out),
        Reply::Map(entries) | Reply::Pairs(entries) => {
            pairs(entries, matches!(reply, Reply::Map(_)), protocol, out);
        }
    }
}

fn bulk(bytes: &Bytes, out: &mut Output) {
    if bytes.len() < LARGE {
        return frame2(out, &Frame2::BulkString(bytes));
    }
    header(b'$', bytes.len(), out);
    out.push(bytes.clone());
    out.open().put_slice(b"\r\n");
}

fn list(kind: u8, items: &[Reply], protocol: Protocol, out: &mut Output) {
    header(kind, items.len(), out);
    for item in items {
        encode(item, protocol, out);
    }
}

fn pairs(entries: &[(Reply, Reply)], map: bool, protocol: Protocol, out: &mut Output) {
    match (protocol, map) {
        (Protocol::Resp2, _) => header(b'*', entries.len() * 2, out),
        (Protocol::Resp3, true) => header(b'%', entries.len(), out),
        (Protocol::Resp3, false) => header(b'*', entries.len(), out),
    }
    for (key, value) in entries {
        if protocol == Protocol::Resp3 && !map {
            header(b'*', 2, out);
        }
        encode(key, protocol, out);
        encode(value, protocol, out);
    }
}

fn header(kind: u8, count: usize, out: &mut Output) {
    let open = out.open();
    open.put_u8(kind);
    open.put_slice(itoa::Buffer::new().format(count).as_bytes());
    open.put_slice(b"\r\n");
}

fn frame2(out: &mut Output, frame: &Frame2<'_>) {
    if let Err(error) = encode2(out.open(), frame, false) {
        tracing::error!(%error, "a reply could not be encoded");
    }
}

fn frame3(out: &mut Output, frame: &Frame3<'_>) {
    if let Err(error) = encode3(out.open(), frame, false) {
        tracing::error!(%error, "a reply could not be encoded");
    }
}

/// A line break inside a simple string or an error would end it: it becomes a space, as in Redis.
fn one_line(text: &str) -> Cow<'_, str> {
    if memchr::memchr2(b'\r', b'\n', text.as_bytes()).is_none() {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.replace(['\r', '\n'], " "))
}
