//! The adapter: applies runs to the store, runs reading commands on views, takes and installs snapshots.

use std::io::Read;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use bytes::Bytes;
use conf::Storage;
use smallvec::SmallVec;
use tokio::runtime::{Handle, RuntimeFlavor};

use crate::adapter::{Adapter, Health, ReadOutcome, Run, Snapshot};
use crate::batch::{Batch, LongArgument};
use crate::command::random::{Chance, fresh_seed};
use crate::command::{self, Flags, ReadRoom};
use crate::embedded::data_dir::{DataDir, Generation};
use crate::embedded::db::store::{Log, Setup, Store};
use crate::embedded::error::{OpenError, storage};
use crate::embedded::keyspace::reader::Reader;
use crate::embedded::keyspace::txn::Txn;
use crate::embedded::keyspace::view::{Pace, View};
use crate::embedded::offload::dirty_log::DirtySet;
use crate::embedded::offload::evict::{EVICTIONS_PER_BATCH, FlushedValue};
use crate::embedded::offload::flush_batch::FlushBatch;
use crate::embedded::offload::remote::RemoteValues;
use crate::embedded::offload::worker_state::{Refill, WorkerState};
use crate::embedded::snapshot::{MakeRemoteValues, StoreSnapshot, scan_content};
use crate::embedded::staging::Staging;
use crate::error::{Stop, StorageError};
use crate::failpoint;
use crate::keyspace::{Keyspace, KeyspaceMut};
use crate::position::{Applied, Position};
use crate::reply::Reply;
use crate::snapshot::{Digest, DigestBuilder, SnapshotReader, load_into};

/// Larger runs, by commands or by bytes, move off the async worker thread.
const SMALL_RUN_COMMANDS: u64 = 2048;
const SMALL_RUN_BYTES: usize = 512 * 1024;

/// Keys and values in RocksDB.
pub struct EmbeddedAdapter {
    store: ArcSwap<Store>,
    writer: Mutex<Writer>,
}

/// The state of the single writer.
struct Writer {
    data_dir: DataDir,
    generation: u64,
    /// Writes the sealed buffer while further runs are applied.
    background_write: Option<JoinHandle<Result<(), StorageError>>>,
    staging: Staging,
}

impl Writer {
    /// Waits until the sealed buffer is written.
    fn finish_background_write(&mut self) -> Result<(), StorageError> {
        let Some(thread) = self.background_write.take() else { return Ok(()) };
        thread.join().unwrap_or_else(|_| {
            Err(StorageError::Engine {
                what: "write records",
                reason: "its thread has ended early".to_owned(),
            })
        })
    }

    /// Seals the buffer and has another thread write it.
    fn start_background_write(&mut self, store: &Arc<Store>) -> Result<(), StorageError> {
        self.finish_background_write()?;
        store.seal_buffer()?;
        let store = Arc::clone(store);
        let thread = thread::Builder::new().name("records".to_owned()).spawn(move || store.write_sealed());
        self.background_write = Some(thread.map_err(StorageError::engine("start a thread"))?);
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // What could not be written is replayed from the log.
        let _ = self.finish_background_write();
    }
}

impl EmbeddedAdapter {
    /// Opens the storage in its own directory, creating it if needed.
    ///
    /// With `wal`, every applied run is durable when `apply` returns: for use without a Raft log. Without it, a
    /// crash loses what was applied since the last flush, and the log replays it.
    pub fn open(dir: &Path, config: &Storage, wal: bool) -> Result<Self, OpenError> {
        let log = if wal { Log::EveryRun } else { Log::Off };
        Self::open_with(dir, Setup { storage: config.clone(), log, dirty_log: false })
    }

    /// Opens a store that tracks changes, so that its values can be offloaded to another storage.
    pub(crate) fn open_tracked(dir: &Path, config: &Storage, wal: bool) -> Result<Self, OpenError> {
        let log = if wal { Log::EveryRun } else { Log::OnDemand };
        Self::open_with(dir, Setup { storage: config.clone(), log, dirty_log: true })
    }

    fn open_with(dir: &Path, setup: Setup) -> Result<Self, OpenError> {
        let (data_dir, generation) = DataDir::open(dir, setup)?;
        let Generation { number, store } = generation;
        let writer = Mutex::new(Writer {
            data_dir,
            generation: number,
            background_write: None,
            staging: Staging::default(),
        });
        Ok(Self { store: ArcSwap::from_pointee(store), writer })
    }

    /// Applies a run. None if it is missing remote values: these have been recorded in `remote`, and nothing has
    /// changed.
    pub(crate) fn apply_with(
        &self,
        run: &Run,
        remote: Option<&dyn RemoteValues>,
    ) -> Result<Option<Vec<Vec<Reply>>>, StorageError> {
        let mut writer = self.lock_writer();
        let store = self.store.load_full();
        let mut txn = Txn::begin(&store, remote);
        let mut replies = Vec::with_capacity(run.batches.len());
        for batch in &run.batches {
            txn.advance(batch.now_ms());
            txn.set_revision(batch.revision());
            if writer.staging.is_of(batch.upload()) {
                txn.source.offered = writer.staging.offer(batch);
            }
            let answered = apply_batch(&mut txn, batch, remote)?;
            if remote.is_some_and(|remote| remote.has_missing() && !remote.keep_looking()) {
                break;
            }
            replies.push(answered);
        }
        if remote.is_some_and(RemoteValues::has_missing) {
            txn.abandon()?;
            return Ok(None);
        }
        failpoint::reached("apply-begun");
        let is_over = run.batches.iter().any(|batch| writer.staging.is_of(batch.upload()));
        let (is_cleared, left) = (txn.source.is_cleared(), txn.source.offered.left().to_vec());
        txn.commit(run.position.clone())?;
        failpoint::reached("apply-committed");
        if is_over {
            writer.staging.keep(&store, &left)?;
        } else if is_cleared {
            writer.staging.drop_all(&store)?;
        }
        if store.is_buffer_full() {
            writer.start_background_write(&store)?;
        }
        Ok(Some(replies))
    }

    /// Writes what has come of a long argument.
    pub(crate) fn stage_argument(&self, arrived: &LongArgument<'_>) -> Result<(), StorageError> {
        self.lock_writer().staging.add(&self.store.load_full(), arrived)
    }

    /// Removes what was written of an upload that was given up.
    pub(crate) fn drop_staging(&self) -> Result<(), StorageError> {
        self.lock_writer().staging.drop_all(&self.store.load_full())
    }

    fn apply_run(&self, run: &Run) -> Result<Vec<Vec<Reply>>, StorageError> {
        let replies = self.apply_with(run, None)?;
        replies.ok_or_else(|| StorageError::Corrupt("a value is not in the store".to_owned()))
    }

    /// Takes a snapshot of the current content. `remote` is constructed on the thread that scans it.
    pub(crate) fn take_snapshot(
        &self,
        remote: Option<MakeRemoteValues>,
    ) -> Result<StoreSnapshot, StorageError> {
        let _writer = self.lock_writer();
        StoreSnapshot::new(self.store.load_full(), remote)
    }

    /// The digest of the current content.
    pub(crate) fn digest_with(
        &self,
        remote: Option<&dyn RemoteValues>,
    ) -> Result<(Position, Digest), StorageError> {
        let store = self.store.load_full();
        let view = View::fixed(&store, 0).with(remote);
        let position = storage(view.source.state())?.applied.position;
        let mut digest = DigestBuilder::default();
        scan_content(&view, remote, &mut digest)?;
        Ok((position, digest.digest()))
    }

    /// Confirms a flush batch of the current generation, except for `remaining`, and evicts the flushed values that
    /// are still the newest.
    pub(crate) fn confirm(
        &self,
        store: &Store,
        flush_batch: &mut FlushBatch<'_>,
        flushed: &[FlushedValue],
        remaining: DirtySet,
        worker_state: &WorkerState,
    ) -> Result<(), StorageError> {
        // The order matters. After a crash in between, the batch is flushed again, possibly starting by emptying
        // the other storage; the values must still be here for that.
        store.confirm(flush_batch, remaining, worker_state)?;
        failpoint::reached("flush-confirmed");
        for flushed in flushed.chunks(EVICTIONS_PER_BATCH) {
            let _writer = self.lock_writer();
            store.evict(flushed)?;
        }
        failpoint::reached("flush-evicted");
        Ok(())
    }

    /// The current generation.
    pub(crate) fn store(&self) -> Arc<Store> {
        self.store.load_full()
    }

    pub(crate) fn install_stream(&self, stream: impl Read) -> Result<Applied, StorageError> {
        let mut writer = self.lock_writer();
        let next = writer.data_dir.create_next(writer.generation).map_err(install_error)?;
        let applied = match fill(&next.store, stream) {
            Ok(applied) => applied,
            Err(error) => {
                next.store.remove_when_closed();
                return Err(error);
            }
        };
        if next.store.dirty_log().is_some() {
            let refill = Some(Refill::default());
            let before = self.store.load().worker_state()?;
            next.store.set_worker_state(&WorkerState { in_flight: true, lost: false, refill, ..before })?;
        }
        failpoint::reached("install-filled");
        writer.data_dir.switch_to(next.number).map_err(install_error)?;
        failpoint::reached("install-switched");
        writer.generation = next.number;
        writer.staging = Staging::default();
        let old = self.store.swap(Arc::new(next.store));
        old.remove_when_closed();
        Ok(applied)
    }

    /// The store, for direct changes.
    #[cfg(test)]
    pub(crate) fn store_for_tests(&self) -> Arc<Store> {
        self.store.load_full()
    }

    fn lock_writer(&self) -> std::sync::MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs the commands of a batch. A command that returns an error has changed nothing.
///
/// A command that is missing a value has no reply yet; the rest still run, to find out what they are missing too.
fn apply_batch(
    txn: &mut Txn<'_>,
    batch: &Batch,
    remote: Option<&dyn RemoteValues>,
) -> Result<Vec<Reply>, StorageError> {
    // The count is not validated yet, but every command takes at least one byte.
    let mut replies = Vec::with_capacity((batch.count() as usize).min(batch.raw().len()));
    let (mut commands, mut args, mut room) = (batch.commands(), Vec::new(), ReadRoom::default());
    while commands.next_into(&mut args)? {
        let seed = Chance::call_seed(batch.seed(), replies.len() as u32);
        replies.push(match command::run_in_entry(txn, &args, seed, &mut room) {
            Ok(reply) => reply,
            Err(Stop::Storage(error)) => return Err(error),
            Err(Stop::Pending) if remote.is_some_and(|remote| !remote.keep_looking()) => break,
            Err(stop) => Reply::from_stop(stop),
        });
    }
    Ok(replies)
}

/// Loads a snapshot stream into an empty store and flushes it.
fn fill(store: &Store, stream: impl Read) -> Result<Applied, StorageError> {
    let mut reader = SnapshotReader::new(stream)?;
    let applied = reader.header().applied.clone();
    let mut txn = Txn::load(store);
    load_into(&mut txn, &mut reader)?;
    failpoint::reached("install-loaded");
    txn.advance(applied.now_ms);
    txn.commit(applied.position.clone())?;
    store.flush()?;
    Ok(applied)
}

fn install_error(error: OpenError) -> StorageError {
    match error {
        OpenError::Storage(error) => error,
        other => StorageError::Engine { what: "install a snapshot", reason: other.to_string() },
    }
}

/// Runs a reading command on the current content. None if it is missing remote values.
pub(crate) fn run_read(
    store: &Store,
    args: &[Bytes],
    now_ms: u64,
    remote: Option<&dyn RemoteValues>,
) -> Option<ReadOutcome> {
    let has_missing = || remote.is_some_and(RemoteValues::has_missing);
    let args: SmallVec<[&[u8]; 8]> = args.iter().map(|arg| &arg[..]).collect();
    let now_ms = now_ms.max(store.now_ms());
    let seed = fresh_seed();
    let flags = command::resolve(&args).map_or(Flags::NONE, |spec| spec.flags);
    if !flags.has(Flags::SLOW) {
        let pace = if flags.has(Flags::FAST) { Pace::FastCommand } else { Pace::ShortOnly };
        let single = {
            let view = View::light(store, now_ms, pace).with(remote);
            match command::read(&view, &args, seed) {
                Err(Stop::Pending) if has_missing() => return None,
                // It reads more than expected: run it again on a slower view.
                Err(Stop::Pending) => view.is_single(),
                result => return Some(outcome(&view, result)),
            }
        };
        if single {
            let read = || {
                let view = View::short(store, now_ms, pace).with(remote);
                match command::read(&view, &args, seed) {
                    Err(Stop::Pending) => None,
                    result => Some(outcome(&view, result)),
                }
            };
            let outcome = blocking(read);
            if outcome.is_some() || has_missing() {
                return outcome;
            }
        }
    }
    blocking(|| {
        let view = View::fixed(store, now_ms).with(remote);
        match command::read(&view, &args, seed) {
            Err(Stop::Pending) if has_missing() => None,
            result => Some(outcome(&view, result)),
        }
    })
}

/// Runs reading commands on one view. None if they are missing remote values.
pub(crate) fn run_reads(
    store: &Store,
    calls: &[Vec<Bytes>],
    now_ms: u64,
    remote: Option<&dyn RemoteValues>,
) -> Option<Vec<ReadOutcome>> {
    let read = || {
        let view = View::fixed(store, now_ms.max(store.now_ms())).with(remote);
        let mut room = ReadRoom::default();
        let mut outcomes = Vec::with_capacity(calls.len());
        for args in calls {
            let args: SmallVec<[&[u8]; 8]> = args.iter().map(|arg| &arg[..]).collect();
            let result = command::read(&view, &args, fresh_seed()).and_then(|reply| room.take(reply));
            if matches!(result, Err(Stop::Pending)) && remote.is_some_and(|remote| !remote.keep_looking()) {
                return None;
            }
            outcomes.push(outcome(&view, result));
        }
        // The others were run to find out what they are missing too.
        (!remote.is_some_and(RemoteValues::has_missing)).then_some(outcomes)
    };
    blocking(read)
}

fn outcome(view: &View<'_>, result: Result<Reply, Stop>) -> ReadOutcome {
    if let Err(Stop::Storage(error)) = &result {
        tracing::error!(%error, "a read failed");
    }
    ReadOutcome { reply: result.unwrap_or_else(Reply::from_stop), expired: view.take_expired() }
}

/// Runs `work` inline for a short run, which is cheaper than moving off the async worker thread.
pub(crate) fn applying<T>(run: &Run, work: impl FnOnce() -> T) -> T {
    let commands = run.batches.iter().map(|batch| u64::from(batch.count())).sum::<u64>();
    let bytes = run.batches.iter().map(|batch| batch.raw().len()).sum::<usize>();
    let is_short = commands <= SMALL_RUN_COMMANDS && bytes <= SMALL_RUN_BYTES;
    if is_short { work() } else { blocking(work) }
}

/// Runs blocking work without holding up other tasks, if the runtime has more than one thread.
pub(crate) fn blocking<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}

#[async_trait]
impl Adapter for EmbeddedAdapter {
    fn applied(&self) -> Applied {
        self.store.load().state().applied
    }

    async fn apply(&self, run: Run) -> Result<Vec<Vec<Reply>>, StorageError> {
        applying(&run, || self.apply_run(&run))
    }

    async fn stage(&self, arrived: LongArgument<'_>) -> Result<(), StorageError> {
        blocking(|| self.stage_argument(&arrived))
    }

    async fn unstage(&self) -> Result<(), StorageError> {
        self.drop_staging()
    }

    async fn read(&self, args: Vec<Bytes>, now_ms: u64) -> ReadOutcome {
        run_read(&self.store.load(), &args, now_ms, None).unwrap_or_else(|| {
            let stop = Stop::Storage(StorageError::Corrupt("a value is not in the store".to_owned()));
            ReadOutcome { reply: Reply::from_stop(stop), expired: Vec::new() }
        })
    }

    async fn read_together(&self, calls: Vec<Vec<Bytes>>, now_ms: u64) -> Vec<ReadOutcome> {
        run_reads(&self.store.load(), &calls, now_ms, None).unwrap_or_default()
    }

    async fn due_keys(&self, now_ms: u64, limit: usize) -> Result<Vec<Bytes>, StorageError> {
        let store = self.store.load_full();
        blocking(|| storage(View::short(&store, now_ms, Pace::Unhurried).due_keys(now_ms, limit)))
    }

    async fn flush(&self) -> Result<Position, StorageError> {
        blocking(|| {
            let _writer = self.lock_writer();
            let store = self.store.load_full();
            let position = store.state().applied.position;
            store.flush()?;
            Ok(position)
        })
    }

    fn snapshot(&self) -> Result<Box<dyn Snapshot>, StorageError> {
        Ok(Box::new(self.take_snapshot(None)?))
    }

    async fn install(&self, stream: Box<dyn Read + Send>) -> Result<Applied, StorageError> {
        blocking(|| self.install_stream(stream))
    }

    async fn digest(&self) -> Result<(Position, Digest), StorageError> {
        blocking(|| self.digest_with(None))
    }

    fn health(&self) -> Health {
        let store = self.store.load();
        let bytes =
            store.property("rocksdb.live-sst-files-size") + store.property("rocksdb.cur-size-all-mem-tables");
        let errors = store.property("rocksdb.background-errors");
        let detail = match errors {
            0 => "embedded storage (RocksDB)".to_owned(),
            _ => "embedded storage (RocksDB): a flush or a compaction failed; see its LOG and the free disk space"
                .to_owned(),
        };
        Health { ok: errors == 0, detail, bytes }
    }
}
