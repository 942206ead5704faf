//! Scanning a Kiwi's keys and reading one key, with requests small enough for complete replies.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use redis_protocol::resp2::types::BytesFrame;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use xxhash_rust::xxh3::xxh3_128;

use super::{KINDS, Progress};
use crate::RESERVED;
use crate::clock::unix_ms;
use crate::command::adoption::Op;
use crate::import_source::ImportError;
use crate::keyspace::Kind;
use crate::kiwi::client::{Client, Request, RequestError, bulk};

/// A reply that is not complete by then never will be.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Keys per SCAN call, at first.
const SCAN_KEYS: usize = 1000;
/// Kiwi reads a whole string to answer any range of it, so ranges of long strings are larger.
const LONG_STRING: u64 = 16 << 20;
const LONG_PIECES: u64 = 3;

/// A key as the scan found it.
pub(super) struct ScannedKey {
    pub(super) key: Bytes,
    pub(super) kind: Kind,
    /// Bytes of a string, elements of a collection.
    pub(super) len: u64,
    pub(super) has_deadline: bool,
}

impl ScannedKey {
    /// A hash of everything known about the key.
    pub(super) fn hash(&self) -> u128 {
        xxh3_128(&[&[self.kind.code()], &self.len.to_be_bytes()[..], &self.key].concat())
    }
}

/// Why a read failed.
pub(super) enum ReadError {
    /// The reply was not complete.
    Truncated,
    /// Anything else.
    Other(ImportError),
}

/// Asks a Kiwi. Cheap to clone.
#[derive(Clone)]
pub(super) struct Scanner {
    client: Arc<Client>,
    progress: Arc<Progress>,
    answer_timeout: Duration,
}

impl Scanner {
    pub(super) fn new(client: Arc<Client>, progress: Arc<Progress>) -> Self {
        let answer_timeout = ANSWER_TIMEOUT.min(client.timeout() * 3 / 4);
        Self { client, progress, answer_timeout }
    }

    /// Bytes of values to ask for in one reply.
    pub(super) fn page_bytes(&self) -> usize {
        self.client.safe_reply()
    }

    /// Sends a request. Kiwi drops what does not fit into the socket buffer, so a truncated reply shows as a
    /// timeout.
    pub(super) async fn ask(&self, key: &[u8], request: Request) -> Result<BytesFrame, ReadError> {
        match timeout(self.answer_timeout, self.client.call(request)).await {
            Err(_) => Err(ReadError::Truncated),
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(RequestError::Refused { error, .. }))
                if error.contains("WRONGTYPE") || error.contains("Key not found") =>
            {
                Err(ReadError::Other(changed(key)))
            }
            Ok(Err(failure)) => Err(ReadError::Other(failure.into())),
        }
    }

    /// Sends a command with an integer reply.
    async fn number(&self, command: &str, key: &[u8]) -> Result<i64, ImportError> {
        let reply = self.ask(key, Request::new(&[command.as_bytes(), key])).await;
        match reply.map_err(|error| import_error(key, error))? {
            BytesFrame::Integer(number) => Ok(number),
            _ => Err(unreadable(key, format!("{command} answers no number"))),
        }
    }

    /// The next cursor and the next keys.
    pub(super) async fn scan(
        &self,
        cursor: &[u8],
        kind: Option<Kind>,
    ) -> Result<(Vec<u8>, Vec<Bytes>), ImportError> {
        let mut count = SCAN_KEYS;
        loop {
            let mut request = Request::new(&[b"SCAN", cursor, b"COUNT", count.to_string().as_bytes()]);
            if let Some(kind) = kind {
                request.push(b"TYPE");
                request.push(kind.name().as_bytes());
            }
            match self.ask(b"", request).await {
                Ok(reply) => {
                    return scanned(reply).ok_or_else(|| {
                        ImportError::Unreachable("it does not answer SCAN as Kiwi does".to_owned())
                    });
                }
                Err(ReadError::Truncated) if count > 1 => count /= 8.min(count),
                Err(error) => return Err(import_error(b"", error)),
            }
        }
    }

    /// Looks at a key, and sends its content if `pieces` is given. None if the key has expired.
    pub(super) async fn key(
        &self,
        kind: Kind,
        key: Bytes,
        pieces: Option<mpsc::Sender<Op>>,
    ) -> Result<Option<ScannedKey>, ImportError> {
        let left = self.number("PTTL", &key).await?;
        if left == -2 {
            return Ok(None);
        }
        let deadline = u64::try_from(left).ok().map(|left| unix_ms().saturating_add(left));
        match self.content(kind, &key, deadline, pieces.as_ref()).await {
            Ok(len) => Ok(Some(ScannedKey { key, kind, len, has_deadline: deadline.is_some() })),
            Err(_) if deadline.is_some() && self.number("EXISTS", &key).await? == 0 => {
                if let Some(pieces) = &pieces {
                    send(pieces, Op::New(key)).await?;
                }
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Reads the content and returns its length.
    async fn content(
        &self,
        kind: Kind,
        key: &Bytes,
        deadline: Option<u64>,
        pieces: Option<&mpsc::Sender<Op>>,
    ) -> Result<u64, ImportError> {
        let command = match kind {
            Kind::String => "STRLEN",
            Kind::List => "LLEN",
            Kind::Set => "SCARD",
            Kind::SortedSet => "ZCARD",
            Kind::Hash => "HLEN",
        };
        let len = u64::try_from(self.number(command, key).await?).map_err(|_| changed(key))?;
        let Some(pieces) = pieces else { return Ok(len) };
        match kind {
            Kind::String => self.string(key, len, pieces).await?,
            _ => self.collection(kind, key, len, pieces).await?,
        }
        if let Some(deadline) = deadline {
            send(pieces, Op::Deadline(key.clone(), deadline)).await?;
        }
        self.progress.keys.fetch_add(1, Ordering::Relaxed);
        Ok(len)
    }

    async fn string(&self, key: &Bytes, len: u64, pieces: &mpsc::Sender<Op>) -> Result<(), ImportError> {
        let page = self.page_bytes() as u64 * if len > LONG_STRING { LONG_PIECES } else { 1 };
        let mut start = 0;
        loop {
            let end = len.min(start + page);
            let range = [start, end.saturating_sub(1)].map(|number| number.to_string());
            let bytes = if len == 0 {
                Bytes::new()
            } else {
                let request = Request::new(&[b"GETRANGE", key, range[0].as_bytes(), range[1].as_bytes()]);
                let reply = self.ask(key, request).await.map_err(|error| import_error(key, error))?;
                bulk(reply).filter(|bytes| bytes.len() as u64 == end - start).ok_or_else(|| changed(key))?
            };
            self.note(bytes.len());
            send(pieces, Op::Piece(key.clone(), start, bytes)).await?;
            start = end;
            if start >= len {
                return Ok(());
            }
        }
    }

    /// Adds to the progress.
    pub(super) fn note(&self, bytes: usize) {
        self.progress.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// The number of keys of any type.
    pub(super) async fn count(&self) -> Result<u64, ImportError> {
        let (mut count, mut cursor) = (0, b"0".to_vec());
        loop {
            let (next, keys) = self.scan(&cursor, None).await?;
            count += keys.iter().filter(|key| !key.starts_with(RESERVED)).count() as u64;
            if next == b"0" {
                return Ok(count);
            }
            cursor = next;
        }
    }

    /// A key of an unsupported type, and that type.
    pub(super) async fn unsupported_key(&self) -> Result<Option<(String, String)>, ImportError> {
        let mut cursor = b"0".to_vec();
        loop {
            let (next, keys) = self.scan(&cursor, None).await?;
            let mut asking = JoinSet::new();
            for key in keys {
                let scanner = self.clone();
                asking.spawn(async move {
                    let reply = scanner.ask(&key, Request::new(&[b"TYPE", &key])).await;
                    (key, reply)
                });
            }
            while let Some(asked) = asking.join_next().await {
                let (key, reply) = asked.map_err(|_| ImportError::BrokenOff)?;
                let kind = bulk(reply.map_err(|error| import_error(&key, error))?).unwrap_or_default();
                let is_known =
                    &kind[..] == b"none" || KINDS.iter().any(|known| known.name().as_bytes() == &kind[..]);
                if !is_known {
                    return Ok(Some((key.escape_ascii().to_string(), kind.escape_ascii().to_string())));
                }
            }
            if next == b"0" {
                return Ok(None);
            }
            cursor = next;
        }
    }
}

/// Sends a piece once there is room for it.
pub(super) async fn send(pieces: &mpsc::Sender<Op>, piece: Op) -> Result<(), ImportError> {
    pieces.send(piece).await.map_err(|_| ImportError::BrokenOff)
}

/// The error where a request cannot be made any smaller.
pub(super) fn import_error(key: &[u8], error: ReadError) -> ImportError {
    match error {
        ReadError::Other(error) => error,
        ReadError::Truncated if key.is_empty() => ImportError::Unreachable("it does not answer SCAN in time".to_owned()),
        ReadError::Truncated => unreadable(
            key,
            "Kiwi does not answer a request for it whole; a single value that is larger than what Kiwi delivers over this \
             connection must be removed or be made smaller before"
                .to_owned(),
        ),
    }
}

pub(super) fn unreadable(key: &[u8], reason: String) -> ImportError {
    ImportError::Unreadable { key: key.escape_ascii().to_string(), reason }
}

pub(super) fn changed(key: &[u8]) -> ImportError {
    ImportError::Changed(format!("key '{}' has changed while it was read", key.escape_ascii()))
}

/// The cursor and the elements in the reply of a SCAN command.
pub(super) fn scanned(reply: BytesFrame) -> Option<(Vec<u8>, Vec<Bytes>)> {
    let BytesFrame::Array(parts) = reply else { return None };
    let [cursor, BytesFrame::Array(elements)] = <[BytesFrame; 2]>::try_from(parts).ok()? else { return None };
    let elements: Option<Vec<Bytes>> = elements.into_iter().map(bulk).collect();
    Some((bulk(cursor)?.to_vec(), elements?))
}
