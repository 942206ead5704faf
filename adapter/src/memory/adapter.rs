//! The adapter in memory.

use std::io::{Read, Write};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use async_trait::async_trait;
use bytes::Bytes;

use super::MemoryKeyspace;
use crate::adapter::{Adapter, Health, ReadOutcome, Run, Snapshot};
use crate::batch::Batch;
use crate::command::random::{Chance, fresh_seed};
use crate::command::{self, ReadRoom};
use crate::error::{Stop, StorageError};
use crate::keyspace::{Keyspace, KeyspaceMut};
use crate::position::{Applied, Position};
use crate::reply::Reply;
use crate::snapshot::{Digest, Origin, SnapshotReader, SnapshotWriter, digest_keyspace, load_into, walk};

/// An [`Adapter`] on a [`MemoryKeyspace`]. What it holds is lost with the process.
#[derive(Debug, Default)]
pub struct MemoryAdapter {
    state: RwLock<State>,
}

#[derive(Debug, Default)]
struct State {
    keyspace: MemoryKeyspace,
    position: Position,
}

impl State {
    fn applied(&self) -> Applied {
        Applied { position: self.position.clone(), now_ms: self.keyspace.now_ms() }
    }

    fn apply(&mut self, batch: &Batch) -> Result<Vec<Reply>, StorageError> {
        self.keyspace.set_now(self.keyspace.now_ms().max(batch.now_ms()));
        self.keyspace.set_revision(batch.revision());
        let (mut commands, mut args, mut replies) = (batch.commands(), Vec::new(), Vec::new());
        let (mut index, mut room) = (0, ReadRoom::default());
        while commands.next_into(&mut args)? {
            let seed = Chance::call_seed(batch.seed(), index);
            index += 1;
            replies.push(match command::run_in_entry(&mut self.keyspace, &args, seed, &mut room) {
                Ok(reply) => reply,
                Err(Stop::Storage(error)) => return Err(error),
                Err(stop) => Reply::from_stop(stop),
            });
        }
        Ok(replies)
    }
}

impl MemoryAdapter {
    /// An empty storage at position 0.
    pub fn new() -> Self {
        Self::default()
    }

    // No code that holds the lock panics half way through a change, so a poisoned lock guards whole data.
    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn state_mut(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_snapshot(&self) -> MemorySnapshot {
        let state = self.state();
        MemorySnapshot { keyspace: state.keyspace.at(0), applied: state.applied() }
    }
}

#[async_trait]
impl Adapter for MemoryAdapter {
    fn applied(&self) -> Applied {
        self.state().applied()
    }

    async fn apply(&self, run: Run) -> Result<Vec<Vec<Reply>>, StorageError> {
        let mut state = self.state_mut();
        let replies = run.batches.iter().map(|batch| state.apply(batch)).collect::<Result<_, _>>()?;
        state.position = run.position;
        // What a write meets and hides is nobody's to wait for.
        state.keyspace.take_hidden();
        Ok(replies)
    }

    async fn read(&self, args: Vec<Bytes>, now_ms: u64) -> ReadOutcome {
        let args: Vec<&[u8]> = args.iter().map(|arg| &arg[..]).collect();
        // The lock is held while the view lives, or a write beside it would copy the whole content.
        let state = self.state();
        let view = state.keyspace.at(now_ms.max(state.keyspace.now_ms()));
        let reply = command::read(&view, &args, fresh_seed()).unwrap_or_else(Reply::from_stop);
        ReadOutcome { reply, expired: view.take_hidden() }
    }

    async fn read_together(&self, calls: Vec<Vec<Bytes>>, now_ms: u64) -> Vec<ReadOutcome> {
        let state = self.state();
        let view = state.keyspace.at(now_ms.max(state.keyspace.now_ms()));
        let mut room = ReadRoom::default();
        let read = |args: &Vec<Bytes>| {
            let args: Vec<&[u8]> = args.iter().map(|arg| &arg[..]).collect();
            let result = command::read(&view, &args, fresh_seed()).and_then(|reply| room.take(reply));
            ReadOutcome { reply: result.unwrap_or_else(Reply::from_stop), expired: view.take_hidden() }
        };
        calls.iter().map(read).collect()
    }

    async fn due_keys(&self, now_ms: u64, limit: usize) -> Result<Vec<Bytes>, StorageError> {
        self.state()
            .keyspace
            .due_keys(now_ms, limit)
            .map_err(|stop| StorageError::Engine { what: "look up due keys", reason: format!("{stop:?}") })
    }

    async fn flush(&self) -> Result<Position, StorageError> {
        Ok(self.applied().position)
    }

    fn snapshot(&self) -> Result<Box<dyn Snapshot>, StorageError> {
        Ok(Box::new(self.take_snapshot()))
    }

    async fn install(&self, stream: Box<dyn Read + Send>) -> Result<Applied, StorageError> {
        let loaded = tokio::task::spawn_blocking(move || load(stream)).await;
        let (keyspace, applied) = loaded.map_err(StorageError::engine("install a snapshot"))??;
        let mut state = self.state_mut();
        *state = State { keyspace, position: applied.position.clone() };
        Ok(applied)
    }

    async fn digest(&self) -> Result<(Position, Digest), StorageError> {
        let snapshot = self.take_snapshot();
        Ok((snapshot.applied.position, digest_keyspace(&snapshot.keyspace)?))
    }

    fn health(&self) -> Health {
        Health { ok: true, detail: "in memory; nothing survives a restart".to_owned(), bytes: 0 }
    }
}

fn load(stream: impl Read) -> Result<(MemoryKeyspace, Applied), StorageError> {
    let mut reader = SnapshotReader::new(stream)?;
    let applied = reader.header().applied.clone();
    let mut keyspace = MemoryKeyspace::new(0);
    load_into(&mut keyspace, &mut reader)?;
    keyspace.set_now(applied.now_ms);
    Ok((keyspace, applied))
}

/// The content at one position.
struct MemorySnapshot {
    keyspace: MemoryKeyspace,
    applied: Applied,
}

impl Snapshot for MemorySnapshot {
    fn applied(&self) -> &Applied {
        &self.applied
    }

    fn write(self: Box<Self>, origin: Origin, out: &mut (dyn Write + Send)) -> Result<Digest, StorageError> {
        let header = origin.header(self.applied);
        let mut writer = SnapshotWriter::new(out, &header)?;
        walk(&self.keyspace, &mut writer)?;
        writer.finish().map(|(_, digest)| digest)
    }
}
