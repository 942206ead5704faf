//! Between a keyspace and a stream or a digest.
//!
//! Keys that are due but not yet removed belong to the content, since only the log removes keys. So all of this
//! runs on a keyspace whose clock stands at 0, where nothing is due; another clock is refused rather than let data
//! vanish.

use std::io::Read;
use std::ops::ControlFlow;

use super::{ContentSink, Digest, DigestBuilder, Item, KeyHead, SnapshotReader, Trailer, malformed};
use crate::error::{Outcome, Stop, StorageError};
use crate::keyspace::{Direction, End, Flow, Keyspace, KeyspaceMut, Kind, Meta, Point};

/// The longest piece in which a string is read, bytes.
const PIECE: u64 = 1 << 20;

/// Gives all content of a keyspace to a sink, by one visit of the keys and one of each key's content. The
/// keyspace's clock must stand at 0.
pub fn walk(keyspace: &dyn Keyspace, sink: &mut dyn ContentSink) -> Result<(), StorageError> {
    check_clock(keyspace)?;
    let mut failed = Ok(());
    keyspace
        .visit_keys(Point::default(), &mut |_, key, meta| {
            step(&mut failed, walk_key(keyspace, key, meta, sink))
        })
        .map_err(storage)?;
    failed
}

/// The digest of all content of a keyspace, whose clock must stand at 0.
pub fn digest_keyspace(keyspace: &dyn Keyspace) -> Result<Digest, StorageError> {
    let mut builder = DigestBuilder::default();
    walk(keyspace, &mut builder)?;
    Ok(builder.digest())
}

fn walk_key(
    keyspace: &dyn Keyspace,
    key: &[u8],
    meta: &Meta,
    sink: &mut dyn ContentSink,
) -> Result<(), StorageError> {
    let Meta { kind, deadline, revision, .. } = *meta;
    sink.begin_key(&KeyHead { kind, deadline, revision }, key)?;
    let len = match meta.kind {
        Kind::String => walk_string(keyspace, key, meta.len, sink)?,
        _ => walk_collection(keyspace, key, meta.kind, sink)?,
    };
    if len != meta.len {
        return Err(StorageError::Corrupt(format!(
            "the {} at key '{}' should have {} elements and has {len}",
            meta.kind.name(),
            key.escape_ascii(),
            meta.len
        )));
    }
    sink.end_key()
}

/// Answers the number of bytes.
fn walk_string(
    keyspace: &dyn Keyspace,
    key: &[u8],
    len: u64,
    sink: &mut dyn ContentSink,
) -> Result<u64, StorageError> {
    let mut at = 0;
    while at < len {
        let piece = keyspace.string_range(key, at, PIECE).map_err(storage)?;
        if piece.is_empty() {
            break;
        }
        sink.string_chunk(&piece)?;
        at += piece.len() as u64;
    }
    Ok(at)
}

/// Answers the number of elements.
fn walk_collection(
    keyspace: &dyn Keyspace,
    key: &[u8],
    kind: Kind,
    sink: &mut dyn ContentSink,
) -> Result<u64, StorageError> {
    let (mut count, mut failed) = (0, Ok(()));
    let mut note = |result| {
        count += 1;
        step(&mut failed, result)
    };
    let start = Point::default();
    match kind {
        Kind::Hash => keyspace.hash_visit(key, start, &mut |_, field, value| note(sink.field(field, value))),
        Kind::Set => keyspace.set_visit(key, start, &mut |_, member| note(sink.member(member))),
        Kind::SortedSet => {
            keyspace.zset_visit(key, start, &mut |_, member, score| note(sink.scored(member, score)))
        }
        Kind::List => {
            keyspace.list_visit(key, 0, Direction::Forward, &mut |_, element| note(sink.element(element)))
        }
        Kind::String => Ok(()),
    }
    .map_err(storage)?;
    failed.map(|()| count)
}

/// Ends a visit at the first failure, and keeps it.
fn step(failed: &mut Result<(), StorageError>, result: Result<(), StorageError>) -> Flow {
    match result {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => {
            *failed = Err(error);
            ControlFlow::Break(())
        }
    }
}

/// Puts all content of a stream into an empty keyspace whose clock stands at 0. On an error the keyspace holds a
/// part of it: load to the side, then switch.
pub fn load_into(
    keyspace: &mut dyn KeyspaceMut,
    reader: &mut SnapshotReader<impl Read>,
) -> Result<Trailer, StorageError> {
    check_clock(keyspace)?;
    let mut load = Load { keyspace, key: Vec::new(), kind: Kind::String, deadline: None, written: 0 };
    loop {
        match reader.next_item()? {
            Item::End(trailer) => return Ok(trailer),
            item => load.put(item).map_err(storage)?,
        }
    }
}

/// The key that is being loaded.
struct Load<'a> {
    keyspace: &'a mut dyn KeyspaceMut,
    key: Vec<u8>,
    kind: Kind,
    deadline: Option<u64>,
    written: u64,
}

impl Load<'_> {
    fn put(&mut self, item: Item<'_>) -> Outcome<()> {
        let new = match item {
            Item::Key { head: KeyHead { kind, deadline, revision }, key } => {
                let new = self.keyspace.meta(key)?.is_none();
                self.keyspace.set_revision(revision);
                self.key.clear();
                self.key.extend_from_slice(key);
                (self.kind, self.deadline, self.written) = (kind, deadline, 0);
                new
            }
            Item::Chunk(piece) => self.put_piece(piece)?,
            Item::Element(element) => {
                self.keyspace.list_push(&self.key, End::Tail, element)?;
                true
            }
            Item::Member(member) => self.keyspace.set_put(&self.key, member)?,
            Item::Scored(member, score) => self.keyspace.zset_put(&self.key, member, score)?.is_none(),
            Item::Field(field, value) => self.keyspace.hash_put(&self.key, field, value)?,
            Item::EndKey => self.end()?,
            Item::End(_) => true,
        };
        if new { Ok(()) } else { Err(Stop::Storage(malformed("the same key, field or member twice"))) }
    }

    fn put_piece(&mut self, piece: &[u8]) -> Outcome<bool> {
        if self.written == 0 {
            self.keyspace.string_put(&self.key, piece, self.deadline)?;
        } else {
            self.keyspace.string_write(&self.key, self.written, piece)?;
        }
        self.written += piece.len() as u64;
        Ok(true)
    }

    fn end(&mut self) -> Outcome<bool> {
        if self.kind != Kind::String {
            if self.deadline.is_some() {
                self.keyspace.set_deadline(&self.key, self.deadline)?;
            }
        } else if self.written == 0 {
            self.keyspace.string_put(&self.key, b"", self.deadline)?;
        }
        Ok(true)
    }
}

fn check_clock(keyspace: &(impl Keyspace + ?Sized)) -> Result<(), StorageError> {
    match keyspace.now_ms() {
        0 => Ok(()),
        now_ms => Err(StorageError::Engine {
            what: "transfer content",
            reason: format!("the clock stands at {now_ms} and not at 0, so due keys would be lost"),
        }),
    }
}

fn storage(stop: Stop) -> StorageError {
    match stop {
        Stop::Storage(error) => error,
        Stop::Error(reason) => StorageError::Engine { what: "transfer content", reason: reason.into_owned() },
        Stop::Pending => {
            StorageError::Engine { what: "transfer content", reason: "the content is not at hand".to_owned() }
        }
    }
}
