//! A snapshot of the content at one position, written as a stream while writes go on.
//!
//! A RocksDB snapshot borrows its database. Both live on a dedicated thread, which waits until the snapshot is to
//! be written and passes the stream on in blocks; so [`StoreSnapshot`] itself borrows nothing.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::thread;

use crate::adapter::Snapshot;
use crate::embedded::db::store::Store;
use crate::embedded::error::storage_error;
use crate::embedded::keyspace::reader::Reader;
use crate::embedded::keyspace::view::View;
use crate::embedded::offload::remote::RemoteValues;
use crate::error::StorageError;
use crate::position::Applied;
use crate::snapshot::{ContentSink, Digest, Header, KeyHead, Origin, SnapshotWriter, walk};

/// Blocks queued between the two threads.
const BLOCKS: usize = 4;
/// Bytes of a block.
const BLOCK: usize = 256 * 1024;

/// Constructs the source of remote values.
pub(crate) type MakeRemoteValues = Box<dyn FnOnce() -> Box<dyn RemoteValues> + Send>;

/// Scans all content, reporting every key to `remote` as it begins.
pub(crate) fn scan_content(
    view: &View<'_>,
    remote: Option<&dyn RemoteValues>,
    sink: &mut dyn ContentSink,
) -> Result<(), StorageError> {
    match remote {
        None => walk(view, sink),
        Some(remote) => walk(view, &mut ReportingSink { remote, sink }),
    }
}

/// Reports every key that begins, and passes everything on.
struct ReportingSink<'s> {
    remote: &'s dyn RemoteValues,
    sink: &'s mut dyn ContentSink,
}

impl ContentSink for ReportingSink<'_> {
    fn begin_key(&mut self, head: &KeyHead, key: &[u8]) -> Result<(), StorageError> {
        self.remote.scan_reached(key);
        self.sink.begin_key(head, key)
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

/// A message from the thread.
enum Message {
    /// The next bytes of the stream.
    Block(Vec<u8>),
    /// The end of the stream: its digest, or the error.
    End(Result<Digest, StorageError>),
}

/// A snapshot of a store.
pub(crate) struct StoreSnapshot {
    applied: Applied,
    /// Starts the stream, with what it says of where it comes from.
    start: Sender<Origin>,
    messages: Receiver<Message>,
}

impl StoreSnapshot {
    /// Takes a snapshot of the current content.
    pub(crate) fn new(store: Arc<Store>, remote: Option<MakeRemoteValues>) -> Result<Self, StorageError> {
        let (start, started) = mpsc::channel();
        let (sender, messages) = mpsc::sync_channel(BLOCKS);
        let (ready, taken) = mpsc::sync_channel(1);
        thread::Builder::new()
            .name("snapshot".to_owned())
            .spawn(move || serve(&store, remote, &ready, &started, sender))
            .map_err(StorageError::engine("start a thread for a snapshot"))?;
        let applied = taken.recv().map_err(StorageError::engine("take a snapshot"))??;
        Ok(Self { applied, start, messages })
    }
}

impl Snapshot for StoreSnapshot {
    fn applied(&self) -> &Applied {
        &self.applied
    }

    fn write(self: Box<Self>, origin: Origin, out: &mut (dyn Write + Send)) -> Result<Digest, StorageError> {
        self.start.send(origin).map_err(StorageError::engine("write a snapshot"))?;
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

/// The thread: keeps the snapshot until it is written or dropped.
fn serve(
    store: &Store,
    remote: Option<MakeRemoteValues>,
    ready: &SyncSender<Result<Applied, StorageError>>,
    started: &Receiver<Origin>,
    messages: SyncSender<Message>,
) {
    // The clock is 0, so that expired keys which the log has not removed yet are included.
    let remote = remote.map(|make| make());
    let view = View::fixed(store, 0).with(remote.as_deref());
    let applied = view.source.state().map(|state| state.applied).map_err(storage_error);
    // The other side may be gone; then there is nothing to write either.
    if ready.send(applied.clone()).is_err() {
        return;
    }
    let Ok(origin) = started.recv() else { return };
    let result = applied
        .and_then(|applied| write_stream(&view, remote.as_deref(), &origin.header(applied), &messages));
    let _ = messages.send(Message::End(result));
}

fn write_stream(
    view: &View<'_>,
    remote: Option<&dyn RemoteValues>,
    header: &Header,
    messages: &SyncSender<Message>,
) -> Result<Digest, StorageError> {
    let pipe = Pipe { block: Vec::with_capacity(BLOCK), messages };
    let mut writer = SnapshotWriter::new(pipe, header)?;
    scan_content(view, remote, &mut writer)?;
    let (mut pipe, digest) = writer.finish()?;
    pipe.hand_over().map_err(StorageError::engine("write a snapshot"))?;
    Ok(digest)
}

/// Collects output into blocks and sends them.
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
