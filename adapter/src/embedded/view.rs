//! A consistent view of the store for one reading command.
//!
//! Most reads are short: `GET` looks one record up. Such a read makes no RocksDB snapshot, which would take RocksDB's
//! big lock and, before it, the records that are held back written. It keeps commits from becoming visible while it
//! runs. If one is just becoming visible, it does not wait either: a single look-up sees the state before or
//! behind it, and only a second one would have to be of the same.

use std::cell::{Cell, OnceCell};
use std::sync::RwLockReadGuard;

use rocksdb::Snapshot;

use super::encoding::{Family, Record};
use super::source::{Elsewhere, Need, Place, Source, Span, Visitor};
use super::store::{State, Store};
use super::typed::Typed;
use crate::error::{Outcome, Stop};
use crate::keyspace::{Direction, Kind};

/// Above this length a command that is not constant-time, and any command on a string, leaves the connection's
/// thread: bytes of a string, elements of a collection.
const LONG_STRING: u64 = 256 * 1024;
const LARGE_COLLECTION: u64 = 2048;

/// What a view may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// Any key; the caller's thread may block.
    Unhurried,
    /// No long string; the command takes constant time on collections.
    FastCommand,
    /// No long string, no large collection.
    ShortOnly,
}

/// What keeps the content the same from look-up to look-up.
enum Steady<'s> {
    /// Nothing: there may be one look-up. Set when it was made.
    Once(Cell<bool>),
    /// Nothing is committed meanwhile.
    Held { _commits: RwLockReadGuard<'s, ()> },
    /// A snapshot, made by the first look-up.
    Snapshot(OnceCell<Snapshot<'s>>),
}

/// The store, as one command sees it.
pub(super) struct Fixed<'s> {
    store: &'s Store,
    elsewhere: Option<&'s dyn Elsewhere>,
    steady: Steady<'s>,
    pace: Pace,
}

/// A reading command's keyspace.
pub(super) type View<'s> = Typed<Fixed<'s>>;

impl<'s> View<'s> {
    /// A view for a command that probably reads one record, and waits for nothing. Answers [`Stop::Pending`] when it
    /// turns out that the command must be run again on another view.
    pub(super) fn light(store: &'s Store, now_ms: u64, pace: Pace) -> Self {
        let steady = match store.try_hold_commits() {
            Some(commits) => Steady::Held { _commits: commits },
            None => Steady::Once(Cell::new(false)),
        };
        Self::over(Fixed { store, elsewhere: None, steady, pace }, now_ms)
    }

    /// A view for a short command. Answers [`Stop::Pending`] when [`View::fixed`] is needed.
    pub(super) fn short(store: &'s Store, now_ms: u64, pace: Pace) -> Self {
        let steady = Steady::Held { _commits: store.hold_commits() };
        Self::over(Fixed { store, elsewhere: None, steady, pace }, now_ms)
    }

    /// A view of the content at the first look-up, for as long as it is kept.
    pub(super) fn fixed(store: &'s Store, now_ms: u64) -> Self {
        let steady = Steady::Snapshot(OnceCell::new());
        Self::over(Fixed { store, elsewhere: None, steady, pace: Pace::Unhurried }, now_ms)
    }

    /// Has values that the store does not hold come from there.
    pub(super) fn with(mut self, elsewhere: Option<&'s dyn Elsewhere>) -> Self {
        self.source.elsewhere = elsewhere;
        self
    }

    /// Whether the command may find more on [`View::short`].
    pub(super) fn is_single(&self) -> bool {
        matches!(self.source.steady, Steady::Once(_))
    }
}

impl<'s> Fixed<'s> {
    /// The snapshot to read at, if there is one.
    fn snapshot(&self) -> Outcome<Option<&Snapshot<'s>>> {
        match &self.steady {
            Steady::Once(used) if used.replace(true) => Err(Stop::Pending),
            Steady::Once(_) | Steady::Held { .. } => Ok(None),
            Steady::Snapshot(cell) => {
                if let Some(snapshot) = cell.get() {
                    return Ok(Some(snapshot));
                }
                let snapshot = self.store.snapshot()?;
                Ok(Some(cell.get_or_init(|| snapshot)))
            }
        }
    }
}

impl Source for Fixed<'_> {
    fn get<T>(&self, family: Family, key: &[u8], decode: impl FnOnce(&[u8]) -> T) -> Outcome<Option<T>> {
        self.store.get(self.snapshot()?, family, key, decode)
    }

    fn scan(
        &self,
        family: Family,
        span: &Span,
        direction: Direction,
        visit: &mut Visitor<'_>,
    ) -> Outcome<()> {
        if span.is_empty() {
            return Ok(());
        }
        let snapshot = self.snapshot()?;
        // Records that are held back are in no order.
        if family == Family::Meta && snapshot.is_none() {
            return Err(Stop::Pending);
        }
        let mut cursor = self.store.cursor(snapshot, family, span, direction)?;
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

    fn elsewhere(&self) -> Option<&dyn Elsewhere> {
        self.elsewhere
    }

    fn next_elsewhere(&self, place: &Place) -> Outcome<Vec<Need>> {
        Ok(self.store.away_behind(self.snapshot()?, place)?)
    }

    fn met(&self, record: &Record) -> Outcome<()> {
        let too_much = match (self.pace, record.kind) {
            (Pace::Unhurried, _) => false,
            (_, Kind::String) => record.len > LONG_STRING,
            (Pace::FastCommand, _) => false,
            (Pace::ShortOnly, _) => record.len > LARGE_COLLECTION,
        };
        if too_much { Err(Stop::Pending) } else { Ok(()) }
    }
}
