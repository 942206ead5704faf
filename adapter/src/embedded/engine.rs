//! The adapter: runs onto the store, commands onto views, snapshots in and out.

use std::io::Read;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use arc_swap::ArcSwap;
use bytes::Bytes;
use conf::Storage;
use smallvec::SmallVec;
use tokio::runtime::{Handle, RuntimeFlavor};

use super::behind::{Arrived, Carrier, Cut, Refill, STUBS_AT_ONCE};
use super::frozen::{FrozenStore, MakeElsewhere, storage, walk_on};
use super::home::{Generation, Home, OpenError};
use super::journal::Changes;
use super::overlay::Txn;
use super::source::{Elsewhere, Source};
use super::store::{Log, Setup, Store};
use super::view::{Pace, View};
use crate::adapter::{Adapter, Applied, Health, Position, ReadOutcome, Run};
use crate::batch::Batch;
use crate::command::random::{Chance, fresh_seed};
use crate::command::{self, Flags};
use crate::error::{Stop, StorageError};
use crate::keyspace::Keyspace;
use crate::reply::Reply;
use crate::snapshot::{Digest, DigestBuilder, SnapshotReader, load_into};
use crate::step;

/// A run of more commands, or of more bytes, than this leaves the task's thread.
const SMALL_RUN_COMMANDS: u64 = 2048;
const SMALL_RUN_BYTES: usize = 512 * 1024;

/// Keys on RocksDB.
pub struct EmbeddedAdapter {
    store: ArcSwap<Store>,
    writer: Mutex<Writer>,
}

/// What only the one writer needs.
struct Writer {
    home: Home,
    generation: u64,
    /// Writes what was set aside while further runs are applied.
    aside: Option<JoinHandle<Result<(), StorageError>>>,
}

impl Writer {
    /// Waits until what was set aside is written.
    fn finish_aside(&mut self) -> Result<(), StorageError> {
        let Some(thread) = self.aside.take() else { return Ok(()) };
        thread.join().unwrap_or_else(|_| {
            Err(StorageError::Engine {
                what: "write records",
                reason: "its thread has ended early".to_owned(),
            })
        })
    }

    /// Has what is held written by another thread.
    fn set_aside(&mut self, store: &Arc<Store>) -> Result<(), StorageError> {
        self.finish_aside()?;
        store.set_aside()?;
        let store = Arc::clone(store);
        let thread = thread::Builder::new().name("records".to_owned()).spawn(move || store.write_aside());
        self.aside = Some(thread.map_err(StorageError::engine("start a thread"))?);
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // What could not be written is applied again from the log.
        let _ = self.finish_aside();
    }
}

impl EmbeddedAdapter {
    /// Opens the storage in a directory of its own, or makes it there.
    ///
    /// With `wal`, every applied run is durable when `apply` answers: for use without a Raft log. Without, what
    /// was applied since the last flush is lost in a crash, and is applied again from the log.
    pub fn open(dir: &Path, config: &Storage, wal: bool) -> Result<Self, OpenError> {
        let log = if wal { Log::EveryRun } else { Log::Off };
        Self::open_with(dir, Setup { storage: config.clone(), log, journal: false })
    }

    /// The same for a store whose values are carried over to another one.
    pub(crate) fn open_journaled(dir: &Path, config: &Storage, wal: bool) -> Result<Self, OpenError> {
        let log = if wal { Log::EveryRun } else { Log::OnDemand };
        Self::open_with(dir, Setup { storage: config.clone(), log, journal: true })
    }

    fn open_with(dir: &Path, setup: Setup) -> Result<Self, OpenError> {
        let (home, generation) = Home::open(dir, setup)?;
        let Generation { number, store } = generation;
        let writer = Mutex::new(Writer { home, generation: number, aside: None });
        Ok(Self { store: ArcSwap::from_pointee(store), writer })
    }

    /// Applies a run. None if it needs values that are elsewhere and not at hand: then it has noted them, and nothing
    /// has happened.
    pub(crate) fn apply_with(
        &self,
        run: &Run,
        elsewhere: Option<&dyn Elsewhere>,
    ) -> Result<Option<Vec<Vec<Reply>>>, StorageError> {
        let mut writer = self.lock_writer();
        let store = self.store.load_full();
        let mut txn = Txn::begin(&store, elsewhere);
        let mut replies = Vec::with_capacity(run.batches.len());
        for batch in &run.batches {
            txn.advance(batch.now_ms());
            let answered = apply_batch(&mut txn, batch, elsewhere)?;
            if elsewhere.is_some_and(|elsewhere| elsewhere.lacks() && !elsewhere.look_on()) {
                break;
            }
            replies.push(answered);
        }
        if elsewhere.is_some_and(Elsewhere::lacks) {
            txn.abandon()?;
            return Ok(None);
        }
        step::reached("apply-begun");
        txn.commit(run.position.clone())?;
        step::reached("apply-committed");
        if store.holds_much() {
            writer.set_aside(&store)?;
        }
        Ok(Some(replies))
    }

    fn apply_run(&self, run: &Run) -> Result<Vec<Vec<Reply>>, StorageError> {
        let replies = self.apply_with(run, None)?;
        replies.ok_or_else(|| StorageError::Corrupt("a value is not in the store".to_owned()))
    }

    /// Freezes the present content. `elsewhere` is made on the thread that walks over it.
    pub(crate) fn freeze_with(&self, elsewhere: Option<MakeElsewhere>) -> Result<FrozenStore, StorageError> {
        let _writer = self.lock_writer();
        FrozenStore::new(self.store.load_full(), elsewhere)
    }

    /// The digest of the present content.
    pub(crate) fn digest_with(
        &self,
        elsewhere: Option<&dyn Elsewhere>,
    ) -> Result<(Position, Digest), StorageError> {
        let store = self.store.load_full();
        let view = View::fixed(&store, 0).with(elsewhere);
        let position = storage(view.source.state())?.applied.position;
        let mut digest = DigestBuilder::default();
        walk_on(&view, elsewhere, &mut digest)?;
        Ok((position, digest.digest()))
    }

    /// What a cut of the generation in use held has been carried over, but for `left`. Stubs stand for the values that
    /// have arrived, where they are still the newest.
    pub(crate) fn confirm(
        &self,
        store: &Store,
        cut: &mut Cut<'_>,
        arrived: &[Arrived],
        left: Changes,
        carrier: &Carrier,
    ) -> Result<(), StorageError> {
        // In this order: what is carried over again, as after a crash between the two, must still be here, or it would be
        // gone if that begins with removing everything there.
        store.confirm(cut, left, carrier)?;
        step::reached("wave-confirmed");
        for arrived in arrived.chunks(STUBS_AT_ONCE) {
            let _writer = self.lock_writer();
            store.replace_by_stubs(arrived)?;
        }
        step::reached("wave-replaced");
        Ok(())
    }

    /// The generation in use.
    pub(crate) fn store(&self) -> Arc<Store> {
        self.store.load_full()
    }

    pub(super) fn install_stream(&self, stream: impl Read) -> Result<Applied, StorageError> {
        let mut writer = self.lock_writer();
        let next = writer.home.create_next(writer.generation).map_err(install_error)?;
        let applied = match fill(&next.store, stream) {
            Ok(applied) => applied,
            Err(error) => {
                next.store.remove_when_closed();
                return Err(error);
            }
        };
        if next.store.journal().is_some() {
            let refill = Some(Refill::default());
            let before = self.store.load().carrier()?;
            next.store.set_carrier(&Carrier { in_flight: true, lost: false, refill, ..before })?;
        }
        step::reached("install-filled");
        writer.home.point_at(next.number).map_err(install_error)?;
        step::reached("install-switched");
        writer.generation = next.number;
        let old = self.store.swap(Arc::new(next.store));
        old.remove_when_closed();
        Ok(applied)
    }

    /// The store, to be changed by primitives.
    #[cfg(test)]
    pub(super) fn store_for_tests(&self) -> Arc<Store> {
        self.store.load_full()
    }

    fn lock_writer(&self) -> std::sync::MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs the commands of a batch. What a command answers with an error has changed nothing.
///
/// A command that lacks a value answers nothing for now, and the others go on, to find what they lack.
fn apply_batch(
    txn: &mut Txn<'_>,
    batch: &Batch,
    elsewhere: Option<&dyn Elsewhere>,
) -> Result<Vec<Reply>, StorageError> {
    // The count is checked only while reading, but every command takes some bytes.
    let mut replies = Vec::with_capacity((batch.count() as usize).min(batch.raw().len()));
    let (mut commands, mut args) = (batch.commands(), Vec::new());
    while commands.next_into(&mut args)? {
        let seed = Chance::call_seed(batch.seed(), replies.len() as u32);
        replies.push(match command::write(txn, &args, seed) {
            Ok(reply) => reply,
            Err(Stop::Storage(error)) => return Err(error),
            Err(Stop::Pending) if elsewhere.is_some_and(|elsewhere| !elsewhere.look_on()) => break,
            Err(stop) => Reply::from_stop(stop),
        });
    }
    Ok(replies)
}

/// Loads a stream into an empty store and makes it durable.
fn fill(store: &Store, stream: impl Read) -> Result<Applied, StorageError> {
    let mut reader = SnapshotReader::new(stream)?;
    let applied = reader.header().applied.clone();
    let mut txn = Txn::load(store);
    load_into(&mut txn, &mut reader)?;
    step::reached("install-loaded");
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

/// Runs a reading command on the store as it is. None if it needs values that are elsewhere and not at hand.
pub(crate) fn run_read(
    store: &Store,
    args: &[Bytes],
    now_ms: u64,
    elsewhere: Option<&dyn Elsewhere>,
) -> Option<ReadOutcome> {
    let lacks = || elsewhere.is_some_and(Elsewhere::lacks);
    let args: SmallVec<[&[u8]; 8]> = args.iter().map(|arg| &arg[..]).collect();
    let now_ms = now_ms.max(store.now_ms());
    let seed = fresh_seed();
    let flags = command::resolve(&args).map_or(Flags::NONE, |spec| spec.flags);
    if !flags.has(Flags::SLOW) {
        let pace = if flags.has(Flags::FAST) { Pace::FastCommand } else { Pace::ShortOnly };
        let single = {
            let view = View::light(store, now_ms, pace).with(elsewhere);
            match command::read(&view, &args, seed) {
                Err(Stop::Pending) if lacks() => return None,
                // More than was thought: once more, without haste.
                Err(Stop::Pending) => view.is_single(),
                result => return Some(outcome(&view, result)),
            }
        };
        if single {
            let read = || {
                let view = View::short(store, now_ms, pace).with(elsewhere);
                match command::read(&view, &args, seed) {
                    Err(Stop::Pending) => None,
                    result => Some(outcome(&view, result)),
                }
            };
            let outcome = blocking(read);
            if outcome.is_some() || lacks() {
                return outcome;
            }
        }
    }
    blocking(|| {
        let view = View::fixed(store, now_ms).with(elsewhere);
        match command::read(&view, &args, seed) {
            Err(Stop::Pending) if lacks() => None,
            result => Some(outcome(&view, result)),
        }
    })
}

fn outcome(view: &View<'_>, result: Result<Reply, Stop>) -> ReadOutcome {
    if let Err(Stop::Storage(error)) = &result {
        tracing::error!(%error, "a read failed");
    }
    ReadOutcome { reply: result.unwrap_or_else(Reply::from_stop), expired: view.take_expired() }
}

/// Applies a run: a short one right here, which is quicker than to make room for others meanwhile.
pub(crate) fn applying<T>(run: &Run, work: impl FnOnce() -> T) -> T {
    let commands = run.batches.iter().map(|batch| u64::from(batch.count())).sum::<u64>();
    let bytes = run.batches.iter().map(|batch| batch.raw().len()).sum::<usize>();
    let is_short = commands <= SMALL_RUN_COMMANDS && bytes <= SMALL_RUN_BYTES;
    if is_short { work() } else { blocking(work) }
}

/// Runs what may take long, without holding up other tasks where the runtime has more than one thread.
pub(crate) fn blocking<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}

impl Adapter for EmbeddedAdapter {
    fn applied(&self) -> Applied {
        self.store.load().state().applied
    }

    async fn apply(&self, run: Run) -> Result<Vec<Vec<Reply>>, StorageError> {
        applying(&run, || self.apply_run(&run))
    }

    async fn read(&self, args: Vec<Bytes>, now_ms: u64) -> ReadOutcome {
        run_read(&self.store.load(), &args, now_ms, None).unwrap_or_else(|| {
            let stop = Stop::Storage(StorageError::Corrupt("a value is not in the store".to_owned()));
            ReadOutcome { reply: Reply::from_stop(stop), expired: Vec::new() }
        })
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

    fn freeze(&self) -> Result<impl crate::Frozen + 'static, StorageError> {
        self.freeze_with(None)
    }

    async fn install(&self, stream: impl Read + Send + 'static) -> Result<Applied, StorageError> {
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
