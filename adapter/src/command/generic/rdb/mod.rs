//! Redis's RDB format of one value, in which `DUMP` and `RESTORE` exchange keys with real servers.
//!
//! ```text
//! payload := type u8 | value | RDB version u16 | CRC64 u64      (numbers of the footer little-endian)
//! ```
//! [`writer`] emits the plain encodings that every Redis since 7.0 reads; [`value`] reads all that Redis up to
//! 7.2 emits for the five types: plain ([`reader`]), compressed ([`lzf`]) and packed ([`ziplist`], [`listpack`],
//! [`intset`]). A payload comes from a client: every length is checked against what is there before it is
//! believed, and nothing is allocated on its word alone. Source of the format: Redis's `rdb.h`, `rdb.c`.

pub(super) mod crc64;
pub(super) mod intset;
pub(super) mod listpack;
pub(super) mod lzf;
mod packed;
pub(super) mod reader;
pub(super) mod value;
pub(super) mod writer;
pub(super) mod ziplist;

use std::borrow::Cow;

use bytes::Bytes;

use crate::error::{Outcome, Stop};

/// The RDB version that Redis 7.0 writes and all later ones read.
const WRITTEN_VERSION: u16 = 10;
/// The RDB version of Redis 7.2, the newest that is read.
const NEWEST_VERSION: u16 = 11;
/// Bytes of the footer.
const FOOTER: usize = 2 + 8;

const BAD_FOOTER: Stop = Stop::text("ERR DUMP payload version or checksum are wrong");
/// The value is not well-formed.
pub(super) const BAD_FORMAT: Stop = Stop::text("ERR Bad data format");

/// The first byte of a payload, as in Redis's `rdb.h`.
pub(super) mod types {
    pub(in super::super) const STRING: u8 = 0;
    pub(in super::super) const LIST: u8 = 1;
    pub(in super::super) const SET: u8 = 2;
    /// Scores as text.
    pub(in super::super) const ZSET: u8 = 3;
    pub(in super::super) const HASH: u8 = 4;
    /// Scores as binary doubles.
    pub(in super::super) const ZSET_2: u8 = 5;
    pub(in super::super) const LIST_ZIPLIST: u8 = 10;
    pub(in super::super) const SET_INTSET: u8 = 11;
    pub(in super::super) const ZSET_ZIPLIST: u8 = 12;
    pub(in super::super) const HASH_ZIPLIST: u8 = 13;
    /// Nodes that are ziplists.
    pub(in super::super) const LIST_QUICKLIST: u8 = 14;
    pub(in super::super) const HASH_LISTPACK: u8 = 16;
    pub(in super::super) const ZSET_LISTPACK: u8 = 17;
    /// Nodes that are listpacks or single elements.
    pub(in super::super) const LIST_QUICKLIST_2: u8 = 18;
    /// Since Redis 7.2.
    pub(in super::super) const SET_LISTPACK: u8 = 20;
}

/// An entry of a packed encoding: text that is there, or the digits of a number.
type Element<'a> = Cow<'a, [u8]>;

fn integer(value: i64) -> Element<'static> {
    Cow::Owned(itoa::Buffer::new().format(value).as_bytes().to_vec())
}

/// Adds the footer.
pub(super) fn seal(mut body: Vec<u8>) -> Bytes {
    body.extend_from_slice(&WRITTEN_VERSION.to_le_bytes());
    let crc = crc64::checksum(&body);
    body.extend_from_slice(&crc.to_le_bytes());
    Bytes::from(body)
}

/// Checks the footer; the type and the value without it.
pub(super) fn open(payload: &[u8]) -> Outcome<&[u8]> {
    let (checked, crc) = payload.split_last_chunk::<8>().ok_or(BAD_FOOTER)?;
    let (body, version) = checked.split_last_chunk::<2>().ok_or(BAD_FOOTER)?;
    let known = u16::from_le_bytes(*version) <= NEWEST_VERSION;
    if payload.len() < FOOTER || !known || crc64::checksum(checked) != u64::from_le_bytes(*crc) {
        return Err(BAD_FOOTER);
    }
    Ok(body)
}
