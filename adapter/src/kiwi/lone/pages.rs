//! Reading a collection of a Kiwi page by page.
//!
//! How large elements are is not known before, and Kiwi cuts short what is too much for the socket's buffer. So pages
//! begin small, grow with what has come, and when one did not come whole, the collection is read from its beginning
//! again in smaller ones: Kiwi's cursors of hashes do not bear being used twice.

use bytes::Bytes;
use redis_protocol::resp2::types::BytesFrame;
use tokio::sync::mpsc;

use super::super::command::Request;
use super::super::fetch::bulk;
use super::LoneError;
use super::reader::{AskError, Reader, changed, scanned, send, unreadable, whole};
use crate::command::adoption::Op;
use crate::keyspace::Kind;

/// Elements that a page is asked for, at first and at most.
const FIRST: u64 = 64;
const MOST: u64 = 10_000;
/// A page is so many times smaller than the one that did not come whole.
const SHRINK: u64 = 8;

/// What a page has brought.
struct Page {
    /// Fields and values, members, members and scores, or elements.
    parts: Vec<Bytes>,
    /// Where the next begins; none behind the last.
    next: Option<u64>,
}

impl Reader {
    /// Sends all elements of a collection.
    pub(super) async fn collection(
        &self,
        kind: Kind,
        key: &Bytes,
        len: u64,
        pieces: &mpsc::Sender<Op>,
    ) -> Result<(), LoneError> {
        let mut most = MOST;
        loop {
            match self.pages(kind, key, len, &mut most, pieces).await {
                Err(AskError::Cut) if most > 1 => most = (most / SHRINK).max(1),
                pages => return pages.map_err(|error| whole(key, error)),
            }
        }
    }

    /// Pages of at most so many elements; where one did not come whole, as many as it was asked for.
    async fn pages(
        &self,
        kind: Kind,
        key: &Bytes,
        len: u64,
        most: &mut u64,
        pieces: &mpsc::Sender<Op>,
    ) -> Result<(), AskError> {
        send(pieces, Op::New(key.clone())).await.map_err(AskError::Other)?;
        let (mut count, mut at, mut found) = (FIRST.min(*most), 0, 0);
        loop {
            let page = self.page(kind, key, at, count).await;
            let Page { parts, next } = page.inspect_err(|_| *most = count)?;
            let bytes: usize = parts.iter().map(|part| part.len() + 8).sum();
            let (elements, piece) = piece(kind, key, parts).map_err(AskError::Other)?;
            self.note(bytes);
            found += elements;
            if let Some(each) = (bytes as u64).checked_div(elements) {
                send(pieces, piece).await.map_err(AskError::Other)?;
                count = (self.page_bytes() as u64 / each.max(1)).clamp(1, count * SHRINK).min(*most);
            }
            match next.filter(|_| !is_indexed(kind) || found < len) {
                // An unknown cursor has Kiwi begin anew.
                Some(next) if next > at && found <= len => at = next,
                Some(_) => return Err(AskError::Other(changed(key))),
                None if found == len => return Ok(()),
                None => return Err(AskError::Other(changed(key))),
            }
        }
    }

    async fn page(&self, kind: Kind, key: &Bytes, at: u64, count: u64) -> Result<Page, AskError> {
        let numbers = [at, at + count - 1, count].map(|number| number.to_string());
        let [from, to, size] = numbers.each_ref().map(|number| number.as_bytes());
        let name = match kind {
            Kind::Hash => "HSCAN",
            Kind::Set => "SSCAN",
            Kind::SortedSet => "ZRANGE",
            Kind::List | Kind::String => "LRANGE",
        };
        let request = match kind {
            _ if !is_indexed(kind) => Request::new(&[name.as_bytes(), key, from, b"COUNT", size]),
            Kind::SortedSet => Request::new(&[name.as_bytes(), key, from, to, b"WITHSCORES"]),
            _ => Request::new(&[name.as_bytes(), key, from, to]),
        };
        let reply = self.ask(key, request).await?;
        let odd = || AskError::Other(unreadable(key, format!("{name} answers as no Kiwi does")));
        if !is_indexed(kind) {
            let (cursor, parts) = scanned(reply).ok_or_else(odd)?;
            let next =
                std::str::from_utf8(&cursor).ok().and_then(|cursor| cursor.parse().ok()).ok_or_else(odd)?;
            return Ok(Page { parts, next: Some(next).filter(|next| *next != 0) });
        }
        let BytesFrame::Array(parts) = reply else { return Err(odd()) };
        let parts: Vec<Bytes> = parts.into_iter().map(bulk).collect::<Option<_>>().ok_or_else(odd)?;
        let elements = parts.len() as u64 / if kind == Kind::SortedSet { 2 } else { 1 };
        Ok(Page { parts, next: Some(at + elements).filter(|_| elements == count) })
    }
}

/// Whether pages are asked for by index. Never for one past the end: Kiwi answers the last element.
const fn is_indexed(kind: Kind) -> bool {
    matches!(kind, Kind::List | Kind::SortedSet)
}

/// How many elements there are in a page, and the page as a piece.
fn piece(kind: Kind, key: &Bytes, parts: Vec<Bytes>) -> Result<(u64, Op), LoneError> {
    let (key, count) = (key.clone(), parts.len() as u64);
    Ok(match kind {
        Kind::Hash if count.is_multiple_of(2) => (count / 2, Op::Fields(key, parts)),
        Kind::Set => (count, Op::Members(key, parts)),
        Kind::SortedSet if count.is_multiple_of(2) => {
            let score =
                |text: &Bytes| std::str::from_utf8(text).ok().and_then(|text| text.parse::<f64>().ok());
            let pairs = parts.chunks(2).map(|pair| Some((pair[0].clone(), score(&pair[1])?)));
            let pairs: Option<Vec<_>> = pairs.collect();
            let pairs = pairs.ok_or_else(|| unreadable(&key, "a score is no number".to_owned()))?;
            (count / 2, Op::Scores(key, pairs))
        }
        Kind::List => (count, Op::Elements(key, parts)),
        _ => return Err(unreadable(&key, "a field has no value".to_owned())),
    })
}
