//! The storage as the state machine sees it.

use std::io::{Read, Write};

use async_trait::async_trait;
use bytes::Bytes;

use crate::batch::{Batch, LongArgument};
use crate::error::StorageError;
use crate::import_source::ImportSource;
use crate::position::{Applied, Digest, Position};
use crate::reply::Reply;
use crate::snapshot::Origin;

/// Committed entries, to be applied in order and as a whole.
#[derive(Clone, Debug, Default)]
pub struct Run {
    /// The batches, in log order. Entries that carry no commands (blank, membership) have none.
    pub batches: Vec<Batch>,
    /// The position behind the last of them.
    pub position: Position,
}

/// What a read answers.
#[derive(Clone, Debug)]
pub struct ReadOutcome {
    /// The reply.
    pub reply: Reply,
    /// Keys that the read skipped because they have expired by the reader's clock, though the log has not removed
    /// them yet. A linearizable read has them removed through the log before it answers.
    pub expired: Vec<Bytes>,
}

/// Whether a storage can serve.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Health {
    /// It can read and write.
    pub ok: bool,
    /// A sentence for people: what is wrong, or what the storage is.
    pub detail: String,
    /// Bytes that the data takes on disk, as far as the storage knows.
    pub bytes: u64,
}

/// One thing to know about a storage, for operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// Its name, in words joined by underscores, with the unit: `cache_bytes`.
    pub name: &'static str,
    /// What it is now.
    pub value: FactValue,
}

/// The value of a [`Fact`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FactValue {
    /// A word or a sentence.
    Text(String),
    /// A number that only grows while the process lives.
    Count(u64),
    /// A number that goes up and down.
    Level(u64),
}

impl Fact {
    /// A word or a sentence.
    pub fn text(name: &'static str, text: impl Into<String>) -> Self {
        Self { name, value: FactValue::Text(text.into()) }
    }

    /// A number that only grows.
    pub const fn count(name: &'static str, count: u64) -> Self {
        Self { name, value: FactValue::Count(count) }
    }

    /// A number that goes up and down.
    pub const fn level(name: &'static str, level: u64) -> Self {
        Self { name, value: FactValue::Level(level) }
    }
}

impl std::fmt::Display for FactValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Count(number) | Self::Level(number) => number.fmt(f),
        }
    }
}

/// A storage that applies committed batches and answers reads.
///
/// One writer: `apply`, `flush`, `snapshot` and `install` are called by the state machine, one at a time.
/// Reads run beside them from any task.
#[async_trait]
pub trait Adapter: Send + Sync + 'static {
    /// What the storage contains now; after a crash, what survived.
    fn applied(&self) -> Applied;

    /// Applies a run and answers the replies, one list per batch. The position is stored atomically with the
    /// effects: after a crash, the data is that of some position, and [`Adapter::applied`] says which. The time
    /// of a batch is the later of its own and that of the batch before. [`StorageError::Lost`] means that nothing of
    /// the run was applied; any other error leaves the storage at an unknown place in it and is fatal to the caller.
    async fn apply(&self, run: Run) -> Result<Vec<Vec<Reply>>, StorageError>;

    /// Takes the bytes of a long argument as they arrive, before the batch that they belong to is applied
    /// ([`Batch::upload`]). Nobody sees them until then, and the batch has all of them again: a storage may write them
    /// ahead, or do nothing. Called between runs, as `apply` is.
    async fn stage(&self, _arrived: LongArgument<'_>) -> Result<(), StorageError> {
        Ok(())
    }

    /// The upload whose arguments were staged was given up.
    async fn unstage(&self) -> Result<(), StorageError> {
        Ok(())
    }

    /// Runs a reading command on what is applied. `now_ms` is the reader's clock: keys that are due at the later
    /// of it and the last batch's time are hidden.
    async fn read(&self, args: Vec<Bytes>, now_ms: u64) -> ReadOutcome;

    /// Runs reading commands on one view of the content, which no write changes meanwhile; one outcome for each, in their
    /// order. `now_ms` is as for [`Self::read`].
    async fn read_together(&self, calls: Vec<Vec<Bytes>>, now_ms: u64) -> Vec<ReadOutcome>;

    /// Whether a read may have to wait for another process: then it pays to begin several at once.
    fn reads_wait(&self) -> bool {
        false
    }

    /// Keys due at `now_ms` by the deadlines that are stored, at most `limit`.
    async fn due_keys(&self, now_ms: u64, limit: usize) -> Result<Vec<Bytes>, StorageError>;

    /// Makes everything applied durable and answers the position that is now safe.
    async fn flush(&self) -> Result<Position, StorageError>;

    /// Takes a snapshot of the current content, to be written to a stream later while writes go on.
    fn snapshot(&self) -> Result<Box<dyn Snapshot>, StorageError>;

    /// Reads and verifies a snapshot stream, and only then replaces all content, durably. A failure or a crash
    /// leaves the old content.
    async fn install(&self, stream: Box<dyn Read + Send>) -> Result<Applied, StorageError>;

    /// The hash of the logical content at the current position.
    async fn digest(&self) -> Result<(Position, Digest), StorageError>;

    /// Stops the storage's background work, while what that needs still exists. No calls follow.
    async fn close(&self) {}

    /// A source of data that the storage already has and that belongs to no cluster yet.
    fn import_source(&self) -> Option<Box<dyn ImportSource>> {
        None
    }

    /// Whether the storage can serve.
    fn health(&self) -> Health;

    /// Facts about the storage, in the order in which they are shown.
    fn facts(&self) -> Vec<Fact> {
        let Health { ok, detail, bytes } = self.health();
        vec![
            Fact::text("state", if ok { "up" } else { "failed" }),
            Fact::text("detail", detail),
            Fact::level("bytes", bytes),
        ]
    }

    /// Resolves when the storage is found to have lost data, with a sentence on how that shows. To recover,
    /// [`Adapter::install`] an earlier position and apply what follows it.
    async fn lost(&self) -> String {
        std::future::pending().await
    }

    /// Announces that the content may go back to a position before what reads have seen, so reads are refused; or
    /// that this is over.
    fn set_rebuilding(&self, _rebuilding: bool) {}
}

/// A snapshot: a storage's content at one position.
pub trait Snapshot: Send {
    /// What is in it.
    fn applied(&self) -> &Applied;

    /// Writes it as a snapshot stream; answers the digest of the content. Blocking: call it on a thread that may
    /// block.
    fn write(self: Box<Self>, origin: Origin, out: &mut (dyn Write + Send)) -> Result<Digest, StorageError>;
}
