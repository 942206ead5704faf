//! The adapter: runs and reads over the index, again when what they lack was fetched.

use std::cell::RefCell;
use std::io::Read;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use conf::Storage;
use tokio::runtime::Handle;
use tokio::sync::{Notify, RwLock, watch};

use super::at_hand::{AtHand, ValueCache};
use super::carrier::Hauler;
use super::client::{Client, Target};
use super::command::{SAFE_ARGS, SAFE_BYTES};
use super::fetch::{FetchError, Fetcher};
use super::link::{Link, Missed, missing};
use super::lone::LoneData;
use super::plan::Lengths;
use super::probe::Probed;
use super::stream::{Freezes, Streaming};
use crate::adapter::{Adapter, Applied, Fact, Health, Position, ReadOutcome, Run};
use crate::command::adoption::LOADING;
use crate::embedded::behind::Carrier;
use crate::embedded::engine::{applying, blocking, run_read};
use crate::embedded::source::Need;
use crate::embedded::{EmbeddedAdapter, FrozenStore, OpenError};
use crate::error::{Stop, StorageError};
use crate::reply::Reply;
use crate::snapshot::Digest;

/// How long a run waits before it asks again for values that could not be fetched.
const RETRY: Duration = Duration::from_millis(50);
/// Rounds in which one and the same value is not found before it counts as lost: in one or two it may just have changed.
const MISSING_ROUNDS: u32 = 20;
/// A run waits while more names of changes than this have not been carried over. The journal holds them, some 40 bytes of
/// disk each.
const MOST_WAITING: usize = 10_000_000;

/// How long a request to Kiwi that is under way is waited for at the end.
const HAULING_ENDS: Duration = Duration::from_secs(3);

/// Keys in an index beside Kiwi, values on Kiwi.
pub struct KiwiAdapter {
    index: Arc<EmbeddedAdapter>,
    cache: Arc<ValueCache>,
    fetcher: Fetcher,
    link: watch::Receiver<Link>,
    work: Arc<Notify>,
    stopping: Arc<AtomicBool>,
    busy: Arc<AtomicBool>,
    hauling: Mutex<Option<JoinHandle<()>>>,
    config: Storage,
    safe_reply: usize,
    runtime: Handle,
    freezes: Freezes,
    missed: Missed,
    /// The content is at an earlier position than reads have seen.
    rebuilding: AtomicBool,
    lone: LoneData,
}

/// Counts the rounds in which a run has lacked the same value.
#[derive(Default)]
struct Patience {
    missing: Option<Need>,
    rounds: u32,
}

impl Patience {
    /// Takes in what was missing in a round. Answers whether the same has been missing for too long.
    async fn is_over(&mut self, missing: Need) -> bool {
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
    /// Opens the index in a directory of its own, or makes it there, and begins to look for Kiwi. Must be called on a
    /// runtime, which must outlive the adapter.
    ///
    /// With `wal`, every applied run is durable, in the index, when `apply` answers: for use without a Raft log.
    pub fn open(dir: &Path, config: &Storage, wal: bool) -> Result<Self, OpenError> {
        let index = Arc::new(EmbeddedAdapter::open_journaled(dir, config, wal)?);
        let cache = Arc::new(ValueCache::new(config.cache_size));
        let client = Arc::new(Client::new(Target {
            address: config.address.clone(),
            username: config.username.clone(),
            password: config.password.clone(),
            connections: config.connections,
            timeout: config.timeout,
        }));
        let (link, linked) = watch::channel(Link::Down(format!("connecting to {}", config.address)));
        let lists = Arc::new(RwLock::new(()));
        let fetcher = Fetcher::new(
            Arc::clone(&client),
            Arc::clone(&index),
            linked.clone(),
            Arc::clone(&cache),
            Arc::clone(&lists),
            config.hurry,
        );
        let busy = Arc::new(AtomicBool::new(false));
        let (work, stopping) = (Arc::new(Notify::new()), Arc::new(AtomicBool::new(false)));
        let (freezes, missed) = (Freezes::default(), Missed::default());
        let safe_reply = client.safe_reply();
        let lengths = Lengths { keep: config.keep_values, reply: safe_reply };
        let lone = LoneData {
            client: Arc::clone(&client),
            index: Arc::clone(&index),
            connections: config.connections,
            progress: Arc::default(),
            work: Arc::clone(&work),
        };
        let hauler = Hauler {
            freezes: freezes.clone(),
            missed: missed.clone(),
            client,
            index: Arc::clone(&index),
            cache: Arc::clone(&cache),
            link,
            lists,
            work: Arc::clone(&work),
            stopping: Arc::clone(&stopping),
            busy: Arc::clone(&busy),
            settle_time: config.settle_time,
            lengths,
            runtime: Handle::current(),
        };
        let hauling = std::thread::Builder::new().name("kiwi".to_owned()).spawn(move || hauler.run());
        let hauling = hauling.map_err(StorageError::engine("start a thread"))?;
        Ok(Self {
            index,
            cache,
            fetcher,
            link: linked,
            work,
            stopping,
            busy,
            hauling: Mutex::new(Some(hauling)),
            config: config.clone(),
            safe_reply,
            runtime: Handle::current(),
            freezes,
            missed,
            rebuilding: AtomicBool::new(false),
            lone,
        })
    }

    /// Whether everything that was applied is on Kiwi.
    pub fn is_carried_over(&self) -> bool {
        let store = self.index.store();
        let is_idle = || !self.busy.load(Ordering::Acquire);
        is_idle()
            && !store.has_changes()
            && is_idle()
            && matches!(store.carrier(), Ok(Carrier { refill: None, .. }))
    }

    /// Fetches what a run has lacked, for the next try. Answers a value that was not found, if there is one.
    async fn fetch(&self, hand: &mut AtHand<'_>) -> Result<Option<Need>, FetchError> {
        let (needs, wholes) = (hand.take_needs(), hand.take_wholes());
        let mut missing = None;
        if !needs.is_empty() {
            for (need, value) in self.fetcher.fetch(needs).await? {
                match value {
                    Some(value) => hand.add(need, value),
                    None => missing = missing.or(Some(need)),
                }
            }
        }
        for whole in &wholes {
            let away = self.fetcher.bring_home(whole).await?;
            missing = missing.or(away);
        }
        Ok(missing)
    }

    /// Has whoever carries changes over act on a value that is gone.
    fn miss(&self, (place, _): &Need) -> String {
        let reason = missing(place);
        self.missed.note(reason.clone());
        self.work.notify_one();
        reason
    }

    pub(crate) fn frozen(&self) -> Result<FrozenStore, StorageError> {
        let walk = self.walk();
        self.index.freeze_with(Some(Box::new(move || Box::new(walk))))
    }

    fn walk(&self) -> Streaming {
        Streaming {
            index: Arc::clone(&self.index),
            fetcher: self.fetcher.clone(),
            runtime: self.runtime.clone(),
            passed: self.freezes.begin(),
            missed: self.missed.clone(),
            store: self.index.store(),
            ahead: RefCell::default(),
        }
    }

    /// How many changes have not arrived on Kiwi; at least one while a wave is on its way.
    fn waiting(&self) -> usize {
        self.index.store().waiting().max(usize::from(!self.is_carried_over()))
    }

    fn is_lost(&self) -> Result<bool, StorageError> {
        Ok(self.index.store().carrier()?.lost)
    }

    /// Lets the request under way be answered, for a while. That needs a runtime that runs.
    fn stop_hauling(&self) {
        self.stopping.store(true, Ordering::Release);
        self.work.notify_one();
        let Some(thread) = self.hauling.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        blocking(|| {
            let deadline = Instant::now() + HAULING_ENDS;
            while !thread.is_finished() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(1));
            }
        });
    }

    /// The wait of a run before it asks again. At the end of the process it is for ever: the run is applied again from
    /// the log, and there may be no clock any more.
    async fn pause(&self) {
        if self.stopping.load(Ordering::Acquire) {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(RETRY).await;
    }

    async fn backpressure(&self) {
        while self.index.store().waiting() > MOST_WAITING {
            self.pause().await;
        }
    }
}

impl Drop for KiwiAdapter {
    fn drop(&mut self) {
        self.stop_hauling();
    }
}

impl Adapter for KiwiAdapter {
    fn reads_wait(&self) -> bool {
        true
    }

    fn applied(&self) -> Applied {
        self.index.applied()
    }

    async fn apply(&self, run: Run) -> Result<Vec<Vec<Reply>>, StorageError> {
        self.backpressure().await;
        let mut hand = AtHand::new(&self.cache);
        hand.expect_many();
        let mut patience = Patience::default();
        loop {
            if let Some(replies) = applying(&run, || self.index.apply_with(&run, Some(&hand)))? {
                self.work.notify_one();
                return Ok(replies);
            }
            // The run cannot be left out: it waits for Kiwi, or until it is known that Kiwi does not have what it needs.
            match self.fetch(&mut hand).await {
                Ok(None) => {}
                Ok(Some(missing)) => {
                    if patience.is_over(missing.clone()).await {
                        self.miss(&missing);
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

    async fn read(&self, args: Vec<Bytes>, now_ms: u64) -> ReadOutcome {
        let failed = |stop: Stop| ReadOutcome { reply: Reply::from_stop(stop), expired: Vec::new() };
        let mut hand = AtHand::new(&self.cache);
        let mut patience = Patience::default();
        loop {
            // In this order: a store from before the content went back is a good one.
            let store = self.index.store();
            if self.rebuilding.load(Ordering::SeqCst) {
                return failed(LOADING);
            }
            if let Some(outcome) = run_read(&store, &args, now_ms, Some(&hand)) {
                return outcome;
            }
            match self.fetch(&mut hand).await {
                Ok(None) => {}
                Ok(Some(missing)) => {
                    if patience.is_over(missing.clone()).await {
                        let reason = self.miss(&missing);
                        return failed(Stop::say(format!("ERR the storage has lost data: {reason}")));
                    }
                }
                Err(error) => return failed(Stop::say(format!("ERR {error}"))),
            }
        }
    }

    async fn due_keys(&self, now_ms: u64, limit: usize) -> Result<Vec<Bytes>, StorageError> {
        self.index.due_keys(now_ms, limit).await
    }

    async fn flush(&self) -> Result<Position, StorageError> {
        self.index.flush().await
    }

    fn freeze(&self) -> Result<impl crate::Frozen + 'static, StorageError> {
        self.frozen()
    }

    async fn install(&self, stream: impl Read + Send + 'static) -> Result<Applied, StorageError> {
        let applied = self.index.install(stream).await?;
        // What was missing is not needed any more.
        self.missed.take();
        self.work.notify_one();
        Ok(applied)
    }

    async fn digest(&self) -> Result<(Position, Digest), StorageError> {
        loop {
            let (walk, index) = (self.walk(), Arc::clone(&self.index));
            let walked = tokio::task::spawn_blocking(move || {
                let digest = index.digest_with(Some(&walk));
                (digest, walk.is_replaced())
            });
            match walked.await.map_err(StorageError::engine("make a digest"))? {
                // A snapshot was installed meanwhile.
                (Err(StorageError::Lost(_)), true) => {}
                (digest, _) => return digest,
            }
        }
    }

    async fn lost(&self) -> String {
        let mut link = self.link.clone();
        loop {
            if let Link::Lost(reason) = &*link.borrow_and_update()
                && self.is_lost().unwrap_or(false)
            {
                return reason.clone();
            }
            if link.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    fn set_rebuilding(&self, rebuilding: bool) {
        self.rebuilding.store(rebuilding, Ordering::SeqCst);
    }

    async fn close(&self) {
        self.stop_hauling();
    }

    fn lone_data(&self) -> Option<LoneData> {
        Some(self.lone.clone())
    }

    fn health(&self) -> Health {
        let bytes = self.index.health().bytes;
        let (ok, what) = match self.link.borrow().check() {
            Ok(()) if self.rebuilding.load(Ordering::SeqCst) => {
                (false, "it has lost data, and the node is being rebuilt".to_owned())
            }
            Ok(()) => (true, format!("{} changes to be carried over", self.waiting())),
            Err(reason) => (false, self.lone.progress.sentence().unwrap_or(reason)),
        };
        Health { ok, detail: format!("Kiwi at {}; {what}", self.config.address), bytes }
    }

    fn facts(&self) -> Vec<Fact> {
        let link = self.link.borrow().clone();
        let instances = match link {
            Link::Up(Probed { several_instances: true }) => "several",
            Link::Up(_) => "one",
            _ => "unknown",
        };
        let carrier = self.index.store().carrier().unwrap_or_default();
        let (hits, misses, cached) = self.cache.counts();
        let Health { detail, bytes, .. } = self.health();
        vec![
            Fact::text("address", &*self.config.address),
            Fact::text("state", link.state()),
            Fact::text("detail", detail),
            Fact::text("mode", if instances == "unknown" { "unknown" } else { "standalone" }),
            Fact::text("instances", instances),
            Fact::level("connections_limit", self.config.connections as u64),
            Fact::level("request_arguments_limit", SAFE_ARGS as u64),
            Fact::level("request_bytes_limit", SAFE_BYTES as u64),
            Fact::level("reply_bytes_limit", self.safe_reply as u64),
            Fact::level("waiting_changes", self.waiting() as u64),
            Fact::level("waiting_changes_limit", MOST_WAITING as u64),
            Fact::count("waves", carrier.wave),
            Fact::level("refilling", carrier.refill.is_some().into()),
            Fact::level("rebuilding", self.rebuilding.load(Ordering::SeqCst).into()),
            Fact::count("cache_hits", hits),
            Fact::count("cache_misses", misses),
            Fact::level("cache_bytes", cached),
            Fact::level("cache_bytes_limit", self.config.cache_size as u64),
            Fact::level("index_bytes", bytes),
        ]
    }
}
