//! Frames of RESP2 and RESP3 as a client sees them.
//!
//! redis-protocol's decoded maps and sets are hash tables and its doubles are numbers: the order of entries, entries
//! that are there twice, and how a number is written would be lost, and all of these are compared here. So this is a
//! reader of its own, for replies that are whole.

use std::fmt;
use std::io::IoSlice;

use adapter::Reply;
use raft_proxy::resp::output::{Output, SLICES};
use raft_proxy::resp::reply::{Protocol, encode};

/// A reply, as it is on the wire.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the names are the protocol's")]
pub enum Frame {
    Status(String),
    Error(String),
    Integer(i64),
    Double(String),
    Boolean(bool),
    Bulk(Vec<u8>),
    Verbatim(Vec<u8>),
    Null,
    NullArray,
    Array(Vec<Frame>),
    Map(Vec<(Frame, Frame)>),
    Set(Vec<Frame>),
    Push(Vec<Frame>),
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(text) => write!(f, "+{text}"),
            Self::Error(text) => write!(f, "-{text}"),
            Self::Integer(value) => write!(f, ":{value}"),
            Self::Double(text) => write!(f, ",{text}"),
            Self::Boolean(value) => write!(f, "#{value}"),
            Self::Bulk(bytes) => write!(f, "\"{}\"", bytes.escape_ascii()),
            Self::Verbatim(bytes) => write!(f, "=\"{}\"", bytes.escape_ascii()),
            Self::Null => f.write_str("null"),
            Self::NullArray => f.write_str("null-array"),
            Self::Array(items) => f.debug_list().entries(items).finish(),
            Self::Map(entries) => {
                f.debug_map().entries(entries.iter().map(|(key, value)| (key, value))).finish()
            }
            Self::Set(items) => write!(f, "~{items:?}"),
            Self::Push(items) => write!(f, ">{items:?}"),
        }
    }
}

impl Frame {
    /// The frames inside of an array or a set, or of a map one after the other.
    pub fn items(&self) -> Vec<&Self> {
        match self {
            Self::Array(items) | Self::Set(items) | Self::Push(items) => items.iter().collect(),
            Self::Map(entries) => entries.iter().flat_map(|(key, value)| [key, value]).collect(),
            _ => Vec::new(),
        }
    }

    /// The bytes of a string.
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bulk(bytes) | Self::Verbatim(bytes) => Some(bytes),
            Self::Status(text) | Self::Error(text) | Self::Double(text) => Some(text.as_bytes()),
            _ => None,
        }
    }

    /// The integer.
    pub fn integer(&self) -> Option<i64> {
        match self {
            Self::Integer(value) => Some(*value),
            _ => None,
        }
    }
}

/// A reply as a client of this protocol version sees it, by way of the bytes on the wire.
pub fn frame_of(reply: &Reply, protocol: Protocol) -> Frame {
    let mut out = Output::default();
    encode(reply, protocol, &mut out);
    let mut bytes = Vec::new();
    while !out.is_empty() {
        let mut slices = [IoSlice::new(&[]); SLICES];
        let count = out.slices(&mut slices);
        let sent: usize = slices[..count].iter().map(|slice| slice.len()).sum();
        slices[..count].iter().for_each(|slice| bytes.extend_from_slice(slice));
        out.advance(sent);
    }
    let (frame, used) = decode(&bytes).expect("a whole reply");
    assert_eq!(used, bytes.len(), "bytes behind the reply");
    frame
}

/// Reads one frame from the front of `bytes`; the frame and its length, or none while it is not whole. Panics on
/// what is no frame.
pub fn decode(bytes: &[u8]) -> Option<(Frame, usize)> {
    let mut at = 0;
    let frame = read(bytes, &mut at)?;
    Some((frame, at))
}

fn read(bytes: &[u8], at: &mut usize) -> Option<Frame> {
    let mark = *bytes.get(*at)?;
    *at += 1;
    let line = line(bytes, at)?;
    let text = || String::from_utf8_lossy(line).into_owned();
    Some(match mark {
        b'+' => Frame::Status(text()),
        b'-' => Frame::Error(text()),
        b':' => Frame::Integer(number(line)),
        b',' => Frame::Double(text()),
        b'#' => Frame::Boolean(line == b"t"),
        b'_' => Frame::Null,
        b'$' if line == b"-1" => Frame::Null,
        b'*' if line == b"-1" => Frame::NullArray,
        b'$' => Frame::Bulk(string(bytes, at, number(line) as usize)?),
        b'=' => Frame::Verbatim(string(bytes, at, number(line) as usize)?),
        b'*' => Frame::Array(list(bytes, at, number(line))?),
        b'~' => Frame::Set(list(bytes, at, number(line))?),
        b'>' => Frame::Push(list(bytes, at, number(line))?),
        b'%' => {
            let mut items = list(bytes, at, 2 * number(line))?.into_iter();
            Frame::Map(std::iter::from_fn(|| items.next().zip(items.next())).collect())
        }
        other => panic!("no frame begins with {:?}", char::from(other)),
    })
}

fn line<'a>(bytes: &'a [u8], at: &mut usize) -> Option<&'a [u8]> {
    let length = bytes[*at..].windows(2).position(|two| two == b"\r\n")?;
    let line = &bytes[*at..*at + length];
    *at += length + 2;
    Some(line)
}

fn string(bytes: &[u8], at: &mut usize, length: usize) -> Option<Vec<u8>> {
    let string = bytes.get(*at..*at + length + 2)?.strip_suffix(b"\r\n").expect("a string's end");
    *at += length + 2;
    Some(string.to_vec())
}

fn list(bytes: &[u8], at: &mut usize, count: i64) -> Option<Vec<Frame>> {
    (0..count).map(|_| read(bytes, at)).collect()
}

fn number(line: &[u8]) -> i64 {
    std::str::from_utf8(line).unwrap().parse().expect("a number")
}
