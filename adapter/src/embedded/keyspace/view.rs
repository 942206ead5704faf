//! A consistent view of the store for one reading command.
//!
//! Most reads are short: `GET` looks up one record. Such a read takes no RocksDB snapshot, which would cost
//! RocksDB's global mutex and draining the write buffer first. Instead it pins commits while it runs. If a commit
//! is just becoming visible, it does not wait either: a single look-up sees the state before or after it, and only
//! a second one would have to see the same.

use std::cell::{Cell, OnceCell};

use rocksdb::Snapshot;

use crate::embedded::db::commit_lock::CommitPin;
use crate::embedded::db::key_range::KeyRange;
use crate::embedded::db::schema::{Family, Record, deadline_key, split_deadline};
use crate::embedded::db::state::State;
use crate::embedded::db::store::Store;
use crate::embedded::keyspace::read::TypedKeyspace;
use crate::embedded::keyspace::reader::{Reader, Visitor};
use crate::embedded::offload::remote::{RemoteValue, RemoteValues, ValueId};
use crate::error::{Outcome, Stop};
use crate::keyspace::{Direction, Kind};

/// Above these lengths (bytes of a string, elements of a collection), a command that is not constant-time, and any
/// command on a string, moves off the connection's thread.
const LONG_STRING: u64 = 256 * 1024;
const LARGE_COLLECTION: u64 = 2048;

/// What a view may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Any key; the calling thread may block.
    Unhurried,
    /// No long strings; the command takes constant time on collections.
    FastCommand,
    /// No long strings, no large collections.
    ShortOnly,
}

/// What keeps the content stable between look-ups.
enum Isolation<'s> {
    /// Nothing, so only one look-up is allowed. Set once it was made.
    SingleLookup(Cell<bool>),
    /// No commit becomes visible meanwhile.
    CommitsPinned { _commits: CommitPin<'s> },
    /// A snapshot, taken by the first look-up.
    Snapshot(OnceCell<Snapshot<'s>>),
}

/// The store, as one command sees it.
pub(crate) struct StoreReader<'s> {
    store: &'s Store,
    remote: Option<&'s dyn RemoteValues>,
    isolation: Isolation<'s>,
    pace: Pace,
}

/// The keyspace of a reading command.
pub(crate) type View<'s> = TypedKeyspace<StoreReader<'s>>;

impl<'s> View<'s> {
    /// A view that never waits, for a command that probably reads one record. Returns [`Stop::Pending`] if the
    /// command has to be run again on another view.
    pub(crate) fn light(store: &'s Store, now_ms: u64, pace: Pace) -> Self {
        let isolation = match store.try_pin_commits() {
            Some(commits) => Isolation::CommitsPinned { _commits: commits },
            None => Isolation::SingleLookup(Cell::new(false)),
        };
        Self::over(StoreReader { store, remote: None, isolation, pace }, now_ms)
    }

    /// A view for a short command. Returns [`Stop::Pending`] if it needs [`View::fixed`].
    pub(crate) fn short(store: &'s Store, now_ms: u64, pace: Pace) -> Self {
        let isolation = Isolation::CommitsPinned { _commits: store.pin_commits() };
        Self::over(StoreReader { store, remote: None, isolation, pace }, now_ms)
    }

    /// A view pinned at the first look-up, for as long as it lives.
    pub(crate) fn fixed(store: &'s Store, now_ms: u64) -> Self {
        let isolation = Isolation::Snapshot(OnceCell::new());
        Self::over(StoreReader { store, remote: None, isolation, pace: Pace::Unhurried }, now_ms)
    }

    /// Sets where remote values come from.
    pub(crate) fn with(mut self, remote: Option<&'s dyn RemoteValues>) -> Self {
        self.source.remote = remote;
        self
    }

    /// Whether the command might succeed on [`View::short`].
    pub(crate) fn is_single(&self) -> bool {
        matches!(self.source.isolation, Isolation::SingleLookup(_))
    }
}

impl<'s> StoreReader<'s> {
    /// The snapshot to read at, if there is one.
    fn snapshot(&self) -> Outcome<Option<&Snapshot<'s>>> {
        match &self.isolation {
            Isolation::SingleLookup(used) if used.replace(true) => Err(Stop::Pending),
            Isolation::SingleLookup(_) | Isolation::CommitsPinned { .. } => Ok(None),
            Isolation::Snapshot(cell) => {
                if let Some(snapshot) = cell.get() {
                    return Ok(Some(snapshot));
                }
                let snapshot = self.store.snapshot()?;
                Ok(Some(cell.get_or_init(|| snapshot)))
            }
        }
    }
}

impl StoreReader<'_> {
    /// Visits deadlines in order, beginning at the first that there may be: keys that expired have left tombstones at
    /// those before it, and nobody should step over the same ones each time.
    fn scan_deadlines(&self, range: &KeyRange, visit: &mut Visitor<'_>) -> Outcome<()> {
        let tombstones = self.store.tombstones();
        let known = deadline_key(tombstones.first_deadline(), b"");
        let range = KeyRange { lower: range.lower.clone().max(known), upper: range.upper.clone() };
        if range.is_empty() {
            return Ok(());
        }
        let begins_first = range.lower <= deadline_key(tombstones.first_deadline(), b"");
        let mut cursor = self.store.cursor(None, Family::Deadlines, &range, Direction::Forward)?;
        if begins_first {
            match (cursor.item(), &range.upper) {
                (Some((first, _)), _) => tombstones.none_before(split_deadline(first)?),
                (None, Some(upper)) => tombstones.none_before(split_deadline(upper)?),
                (None, None) => {}
            }
        }
        while let Some((key, value)) = cursor.item() {
            if visit(key, value)?.is_break() {
                break;
            }
            cursor.advance()?;
        }
        Ok(())
    }
}

impl Reader for StoreReader<'_> {
    fn get<T>(&self, family: Family, key: &[u8], decode: impl FnOnce(&[u8]) -> T) -> Outcome<Option<T>> {
        self.store.get(self.snapshot()?, family, key, decode)
    }

    fn scan(
        &self,
        family: Family,
        range: &KeyRange,
        direction: Direction,
        visit: &mut Visitor<'_>,
    ) -> Outcome<()> {
        if range.is_empty() {
            return Ok(());
        }
        let snapshot = self.snapshot()?;
        // Buffered records are unordered.
        if family == Family::Meta && snapshot.is_none() {
            return Err(Stop::Pending);
        }
        if family == Family::Deadlines
            && let Isolation::CommitsPinned { .. } = self.isolation
        {
            return self.scan_deadlines(range, visit);
        }
        let mut cursor = self.store.cursor(snapshot, family, range, direction)?;
        while let Some((key, value)) = cursor.item() {
            if visit(key, value)?.is_break() {
                break;
            }
            cursor.advance()?;
        }
        Ok(())
    }

    fn state(&self) -> Outcome<State> {
        match self.snapshot()? {
            Some(snapshot) => self.store.state_at(snapshot),
            None => Ok(self.store.state()),
        }
    }

    fn is_loading(&self) -> bool {
        self.store.is_loading()
    }

    fn remote(&self) -> Option<&dyn RemoteValues> {
        self.remote
    }

    fn readahead(&self, place: &ValueId) -> Outcome<Vec<RemoteValue>> {
        Ok(self.store.remote_values_after(self.snapshot()?, place)?)
    }

    fn check_record(&self, record: &Record) -> Outcome<()> {
        let too_much = match (self.pace, record.kind) {
            (Pace::Unhurried, _) => false,
            (_, Kind::String) => record.len > LONG_STRING,
            (Pace::FastCommand, _) => false,
            (Pace::ShortOnly, _) => record.len > LARGE_COLLECTION,
        };
        if too_much { Err(Stop::Pending) } else { Ok(()) }
    }
}
