//! Reading a collection from Kiwi page by page.
//!
//! Element sizes are unknown beforehand, and Kiwi truncates what exceeds the socket buffer. So pages start small
//! and grow with the sizes seen. When a page is truncated, the collection is read again from the start in smaller
//! pages: Kiwi's hash cursors cannot be used twice.

use bytes::Bytes;
use redis_protocol::resp2::types::BytesFrame;
use tokio::sync::mpsc;

use super::scan::{ReadError, Scanner, changed, import_error, scanned, send, unreadable};
use crate::command::adoption::Op;
use crate::import_source::ImportError;
use crate::keyspace::Kind;
use crate::kiwi::client::{Request, bulk};

/// Elements per page, at first and at most.
const FIRST: u64 = 64;
const MOST: u64 = 10_000;
/// How much smaller pages get after a truncated one.
const SHRINK: u64 = 8;

/// A page.
struct Page {
    /// Fields and values, members, members and scores, or elements.
    parts: Vec<Bytes>,
    /// Where the next page starts; none after the last.
    next: Option<u64>,
}

impl Scanner {
    /// Sends all elements of a collection.
    pub(super) async fn collection(
        &self,
        kind: Kind,
        key: &Bytes,
        len: u64,
        pieces: &mpsc::Sender<Op>,
    ) -> Result<(), ImportError> {
        let mut most = MOST;
        loop {
            match self.pages(kind, key, len, &mut most, pieces).await {
                Err(ReadError::Truncated) if most > 1 => most = (most / SHRINK).max(1),
                pages => return pages.map_err(|error| import_error(key, error)),
            }
        }
    }

    /// Reads pages of at most `most` elements. After a truncated page, `most` is what that page asked for.
    async fn pages(
        &self,
        kind: Kind,
        key: &Bytes,
        len: u64,
        most: &mut u64,
        pieces: &mpsc::Sender<Op>,
    ) -> Result<(), ReadError> {
        send(pieces, Op::New(key.clone())).await.map_err(ReadError::Other)?;
        let (mut count, mut at, mut found) = (FIRST.min(*most), 0, 0);
        loop {
            let page = self.page(kind, key, at, count).await;
            let Page { parts, next } = page.inspect_err(|_| *most = count)?;
            let bytes: usize = parts.iter().map(|part| part.len() + 8).sum();
            let (elements, piece) = piece(kind, key, parts).map_err(ReadError::Other)?;
            self.note(bytes);
            found += elements;
            if let Some(each) = (bytes as u64).checked_div(elements) {
                send(pieces, piece).await.map_err(ReadError::Other)?;
                count = (self.page_bytes() as u64 / each.max(1)).clamp(1, count * SHRINK).min(*most);
            }
            match next.filter(|_| !is_indexed(kind) || found < len) {
                // Kiwi restarts a scan when it does not know the cursor.
                Some(next) if next > at && found <= len => at = next,
                Some(_) => return Err(ReadError::Other(changed(key))),
                None if found == len => return Ok(()),
                None => return Err(ReadError::Other(changed(key))),
            }
        }
    }

    async fn page(&self, kind: Kind, key: &Bytes, at: u64, count: u64) -> Result<Page, ReadError> {
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
        let malformed = || ReadError::Other(unreadable(key, format!("{name} answers as no Kiwi does")));
        if !is_indexed(kind) {
            let (cursor, parts) = scanned(reply).ok_or_else(malformed)?;
            let next = std::str::from_utf8(&cursor)
                .ok()
                .and_then(|cursor| cursor.parse().ok())
                .ok_or_else(malformed)?;
            return Ok(Page { parts, next: Some(next).filter(|next| *next != 0) });
        }
        let BytesFrame::Array(parts) = reply else { return Err(malformed()) };
        let parts: Vec<Bytes> = parts.into_iter().map(bulk).collect::<Option<_>>().ok_or_else(malformed)?;
        let elements = parts.len() as u64 / if kind == Kind::SortedSet { 2 } else { 1 };
        Ok(Page { parts, next: Some(at + elements).filter(|_| elements == count) })
    }
}

/// Whether pages are read by index. Never ask past the end: Kiwi answers the last element.
const fn is_indexed(kind: Kind) -> bool {
    matches!(kind, Kind::List | Kind::SortedSet)
}

/// The number of elements in a page, and the page as an import operation.
fn piece(kind: Kind, key: &Bytes, parts: Vec<Bytes>) -> Result<(u64, Op), ImportError> {
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
