//! The content at one position, written as a snapshot stream while writes go on.
//!
//! A RocksDB snapshot borrows its database. Both live on a thread of their own, which waits to be told to write
//! and hands the stream over in blocks; so what is frozen can be passed around freely.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::thread;

use bytes::Bytes;

use super::source::{Elsewhere, Source};
use super::store::Store;
use super::view::View;
use crate::adapter::{Applied, Frozen};
use crate::error::{Outcome, Stop, StorageError};
use crate::keyspace::Kind;
use crate::snapshot::{ContentSink, Digest, Header, SnapshotWriter, walk};

/// Blocks between the two threads.
const BLOCKS: usize = 4;
/// Bytes of a block.
const BLOCK: usize = 256 * 1024;

/// Makes what values come from that are not in the store.
pub(crate) type MakeElsewhere = Box<dyn FnOnce() -> Box<dyn Elsewhere> + Send>;

/// Walks over all content, and says of every key that it begins.
pub(super) fn walk_on(
    view: &View<'_>,
    elsewhere: Option<&dyn Elsewhere>,
    sink: &mut dyn ContentSink,
) -> Result<(), StorageError> {
    match elsewhere {
        None => walk(view, sink),
        Some(elsewhere) => walk(view, &mut Passing { elsewhere, sink }),
    }
}

/// Says which keys pass through.
struct Passing<'s> {
    elsewhere: &'s dyn Elsewhere,
    sink: &'s mut dyn ContentSink,
}

impl ContentSink for Passing<'_> {
    fn begin_key(&mut self, kind: Kind, deadline: Option<u64>, key: &[u8]) -> Result<(), StorageError> {
        self.elsewhere.walk_begins(key);
        self.sink.begin_key(kind, deadline, key)
    }

    fn string_chunk(&mut self, piece: &[u8]) -> Result<(), StorageError> {
        self.sink.string_chunk(piece)
    }

    fn element(&mut self, element: &[u8]) -> Result<(), StorageError> {
        self.sink.element(element)
    }

    fn member(&mut self, member: &[u8]) -> Result<(), StorageError> {
        self.sink.member(member)
    }

    fn scored(&mut self, member: &[u8], score: f64) -> Result<(), StorageError> {
        self.sink.scored(member, score)
    }

    fn field(&mut self, field: &[u8], value: &[u8]) -> Result<(), StorageError> {
        self.sink.field(field, value)
    }

    fn end_key(&mut self) -> Result<(), StorageError> {
        self.sink.end_key()
    }
}

/// What the thread hands over.
enum Message {
    /// The next bytes of the stream.
    Block(Vec<u8>),
    /// The stream ends, whole or with an error.
    End(Result<Digest, StorageError>),
}

/// A frozen store.
pub(crate) struct FrozenStore {
    applied: Applied,
    /// Begins the stream, of this cluster.
    start: Sender<Bytes>,
    messages: Receiver<Message>,
}

impl FrozenStore {
    /// Freezes the present content.
    pub(super) fn new(store: Arc<Store>, elsewhere: Option<MakeElsewhere>) -> Result<Self, StorageError> {
        let (start, started) = mpsc::channel();
        let (sender, messages) = mpsc::sync_channel(BLOCKS);
        let (ready, frozen) = mpsc::sync_channel(1);
        thread::Builder::new()
            .name("snapshot".to_owned())
            .spawn(move || hold(&store, elsewhere, &ready, &started, sender))
            .map_err(StorageError::engine("start a thread for a snapshot"))?;
        let applied = frozen.recv().map_err(StorageError::engine("freeze its content"))??;
        Ok(Self { applied, start, messages })
    }
}

impl Frozen for FrozenStore {
    fn applied(&self) -> &Applied {
        &self.applied
    }

    fn write(self, cluster_id: Bytes, out: &mut (dyn Write + Send)) -> Result<Digest, StorageError> {
        self.start.send(cluster_id).map_err(StorageError::engine("write a snapshot"))?;
        loop {
            match self.messages.recv().map_err(StorageError::engine("write a snapshot"))? {
                Message::Block(block) => {
                    out.write_all(&block).map_err(StorageError::engine("write a snapshot"))?;
                }
                Message::End(result) => {
                    let digest = result?;
                    out.flush().map_err(StorageError::engine("write a snapshot"))?;
                    return Ok(digest);
                }
            }
        }
    }
}

/// The thread: holds the snapshot until it is written or given up.
fn hold(
    store: &Store,
    elsewhere: Option<MakeElsewhere>,
    ready: &SyncSender<Result<Applied, StorageError>>,
    started: &Receiver<Bytes>,
    messages: SyncSender<Message>,
) {
    // Time stands at 0, so that expired keys that the log has not removed are part of the content.
    let elsewhere = elsewhere.map(|make| make());
    let view = View::fixed(store, 0).with(elsewhere.as_deref());
    let applied = view.source.state().map(|state| state.applied).map_err(storage_error);
    // Whoever waited for this may be gone; then nothing is to be written either.
    if ready.send(applied.clone()).is_err() {
        return;
    }
    let Ok(cluster_id) = started.recv() else { return };
    let result = applied.and_then(|applied| {
        let header = Header { cluster_id, applied };
        write_stream(&view, elsewhere.as_deref(), &header, &messages)
    });
    let _ = messages.send(Message::End(result));
}

fn write_stream(
    view: &View<'_>,
    elsewhere: Option<&dyn Elsewhere>,
    header: &Header,
    messages: &SyncSender<Message>,
) -> Result<Digest, StorageError> {
    let pipe = Pipe { block: Vec::with_capacity(BLOCK), messages };
    let mut writer = SnapshotWriter::new(pipe, header)?;
    walk_on(view, elsewhere, &mut writer)?;
    let (mut pipe, digest) = writer.finish()?;
    pipe.hand_over().map_err(StorageError::engine("write a snapshot"))?;
    Ok(digest)
}

/// Gathers what is written into blocks and hands them over.
struct Pipe<'a> {
    block: Vec<u8>,
    messages: &'a SyncSender<Message>,
}

impl Pipe<'_> {
    fn hand_over(&mut self) -> io::Result<()> {
        let block = std::mem::replace(&mut self.block, Vec::with_capacity(BLOCK));
        self.messages.send(Message::Block(block)).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Write for Pipe<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.block.extend_from_slice(bytes);
        if self.block.len() >= BLOCK {
            self.hand_over()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The storage error of a primitive that has no other.
pub(crate) fn storage_error(stop: Stop) -> StorageError {
    match stop {
        Stop::Storage(error) => error,
        Stop::Error(reason) => StorageError::Engine { what: "read its content", reason: reason.into_owned() },
        Stop::Pending => StorageError::Engine {
            what: "read its content",
            reason: "the content changed meanwhile".to_owned(),
        },
    }
}

/// The same for results.
pub(super) fn storage<T>(outcome: Outcome<T>) -> Result<T, StorageError> {
    outcome.map_err(storage_error)
}
