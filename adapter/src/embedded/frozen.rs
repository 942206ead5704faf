//! The content at one position, written as a snapshot stream while writes go on.
//!
//! A RocksDB snapshot borrows its database. Both live on a thread of their own, which waits to be told to write
//! and hands the stream over in blocks; so what is frozen can be passed around freely.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::thread;

use bytes::Bytes;

use super::source::Source;
use super::store::Store;
use super::view::View;
use crate::adapter::{Applied, Frozen};
use crate::error::{Outcome, Stop, StorageError};
use crate::snapshot::{Header, SnapshotWriter, walk};

/// Blocks between the two threads.
const BLOCKS: usize = 4;
/// Bytes of a block.
const BLOCK: usize = 256 * 1024;

/// What the thread hands over.
enum Message {
    /// The next bytes of the stream.
    Block(Vec<u8>),
    /// The stream ends, whole or with an error.
    End(Result<(), StorageError>),
}

/// A frozen store.
pub(super) struct FrozenStore {
    applied: Applied,
    start: Sender<()>,
    messages: Receiver<Message>,
}

impl FrozenStore {
    /// Freezes the present content.
    pub(super) fn new(store: Arc<Store>) -> Result<Self, StorageError> {
        let (start, started) = mpsc::channel();
        let (sender, messages) = mpsc::sync_channel(BLOCKS);
        let (ready, frozen) = mpsc::sync_channel(1);
        thread::Builder::new()
            .name("snapshot".to_owned())
            .spawn(move || hold(&store, &ready, &started, sender))
            .map_err(StorageError::engine("start a thread for a snapshot"))?;
        let applied = frozen.recv().map_err(StorageError::engine("freeze its content"))??;
        Ok(Self { applied, start, messages })
    }
}

impl Frozen for FrozenStore {
    fn applied(&self) -> &Applied {
        &self.applied
    }

    fn write(self, out: &mut (dyn Write + Send)) -> Result<(), StorageError> {
        self.start.send(()).map_err(StorageError::engine("write a snapshot"))?;
        loop {
            match self.messages.recv().map_err(StorageError::engine("write a snapshot"))? {
                Message::Block(block) => {
                    out.write_all(&block).map_err(StorageError::engine("write a snapshot"))?;
                }
                Message::End(result) => {
                    result?;
                    return out.flush().map_err(StorageError::engine("write a snapshot"));
                }
            }
        }
    }
}

/// The thread: holds the snapshot until it is written or given up.
fn hold(
    store: &Store,
    ready: &SyncSender<Result<Applied, StorageError>>,
    started: &Receiver<()>,
    messages: SyncSender<Message>,
) {
    // Time stands at 0, so that expired keys that the log has not removed are part of the content.
    let view = View::fixed(store, 0);
    let applied = view.source.state().map(|state| state.applied).map_err(storage_error);
    // Whoever waited for this may be gone; then nothing is to be written either.
    if ready.send(applied.clone()).is_err() || started.recv().is_err() {
        return;
    }
    let result = applied.and_then(|applied| write_stream(&view, applied, &messages));
    let _ = messages.send(Message::End(result));
}

fn write_stream(
    view: &View<'_>,
    applied: Applied,
    messages: &SyncSender<Message>,
) -> Result<(), StorageError> {
    let pipe = Pipe { block: Vec::with_capacity(BLOCK), messages };
    let mut writer = SnapshotWriter::new(pipe, &Header { cluster_id: Bytes::new(), applied })?;
    walk(view, &mut writer)?;
    let (mut pipe, _) = writer.finish()?;
    pipe.hand_over().map_err(StorageError::engine("write a snapshot"))
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
pub(super) fn storage_error(stop: Stop) -> StorageError {
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
