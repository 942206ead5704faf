//! The adapter: runs and reads over the index, again when what they lack was fetched.

use std::io::Read;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use conf::Storage;
use tokio::runtime::Handle;
use tokio::sync::{Notify, RwLock, watch};

use super::at_hand::{AtHand, ValueCache};
use super::carrier::Hauler;
use super::client::{Client, Target};
use super::fetch::{FetchError, Fetcher};
use super::link::Link;
use super::plan::Lengths;
use super::stream::{Freezes, Streaming};
use crate::adapter::{Adapter, Applied, Health, Position, ReadOutcome, Run};
use crate::embedded::MakeElsewhere;
use crate::embedded::behind::Carrier;
use crate::embedded::engine::{blocking, run_read};
use crate::embedded::{EmbeddedAdapter, OpenError};
use crate::error::{Stop, StorageError};
use crate::reply::Reply;
use crate::snapshot::Digest;

/// How long a run waits before it asks again for values that could not be fetched.
const RETRY: Duration = Duration::from_millis(50);
/// Rounds in which a value was found to be another one before that is an error: a list's elements move.
const WRONG_ROUNDS: usize = 20;
/// A run waits while more changes than this have not been carried over.
const MOST_WAITING: usize = 500_000;

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
    address: String,
    runtime: Handle,
    freezes: Freezes,
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
        let freezes = Freezes::default();
        let lengths = Lengths { keep: config.keep_values, reply: client.safe_reply() };
        let hauler = Hauler {
            freezes: freezes.clone(),
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
            address: config.address.clone(),
            runtime: Handle::current(),
            freezes,
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

    /// Fetches what a run has lacked, for the next try. Answers whether all of it was found.
    async fn fetch(&self, hand: &mut AtHand<'_>) -> Result<bool, FetchError> {
        let (needs, wholes) = (hand.take_needs(), hand.take_wholes());
        let mut all = true;
        if !needs.is_empty() {
            for (need, value) in self.fetcher.fetch(needs).await? {
                match value {
                    Some(value) => hand.add(need, value),
                    None => all = false,
                }
            }
        }
        for whole in &wholes {
            self.fetcher.bring_home(whole).await?;
        }
        Ok(all)
    }

    async fn backpressure(&self) {
        while self.index.store().waiting() > MOST_WAITING {
            tokio::time::sleep(RETRY).await;
        }
    }
}

fn not_what_it_should_be() -> StorageError {
    StorageError::Corrupt("Kiwi does not have the values that it was given".to_owned())
}

impl Drop for KiwiAdapter {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Release);
        self.work.notify_one();
        if let Some(thread) = self.hauling.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // It ends by itself; a panic of it has been reported.
            let _ = blocking(|| thread.join());
        }
    }
}

impl Adapter for KiwiAdapter {
    const READS_WAIT: bool = true;

    fn applied(&self) -> Applied {
        self.index.applied()
    }

    async fn apply(&self, run: Run) -> Result<Vec<Vec<Reply>>, StorageError> {
        self.backpressure().await;
        let mut hand = AtHand::new(&self.cache);
        hand.expect_many();
        let mut wrong = 0;
        loop {
            if let Some(replies) = blocking(|| self.index.apply_with(&run, Some(&hand)))? {
                self.work.notify_one();
                return Ok(replies);
            }
            match self.fetch(&mut hand).await {
                Ok(true) => {}
                Ok(false) => wrong += 1,
                // The run cannot be left out: it waits for Kiwi.
                Err(error) => {
                    tracing::debug!(%error, "a run waits for values");
                    tokio::time::sleep(RETRY).await;
                }
            }
            if wrong > WRONG_ROUNDS {
                return Err(not_what_it_should_be());
            }
        }
    }

    async fn read(&self, args: Vec<Bytes>, now_ms: u64) -> ReadOutcome {
        let failed = |stop: Stop| ReadOutcome { reply: Reply::from_stop(stop), expired: Vec::new() };
        let mut hand = AtHand::new(&self.cache);
        let mut wrong = 0;
        loop {
            if let Some(outcome) = run_read(&self.index.store(), &args, now_ms, Some(&hand)) {
                return outcome;
            }
            match self.fetch(&mut hand).await {
                Ok(true) => {}
                Ok(false) => wrong += 1,
                Err(error) => return failed(Stop::say(format!("ERR {error}"))),
            }
            if wrong > WRONG_ROUNDS {
                return failed(Stop::Storage(not_what_it_should_be()));
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
        let (index, fetcher) = (Arc::clone(&self.index), self.fetcher.clone());
        let (runtime, passed) = (self.runtime.clone(), self.freezes.begin());
        let make: MakeElsewhere = Box::new(move || Box::new(Streaming::new(index, fetcher, runtime, passed)));
        self.index.freeze_with(Some(make))
    }

    async fn install(&self, stream: impl Read + Send + 'static) -> Result<Applied, StorageError> {
        let applied = self.index.install(stream).await?;
        self.work.notify_one();
        Ok(applied)
    }

    async fn digest(&self) -> Result<(Position, Digest), StorageError> {
        let (index, fetcher) = (Arc::clone(&self.index), self.fetcher.clone());
        let (runtime, passed) = (self.runtime.clone(), self.freezes.begin());
        let digest = tokio::task::spawn_blocking(move || {
            let streaming = Streaming::new(Arc::clone(&index), fetcher, runtime, passed);
            index.digest_with(Some(&streaming))
        });
        digest.await.map_err(StorageError::engine("make a digest"))?
    }

    fn health(&self) -> Health {
        let bytes = self.index.health().bytes;
        let (hits, misses, cached) = self.cache.counts();
        let waiting = self.index.store().waiting().max(usize::from(!self.is_carried_over()));
        match self.link.borrow().check() {
            Ok(()) => Health {
                ok: true,
                detail: format!(
                    "Kiwi at {}; {waiting} changes to be carried over; cache: {cached} bytes, {hits} hits, {misses} misses",
                    self.address
                ),
                bytes,
            },
            Err(reason) => Health { ok: false, detail: format!("Kiwi at {}: {reason}", self.address), bytes },
        }
    }
}
