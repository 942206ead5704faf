//! Importing the data of a Kiwi that no node owns yet into the cluster ([`adoption`](crate::command::adoption)).
//!
//! The data is only read until all of it is in the log, applied here, and durable. Then a marker on Kiwi says that
//! this node has adopted it ([`ImportSource::hand_over`]). From there on the [write-behind
//! worker](super::write_behind) may empty that Kiwi and refill it from the index; the data comes back with
//! ownership markers, and without expiry times on Kiwi's side.

mod pages;
mod scan;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;

use super::client::{Client, RequestError};
use super::compatibility::{self, ProbeError};
use super::ownership::{self, Ownership};
use crate::RESERVED;
use crate::adapter::Adapter;
use crate::command::adoption::Op;
use crate::embedded::EmbeddedAdapter;
use crate::embedded::offload::worker_state::{Refill, WorkerState};
use crate::error::StorageError;
use crate::import_source::{ImportError, ImportSource};
use crate::keyspace::Kind;
use scan::{ScannedKey, Scanner};

/// All data types.
const KINDS: [Kind; 5] = [Kind::String, Kind::Hash, Kind::List, Kind::Set, Kind::SortedSet];
/// Keys read concurrently at most.
const KEYS_AT_ONCE: usize = 128;

impl From<ProbeError> for ImportError {
    fn from(error: ProbeError) -> Self {
        match error {
            ProbeError::Request(failure) => failure.into(),
            ProbeError::Incompatible(reason) => Self::NothingToImport(reason),
        }
    }
}

impl From<RequestError> for ImportError {
    fn from(failure: RequestError) -> Self {
        Self::Unreachable(failure.to_string())
    }
}

/// Progress of an import.
#[derive(Debug, Default)]
pub(super) struct Progress {
    is_running: AtomicBool,
    keys: AtomicU64,
    bytes: AtomicU64,
}

impl Progress {
    /// A sentence for operators while an import is running.
    pub(super) fn sentence(&self) -> Option<String> {
        let (keys, bytes) = (self.keys.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed));
        self.is_running
            .load(Ordering::Relaxed)
            .then(|| format!("its data is being adopted: {keys} keys, {bytes} bytes so far"))
    }
}

/// The import from a Kiwi that carries no ownership markers. Cheap to clone.
#[derive(Clone)]
pub(super) struct KiwiImport {
    pub(super) client: Arc<Client>,
    pub(super) index: Arc<EmbeddedAdapter>,
    pub(super) connections: usize,
    pub(super) progress: Arc<Progress>,
    /// Wakes the write-behind worker.
    pub(super) work: Arc<Notify>,
}

#[async_trait]
impl ImportSource for KiwiImport {
    async fn prepare(&self) -> Result<(), ImportError> {
        compatibility::refuse_raft_mode(&self.client).await?;
        let state = self.index.store().worker_state()?;
        if state.owner == 0 {
            return Err(ImportError::Unreachable("it has not been looked at yet".to_owned()));
        }
        let address = self.client.address();
        match ownership::read(&self.client, &state).await? {
            Ownership::Unmarked(_) | Ownership::Adopted(_) => {}
            Ownership::Empty => {
                return Err(ImportError::NothingToImport(format!(
                    "{address} is empty: there is nothing to adopt"
                )));
            }
            Ownership::Ours => {
                return Err(ImportError::NothingToImport(format!(
                    "{address} is this node's already: there is nothing to adopt"
                )));
            }
            Ownership::Behind(reason) | Ownership::Ahead(reason) | Ownership::Foreign(reason) => {
                return Err(ImportError::NothingToImport(reason));
            }
        }
        self.request_refill()?;
        Ok(())
    }

    async fn read(&self, pieces: mpsc::Sender<Op>) -> Result<u64, ImportError> {
        self.progress.is_running.store(true, Ordering::Relaxed);
        self.progress.keys.store(0, Ordering::Relaxed);
        self.progress.bytes.store(0, Ordering::Relaxed);
        let read = self.read_twice(pieces).await;
        self.progress.is_running.store(false, Ordering::Relaxed);
        read
    }

    async fn hand_over(&self) -> Result<(), ImportError> {
        let state = self.index.store().worker_state()?;
        let found = ownership::read(&self.client, &state).await?;
        if !matches!(found, Ownership::Unmarked(_) | Ownership::Adopted(_)) {
            return Ok(());
        }
        self.index.flush().await?;
        ownership::set_adopted(&self.client, &state).await?;
        self.request_refill()?;
        Ok(())
    }
}

impl KiwiImport {
    fn request_refill(&self) -> Result<(), StorageError> {
        let store = self.index.store();
        let state = store.worker_state()?;
        store.set_worker_state(&WorkerState { refill: Some(Refill::default()), lost: false, ..state })?;
        self.work.notify_one();
        Ok(())
    }

    async fn read_twice(&self, pieces: mpsc::Sender<Op>) -> Result<u64, ImportError> {
        let scanner = Scanner::new(Arc::clone(&self.client), Arc::clone(&self.progress));
        let first = self.scan_all(&scanner, Some(&pieces)).await?;
        drop(pieces);
        let second = self.scan_all(&scanner, None).await?;
        let all = scanner.count().await?;
        if !first.matches(&second) {
            return Err(ImportError::Changed(format!(
                "{} has changed while it was read",
                self.client.address()
            )));
        }
        if all > second.keys() {
            if let Some((key, kind)) = scanner.unsupported_key().await? {
                let reason = format!("it is of type {kind}, which cannot be adopted");
                return Err(ImportError::Unreadable { key, reason });
            }
            return Err(ImportError::Changed(format!("{} has got new keys", self.client.address())));
        }
        Ok(first.keys())
    }

    /// Looks at every key, and reads the contents too if `pieces` is given.
    async fn scan_all(
        &self,
        scanner: &Scanner,
        pieces: Option<&mpsc::Sender<Op>>,
    ) -> Result<Totals, ImportError> {
        let mut totals = Totals::default();
        let mut reading = JoinSet::new();
        for kind in KINDS {
            let mut cursor = b"0".to_vec();
            loop {
                let (next, keys) = scanner.scan(&cursor, Some(kind)).await?;
                for key in keys.into_iter().filter(|key| !key.starts_with(RESERVED)) {
                    if reading.len() >= KEYS_AT_ONCE.min(self.connections) {
                        totals.add_read(reading.join_next().await)?;
                    }
                    let (scanner, pieces) = (scanner.clone(), pieces.cloned());
                    reading.spawn(async move { scanner.key(kind, key, pieces).await });
                }
                cursor = next;
                if cursor == b"0" {
                    break;
                }
            }
        }
        while let Some(read) = reading.join_next().await {
            totals.add_read(Some(read))?;
        }
        Ok(totals)
    }
}

/// What one pass has seen. Keys with a deadline may expire between passes.
#[derive(Debug, Default, PartialEq, Eq)]
struct Totals {
    persistent: u64,
    /// The sum of the hashes of the persistent keys.
    sum: u128,
    expiring: u64,
}

impl Totals {
    fn add_read(
        &mut self,
        read: Option<Result<Result<Option<ScannedKey>, ImportError>, tokio::task::JoinError>>,
    ) -> Result<(), ImportError> {
        let Some(read) = read else { return Ok(()) };
        match read.map_err(|_| ImportError::BrokenOff)?? {
            None => {}
            Some(ScannedKey { has_deadline: true, .. }) => self.expiring += 1,
            Some(scanned_key) => {
                self.persistent += 1;
                self.sum = self.sum.wrapping_add(scanned_key.hash());
            }
        }
        Ok(())
    }

    fn keys(&self) -> u64 {
        self.persistent + self.expiring
    }

    fn matches(&self, later: &Self) -> bool {
        self.persistent == later.persistent && self.sum == later.sum && later.expiring <= self.expiring
    }
}
