//! The adapter: commands run over the index, and run again once the values they were missing have been fetched.

use std::cell::RefCell;
use std::io::Read;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use conf::Storage;
use tokio::runtime::Handle;
use tokio::sync::{Notify, RwLock, watch};

use super::client::{Client, SAFE_ARGS, SAFE_BYTES, Target};
use super::compatibility::Capabilities;
use super::connection_state::{ConnectionState, LossReport, missing_value_message};
use super::fetcher::{FetchError, Fetcher};
use super::import::KiwiImport;
use super::read_context::ReadContext;
use super::snapshot_gate::SnapshotGate;
use super::snapshot_values::SnapshotValues;
use super::value_cache::ValueCache;
use super::write_behind::{InlineLimits, Worker};
use crate::adapter::{Adapter, Fact, Health, ReadOutcome, Run, Snapshot};
use crate::batch::LongArgument;
use crate::command::adoption::LOADING;
use crate::embedded::adapter::{applying, blocking, run_read, run_reads};
use crate::embedded::db::store::Store;
use crate::embedded::offload::remote::RemoteValue;
use crate::embedded::offload::worker_state::WorkerState;
use crate::embedded::{EmbeddedAdapter, OpenError};
use crate::error::{Stop, StorageError};
use crate::import_source::ImportSource;
use crate::position::{Applied, Digest, Position};
use crate::reply::Reply;

/// Delay before a run retries values that could not be fetched.
const RETRY: Duration = Duration::from_millis(50);
/// Rounds without finding the same value after which it counts as lost: in one or two rounds it may just have
/// changed.
const MISSING_ROUNDS: u32 = 20;
/// Runs are held up while more dirty names than this wait to be flushed. Each takes some 40 bytes in the dirty log
/// on disk.
const MAX_PENDING_CHANGES: usize = 10_000_000;

/// At shutdown, the wait for a request to Kiwi that is in flight.
const WORKER_SHUTDOWN: Duration = Duration::from_secs(3);

/// Keys live in an index beside Kiwi, values on Kiwi.
pub struct KiwiAdapter {
    index: Arc<EmbeddedAdapter>,
    cache: Arc<ValueCache>,
    fetcher: Fetcher,
    connection: watch::Receiver<ConnectionState>,
    work: Arc<Notify>,
    stopping: Arc<AtomicBool>,
    busy: Arc<AtomicBool>,
    worker_thread: Mutex<Option<JoinHandle<()>>>,
    config: Storage,
    safe_reply: usize,
    runtime: Handle,
    gate: SnapshotGate,
    losses: LossReport,
    /// The content has gone back to a position before what reads have already seen.
    rebuilding: AtomicBool,
    import: KiwiImport,
}

/// Counts consecutive rounds in which the same value was missing.
#[derive(Default)]
struct MissCounter {
    missing: Option<RemoteValue>,
    rounds: u32,
}

impl MissCounter {
    /// Records what a round was missing; true once the same value has been missing for too many rounds.
    async fn is_exceeded(&mut self, missing: RemoteValue) -> bool {
        if self.missing.as_ref() == Some(&missing) {
            self.rounds += 1;
            tokio::time::sleep(RETRY).await;
        } else {
            *self = Self { missing: Some(missing), rounds: 0 };
        }
        self.rounds >= MISSING_ROUNDS
    }
}

impl KiwiAdapter {
    /// Opens the index in its own directory, creating it if needed, and starts connecting to Kiwi. Must be called
    /// on a runtime that outlives the adapter.
    ///
    /// With `wal`, every applied run is durable in the index when `apply` returns: for use without a Raft log.
    pub fn open(dir: &Path, config: &Storage, wal: bool) -> Result<Self, OpenError> {
        let index = Arc::new(EmbeddedAdapter::open_tracked(dir, config, wal)?);
        let cache = Arc::new(ValueCache::new(config.cache_size));
        let client = Arc::new(Client::new(Target {
            address: config.address.clone(),
            username: config.username.clone(),
            password: config.password.clone(),
            connections: config.connections,
            timeout: config.timeout,
        }));
        let (connection, connection_watch) =
            watch::channel(ConnectionState::Down(format!("connecting to {}", config.address)));
        let lists = Arc::new(RwLock::new(()));
        let fetcher = Fetcher::new(
            Arc::clone(&client),
            Arc::clone(&index),
            connection_watch.clone(),
            Arc::clone(&cache),
            Arc::clone(&lists),
            config.hurry,
        );
        let busy = Arc::new(AtomicBool::new(false));
        let (work, stopping) = (Arc::new(Notify::new()), Arc::new(AtomicBool::new(false)));
        let (gate, losses) = (SnapshotGate::default(), LossReport::default());
        let safe_reply = client.safe_reply();
        let inline = InlineLimits { keep: config.keep_values, reply: safe_reply };
        let import = KiwiImport {
            client: Arc::clone(&client),
            index: Arc::clone(&index),
            connections: config.connections,
            progress: Arc::default(),
            work: Arc::clone(&work),
        };
        let worker = Worker {
            gate: gate.clone(),
            losses: losses.clone(),
            client,
            index: Arc::clone(&index),
            cache: Arc::clone(&cache),
            connection,
            lists,
            work: Arc::clone(&work),
            stopping: Arc::clone(&stopping),
            busy: Arc::clone(&busy),
            settle_time: config.settle_time,
            inline,
            runtime: Handle::current(),
        };
        let worker_thread = std::thread::Builder::new().name("kiwi".to_owned()).spawn(move || worker.run());
        let worker_thread = worker_thread.map_err(StorageError::engine("start a thread"))?;
        Ok(Self {
            index,
            cache,
            fetcher,
            connection: connection_watch,
            work,
            stopping,
            busy,
            worker_thread: Mutex::new(Some(worker_thread)),
            config: config.clone(),
            safe_reply,
            runtime: Handle::current(),
            gate,
            losses,
            rebuilding: AtomicBool::new(false),
            import,
        })
    }

    /// Whether everything applied so far has been flushed to Kiwi.
    pub fn is_caught_up(&self) -> bool {
        let store = self.index.store();
        let is_idle = || !self.busy.load(Ordering::Acquire);
        is_idle()
            && !store.has_dirty()
            && is_idle()
            && matches!(store.worker_state(), Ok(WorkerState { refill: None, .. }))
    }

    /// Fetches what a run was missing, for the next attempt. Returns a value that was not found, if any.
    async fn fetch(&self, context: &mut ReadContext<'_>) -> Result<Option<RemoteValue>, FetchError> {
        let (needs, contents) = (context.take_needs(), context.take_contents());
        let mut missing = None;
        if !needs.is_empty() {
            for (need, value) in self.fetcher.fetch(needs).await? {
                match value {
                    Some(value) => context.add(need, value),
                    None => missing = missing.or(Some(need)),
                }
            }
        }
        for content in &contents {
            let absent = self.fetcher.fetch_all(content).await?;
            missing = missing.or(absent);
        }
        Ok(missing)
    }

    /// Tells the write-behind worker that a value is gone from Kiwi.
    fn report_missing(&self, (id, _): &RemoteValue) -> String {
        let reason = missing_value_message(id);
        self.losses.note(reason.clone());
        self.work.notify_one();
        reason
    }

    fn snapshot_values(&self) -> SnapshotValues {
        SnapshotValues {
            index: Arc::clone(&self.index),
            fetcher: self.fetcher.clone(),
            runtime: self.runtime.clone(),
            progress: self.gate.begin_scan(),
            losses: self.losses.clone(),
            store: self.index.store(),
            prefetched: RefCell::default(),
        }
    }

    /// Changes not yet on Kiwi; at least one while a flush is in progress.
    fn pending_changes(&self) -> usize {
        self.index.store().dirty_names().max(usize::from(!self.is_caught_up()))
    }

    fn is_lost(&self) -> Result<bool, StorageError> {
        Ok(self.index.store().worker_state()?.lost)
    }

    /// Gives the request in flight some time to complete, which needs a live runtime.
    fn stop_worker(&self) {
        self.stopping.store(true, Ordering::Release);
        self.work.notify_one();
        let Some(thread) = self.worker_thread.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            return;
        };
        blocking(|| {
            let deadline = Instant::now() + WORKER_SHUTDOWN;
            while !thread.is_finished() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(1));
            }
        });
    }

    /// The delay before a run retries. During shutdown it never ends: the run will be replayed from the log, and
    /// the runtime's clock may be gone.
    async fn pause(&self) {
        if self.stopping.load(Ordering::Acquire) {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(RETRY).await;
    }

    /// Reads from the index until nothing is missing that is on Kiwi.
    async fn read_with<T: Send>(
        &self,
        read: impl Fn(&Store, &ReadContext<'_>) -> Option<T> + Send + Sync,
    ) -> Result<T, Stop> {
        let mut context = ReadContext::new(&self.cache);
        let mut misses = MissCounter::default();
        loop {
            // The store is loaded before the flag is read: a store from before the rebuild began is still valid.
            let store = self.index.store();
            if self.rebuilding.load(Ordering::SeqCst) {
                return Err(LOADING);
            }
            if let Some(outcome) = read(&store, &context) {
                return Ok(outcome);
            }
            match self.fetch(&mut context).await {
                Ok(None) => {}
                Ok(Some(missing)) => {
                    if misses.is_exceeded(missing.clone()).await {
                        let reason = self.report_missing(&missing);
                        return Err(Stop::say(format!("ERR the storage has lost data: {reason}")));
                    }
                }
                Err(error) => return Err(Stop::say(format!("ERR {error}"))),
            }
        }
    }

    async fn backpressure(&self) {
        while self.index.store().dirty_names() > MAX_PENDING_CHANGES {
            self.pause().await;
        }
    }
}

impl Drop for KiwiAdapter {
    fn drop(&mut self) {
        self.stop_worker();
    }
}

fn failed(stop: Stop) -> ReadOutcome {
    ReadOutcome { reply: Reply::from_stop(stop), expired: Vec::new() }
}

#[async_trait]
impl Adapter for KiwiAdapter {
    fn reads_wait(&self) -> bool {
        true
    }

    fn applied(&self) -> Applied {
        self.index.applied()
    }

    async fn apply(&self, run: Run) -> Result<Vec<Vec<Reply>>, StorageError> {
        self.backpressure().await;
        let mut context = ReadContext::new(&self.cache);
        context.expect_many();
        let mut misses = MissCounter::default();
        loop {
            if let Some(replies) = applying(&run, || self.index.apply_with(&run, Some(&context)))? {
                self.work.notify_one();
                return Ok(replies);
            }
            // A committed run cannot be skipped: wait for Kiwi, or until it is certain that Kiwi has lost the
            // value.
            match self.fetch(&mut context).await {
                Ok(None) => {}
                Ok(Some(missing)) => {
                    if misses.is_exceeded(missing.clone()).await {
                        self.report_missing(&missing);
                    }
                }
                Err(error) if self.is_lost()? => return Err(StorageError::Lost(error.to_string())),
                Err(error) => {
                    tracing::debug!(%error, "a run waits for values");
                    self.pause().await;
                }
            }
        }
    }

    async fn stage(&self, arrived: LongArgument<'_>) -> Result<(), StorageError> {
        self.index.stage(arrived).await
    }

    async fn unstage(&self) -> Result<(), StorageError> {
        self.index.unstage().await
    }

    async fn read(&self, args: Vec<Bytes>, now_ms: u64) -> ReadOutcome {
        let read = self.read_with(|store, context| run_read(store, &args, now_ms, Some(context))).await;
        read.unwrap_or_else(failed)
    }

    async fn read_together(&self, calls: Vec<Vec<Bytes>>, now_ms: u64) -> Vec<ReadOutcome> {
        let read = self.read_with(|store, context| run_reads(store, &calls, now_ms, Some(context))).await;
        read.unwrap_or_else(|stop| {
            let reply = failed(stop).reply;
            let failed = |_| ReadOutcome { reply: reply.clone(), expired: Vec::new() };
            calls.iter().map(failed).collect()
        })
    }

    async fn due_keys(&self, now_ms: u64, limit: usize) -> Result<Vec<Bytes>, StorageError> {
        self.index.due_keys(now_ms, limit).await
    }

    async fn flush(&self) -> Result<Position, StorageError> {
        self.index.flush().await
    }

    fn snapshot(&self) -> Result<Box<dyn Snapshot>, StorageError> {
        let snapshot_values = self.snapshot_values();
        let taken = self.index.take_snapshot(Some(Box::new(move || Box::new(snapshot_values))))?;
        Ok(Box::new(taken))
    }

    async fn install(&self, stream: Box<dyn Read + Send>) -> Result<Applied, StorageError> {
        let applied = self.index.install(stream).await?;
        // Whatever was missing has been replaced.
        self.losses.take();
        self.work.notify_one();
        Ok(applied)
    }

    async fn digest(&self) -> Result<(Position, Digest), StorageError> {
        loop {
            let (snapshot_values, index) = (self.snapshot_values(), Arc::clone(&self.index));
            let digested = tokio::task::spawn_blocking(move || {
                let digest = index.digest_with(Some(&snapshot_values));
                (digest, snapshot_values.is_replaced())
            });
            match digested.await.map_err(StorageError::engine("make a digest"))? {
                // A snapshot was installed in the meantime: start over.
                (Err(StorageError::Lost(_)), true) => {}
                (digest, _) => return digest,
            }
        }
    }

    async fn lost(&self) -> String {
        let mut connection = self.connection.clone();
        loop {
            if let ConnectionState::Lost(reason) = &*connection.borrow_and_update()
                && self.is_lost().unwrap_or(false)
            {
                return reason.clone();
            }
            if connection.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    fn set_rebuilding(&self, rebuilding: bool) {
        self.rebuilding.store(rebuilding, Ordering::SeqCst);
    }

    async fn close(&self) {
        self.stop_worker();
    }

    fn import_source(&self) -> Option<Box<dyn ImportSource>> {
        Some(Box::new(self.import.clone()))
    }

    fn health(&self) -> Health {
        let bytes = self.index.health().bytes;
        let (ok, what) = match self.connection.borrow().trouble() {
            None if self.rebuilding.load(Ordering::SeqCst) => {
                (false, "it has lost data, and the node is being rebuilt".to_owned())
            }
            None => (true, format!("{} changes to be carried over", self.pending_changes())),
            Some(reason) => (false, self.import.progress.sentence().unwrap_or_else(|| reason.to_owned())),
        };
        Health { ok, detail: format!("Kiwi at {}; {what}", self.config.address), bytes }
    }

    fn facts(&self) -> Vec<Fact> {
        let connection = self.connection.borrow().clone();
        let instances = match connection {
            ConnectionState::Up(Capabilities { several_instances: true }) => "several",
            ConnectionState::Up(_) => "one",
            _ => "unknown",
        };
        let state = self.index.store().worker_state().unwrap_or_default();
        let (hits, misses, cached) = self.cache.counts();
        let Health { detail, bytes, .. } = self.health();
        vec![
            Fact::text("address", &*self.config.address),
            Fact::text("state", connection.state()),
            Fact::text("detail", detail),
            Fact::text("mode", if instances == "unknown" { "unknown" } else { "standalone" }),
            Fact::text("instances", instances),
            Fact::level("connections_limit", self.config.connections as u64),
            Fact::level("request_arguments_limit", SAFE_ARGS as u64),
            Fact::level("request_bytes_limit", SAFE_BYTES as u64),
            Fact::level("reply_bytes_limit", self.safe_reply as u64),
            Fact::level("pending_changes", self.pending_changes() as u64),
            Fact::level("pending_changes_limit", MAX_PENDING_CHANGES as u64),
            Fact::count("flushes", state.sequence),
            Fact::level("refilling", state.refill.is_some().into()),
            Fact::level("rebuilding", self.rebuilding.load(Ordering::SeqCst).into()),
            Fact::count("cache_hits", hits),
            Fact::count("cache_misses", misses),
            Fact::level("cache_bytes", cached),
            Fact::level("cache_bytes_limit", self.config.cache_size as u64),
            Fact::level("index_bytes", bytes),
        ]
    }
}
