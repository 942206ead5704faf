//! The data that a Kiwi has which belongs to no node yet, to be adopted by the cluster
//! ([`adoption`](crate::command::adoption)).
//!
//! It is only read, until all of it is in the log, applied here, and on disk. Then a mark on Kiwi says that this node
//! has adopted it ([`LoneData::hand_over`]); from there on the [carrier](super::carrier) may empty that Kiwi and fill it
//! with what it had, which comes back with the marks of waves and without deadlines of its own.

mod pages;
mod reader;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;

use super::client::{Client, Trouble};
use super::marks::{self, Marks};
use super::probe::{self, ProbeError};
use crate::RESERVED;
use crate::adapter::Adapter;
use crate::command::adoption::Op;
use crate::embedded::EmbeddedAdapter;
use crate::embedded::behind::{Carrier, Refill};
use crate::error::StorageError;
use crate::keyspace::Kind;
use reader::{Reader, Seen};

/// Every type that there is.
const KINDS: [Kind; 5] = [Kind::String, Kind::Hash, Kind::List, Kind::Set, Kind::SortedSet];
/// Keys that are read at once, at most.
const KEYS_AT_ONCE: usize = 128;

/// Why data is not adopted.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LoneError {
    /// Kiwi cannot be asked.
    #[error("the storage does not answer: {0}")]
    Trouble(String),
    /// There is nothing that could be adopted.
    #[error("{0}")]
    Nothing(String),
    /// Somebody writes to it.
    #[error("{0}; let nobody write to it meanwhile, and begin again")]
    Changed(String),
    /// It does not answer something whole.
    #[error("key '{key}': {reason}")]
    Unreadable {
        /// Which.
        key: String,
        /// Why.
        reason: String,
    },
    /// The index beside has failed.
    #[error(transparent)]
    Index(#[from] StorageError),
    /// Whoever took the data has gone.
    #[error("it was broken off")]
    BrokenOff,
}

impl From<ProbeError> for LoneError {
    fn from(error: ProbeError) -> Self {
        match error {
            ProbeError::Trouble(trouble) => trouble.into(),
            ProbeError::Unfit(reason) => Self::Nothing(reason),
        }
    }
}

impl From<Trouble> for LoneError {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble.to_string())
    }
}

/// How far it is.
#[derive(Debug, Default)]
pub(super) struct Progress {
    runs: AtomicBool,
    keys: AtomicU64,
    bytes: AtomicU64,
}

impl Progress {
    /// A sentence, while something is read.
    pub(super) fn sentence(&self) -> Option<String> {
        let (keys, bytes) = (self.keys.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed));
        self.runs
            .load(Ordering::Relaxed)
            .then(|| format!("its data is being adopted: {keys} keys, {bytes} bytes so far"))
    }
}

/// The data of a Kiwi that no node has marked. Cheap to clone.
#[derive(Clone)]
pub struct LoneData {
    pub(super) client: Arc<Client>,
    pub(super) index: Arc<EmbeddedAdapter>,
    pub(super) connections: usize,
    pub(super) progress: Arc<Progress>,
    /// Tells the carrier.
    pub(super) work: Arc<Notify>,
}

impl LoneData {
    /// Makes sure that there is data, and nobody's; and that from here on this node's changes need not be noted for
    /// Kiwi one by one: it will be filled anew, whatever becomes of the adoption.
    pub async fn prepare(&self) -> Result<(), LoneError> {
        probe::refuse_raft_mode(&self.client).await?;
        let carrier = self.index.store().carrier()?;
        if carrier.owner == 0 {
            return Err(LoneError::Trouble("it has not been looked at yet".to_owned()));
        }
        let address = self.client.address();
        match marks::read(&self.client, &carrier).await? {
            Marks::Unmarked(_) | Marks::Adopted(_) => {}
            Marks::Empty => {
                return Err(LoneError::Nothing(format!("{address} is empty: there is nothing to adopt")));
            }
            Marks::Ours => {
                return Err(LoneError::Nothing(format!(
                    "{address} is this node's already: there is nothing to adopt"
                )));
            }
            Marks::Behind(reason) | Marks::Ahead(reason) | Marks::Foreign(reason) => {
                return Err(LoneError::Nothing(reason));
            }
        }
        self.expect_refill()?;
        Ok(())
    }

    fn expect_refill(&self) -> Result<(), StorageError> {
        let store = self.index.store();
        let carrier = store.carrier()?;
        store.set_carrier(&Carrier { refill: Some(Refill::default()), lost: false, ..carrier })?;
        self.work.notify_one();
        Ok(())
    }

    /// Reads everything, and then once more, without the values, to see whether somebody writes to it. Pieces of one key
    /// come in their order. Answers how many keys there were.
    pub async fn read(&self, pieces: mpsc::Sender<Op>) -> Result<u64, LoneError> {
        self.progress.runs.store(true, Ordering::Relaxed);
        self.progress.keys.store(0, Ordering::Relaxed);
        self.progress.bytes.store(0, Ordering::Relaxed);
        let read = self.read_twice(pieces).await;
        self.progress.runs.store(false, Ordering::Relaxed);
        read
    }

    async fn read_twice(&self, pieces: mpsc::Sender<Op>) -> Result<u64, LoneError> {
        let reader = Reader::new(Arc::clone(&self.client), Arc::clone(&self.progress));
        let first = self.pass(&reader, Some(&pieces)).await?;
        drop(pieces);
        let second = self.pass(&reader, None).await?;
        let all = reader.count().await?;
        if !first.is_still(&second) {
            return Err(LoneError::Changed(format!(
                "{} has changed while it was read",
                self.client.address()
            )));
        }
        if all > second.keys() {
            if let Some((key, kind)) = reader.odd_one().await? {
                let reason = format!("it is of type {kind}, which cannot be adopted");
                return Err(LoneError::Unreadable { key, reason });
            }
            return Err(LoneError::Changed(format!("{} has got new keys", self.client.address())));
        }
        Ok(first.keys())
    }

    /// Looks at every key, and reads its content if that is wanted.
    async fn pass(&self, reader: &Reader, pieces: Option<&mpsc::Sender<Op>>) -> Result<Totals, LoneError> {
        let mut totals = Totals::default();
        let mut reading = JoinSet::new();
        for kind in KINDS {
            let mut cursor = b"0".to_vec();
            loop {
                let (next, keys) = reader.scan(&cursor, Some(kind)).await?;
                for key in keys.into_iter().filter(|key| !key.starts_with(RESERVED)) {
                    if reading.len() >= KEYS_AT_ONCE.min(self.connections) {
                        totals.add_read(reading.join_next().await)?;
                    }
                    let (reader, pieces) = (reader.clone(), pieces.cloned());
                    reading.spawn(async move { reader.key(kind, key, pieces).await });
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

    /// Says on Kiwi that its data is this node's, which gives it to the carrier. Only when all of it is applied here:
    /// that is made durable first. May be repeated.
    pub async fn hand_over(&self) -> Result<(), LoneError> {
        let carrier = self.index.store().carrier()?;
        let found = marks::read(&self.client, &carrier).await?;
        if !matches!(found, Marks::Unmarked(_) | Marks::Adopted(_)) {
            return Ok(());
        }
        self.index.flush().await?;
        marks::set_adopted(&self.client, &carrier).await?;
        self.expect_refill()?;
        Ok(())
    }
}

/// What a pass has seen. Keys with deadlines may go meanwhile.
#[derive(Debug, Default, PartialEq, Eq)]
struct Totals {
    lasting: u64,
    /// The sum of the hashes of what is known of each.
    sum: u128,
    passing: u64,
}

impl Totals {
    fn add_read(
        &mut self,
        read: Option<Result<Result<Option<Seen>, LoneError>, tokio::task::JoinError>>,
    ) -> Result<(), LoneError> {
        let Some(read) = read else { return Ok(()) };
        match read.map_err(|_| LoneError::BrokenOff)?? {
            None => {}
            Some(Seen { has_deadline: true, .. }) => self.passing += 1,
            Some(seen) => {
                self.lasting += 1;
                self.sum = self.sum.wrapping_add(seen.hash());
            }
        }
        Ok(())
    }

    fn keys(&self) -> u64 {
        self.lasting + self.passing
    }

    fn is_still(&self, later: &Self) -> bool {
        self.lasting == later.lasting && self.sum == later.sum && later.passing <= self.passing
    }
}
