//! The content between two runs: now, for a backup, or when a certain index is reached, to compare replicas.
//!
//! Whoever applies holds the turn, ends a run at every index that [`Checkpointer::is_awaited`], and tells with
//! [`Checkpointer::reached`] how far it is. So the digest at an index is that of exactly this index, also under load.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use adapter::snapshot::{Digest, Origin};
use adapter::{Adapter, Snapshot, StorageError};
use tokio::sync::{OwnedMutexGuard, oneshot};
use tokio::time::timeout;

/// The most indices that are awaited at once.
pub const MOST_AWAITED: usize = 16;

/// Why there is no digest at an index.
#[derive(Debug, thiserror::Error)]
pub enum DigestError {
    /// The node has moved on.
    #[error("this node has applied {applied} already; ask for an index ahead of that")]
    Passed {
        /// How far it is.
        applied: u64,
    },
    /// The node has not come that far in time.
    #[error("this node has applied {applied} so far, not {index}")]
    Late {
        /// How far it is.
        applied: u64,
        /// What was asked for.
        index: u64,
    },
    /// The bound is reached.
    #[error("digests at {MOST_AWAITED} indices are awaited already")]
    Busy,
    /// The storage failed.
    #[error("{0}")]
    Storage(#[from] StorageError),
}

/// Makes the digest of a snapshot. Blocking.
type Seal = Box<dyn FnOnce() -> Result<Digest, StorageError> + Send>;

struct Awaited {
    index: u64,
    tell: oneshot::Sender<Result<Seal, DigestError>>,
}

/// Takes snapshots of an adapter's content while nothing is being applied.
pub struct Checkpointer {
    adapter: Arc<dyn Adapter>,
    turn: Arc<tokio::sync::Mutex<()>>,
    awaited: Mutex<Vec<Awaited>>,
}

impl Checkpointer {
    /// `turn` is held by whoever changes the adapter.
    pub fn new(adapter: Arc<dyn Adapter>, turn: Arc<tokio::sync::Mutex<()>>) -> Self {
        Self { adapter, turn, awaited: Mutex::default() }
    }

    /// Nothing else changes the adapter while this is held.
    pub async fn turn(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.turn).lock_owned().await
    }

    /// A snapshot of the present content.
    pub async fn snapshot(&self) -> Result<Box<dyn Snapshot>, StorageError> {
        let _turn = self.turn().await;
        self.adapter.snapshot()
    }

    /// The digest of the content at exactly this index, which is waited for.
    pub async fn digest_at(&self, index: u64, patience: Duration) -> Result<Digest, DigestError> {
        let seal = match self.await_index(index).await? {
            Ok(seal) => seal,
            Err(told) => match timeout(patience, told).await {
                Ok(Ok(seal)) => seal?,
                // The other end is kept until it is told, or all ends.
                Ok(Err(_)) | Err(_) => return Err(DigestError::Late { applied: self.applied(), index }),
            },
        };
        let digest = tokio::task::spawn_blocking(seal).await;
        Ok(digest.map_err(StorageError::engine("make a digest"))??)
    }

    /// Takes the snapshot at once if the storage is there, else answers who will tell.
    async fn await_index(
        &self,
        index: u64,
    ) -> Result<Result<Seal, oneshot::Receiver<Result<Seal, DigestError>>>, DigestError> {
        let _turn = self.turn().await;
        let applied = self.applied();
        if applied > index {
            return Err(DigestError::Passed { applied });
        }
        if applied == index {
            return Ok(Ok(self.seal()?));
        }
        let mut awaited = self.awaited();
        awaited.retain(|awaited| !awaited.tell.is_closed());
        if awaited.len() >= MOST_AWAITED {
            return Err(DigestError::Busy);
        }
        let (tell, told) = oneshot::channel();
        awaited.push(Awaited { index, tell });
        Ok(Err(told))
    }

    /// Whether somebody waits for this index.
    pub fn is_awaited(&self, index: u64) -> bool {
        self.awaited().iter().any(|awaited| awaited.index == index)
    }

    /// Tells those who wait that the storage is at this index. The caller holds the turn.
    pub fn reached(&self, applied: u64) {
        let mut awaited = self.awaited();
        for Awaited { index, tell } in awaited.extract_if(.., |awaited| awaited.index <= applied) {
            let answer = if index == applied {
                self.seal().map_err(DigestError::from)
            } else {
                Err(DigestError::Passed { applied })
            };
            // Whoever has waited may be gone.
            let _ = tell.send(answer);
        }
    }

    fn seal(&self) -> Result<Seal, StorageError> {
        let snapshot = self.adapter.snapshot()?;
        Ok(Box::new(move || snapshot.write(Origin::anywhere(), &mut io::sink())))
    }

    fn applied(&self) -> u64 {
        self.adapter.applied().position.index
    }

    fn awaited(&self) -> MutexGuard<'_, Vec<Awaited>> {
        self.awaited.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
