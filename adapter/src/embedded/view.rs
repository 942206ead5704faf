//! A consistent view of the store for one reading command.
//!
//! Most reads need one record: `GET` of a short string. Such a read needs no snapshot, whose making and release
//! take RocksDB's big lock. So the first look-up is made without one. The second makes a snapshot, and if
//! something was committed in between, the command is run again with a snapshot from its beginning.

use std::cell::{Cell, OnceCell};

use rocksdb::Snapshot;

use super::encoding::{Family, Record};
use super::source::{Source, Span, Visitor};
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

/// The store, as one command sees it.
pub(super) struct Fixed<'s> {
    store: &'s Store,
    snapshot: OnceCell<Snapshot<'s>>,
    /// Where the store was before the first look-up, made without a snapshot.
    began_at: Cell<Option<u64>>,
    pace: Pace,
}

/// A reading command's keyspace.
pub(super) type View<'s> = Typed<Fixed<'s>>;

impl<'s> View<'s> {
    /// A view for a command that probably reads one record. Answers [`Stop::Pending`] when it turns out that the
    /// command must be run again on [`View::fixed`].
    pub(super) fn light(store: &'s Store, now_ms: u64, pace: Pace) -> Self {
        Self::over(Fixed { store, snapshot: OnceCell::new(), began_at: Cell::new(None), pace }, now_ms)
    }

    /// A view of the content at this moment.
    pub(super) fn fixed(store: &'s Store, now_ms: u64) -> Self {
        let snapshot = OnceCell::from(store.snapshot());
        Self::over(Fixed { store, snapshot, began_at: Cell::new(None), pace: Pace::Unhurried }, now_ms)
    }
}

impl<'s> Fixed<'s> {
    /// The snapshot, made now if there is none.
    fn snapshot(&self) -> Outcome<&Snapshot<'s>> {
        if let Some(snapshot) = self.snapshot.get() {
            return Ok(snapshot);
        }
        let snapshot = self.store.snapshot();
        if self.began_at.get().is_some_and(|sequence| sequence != snapshot.sequence_number()) {
            return Err(Stop::Pending);
        }
        Ok(self.snapshot.get_or_init(|| snapshot))
    }
}

impl Source for Fixed<'_> {
    fn get<T>(&self, family: Family, key: &[u8], decode: impl FnOnce(&[u8]) -> T) -> Outcome<Option<T>> {
        let first = self.snapshot.get().is_none() && self.began_at.get().is_none();
        if first {
            self.began_at.set(Some(self.store.sequence()));
            return self.store.get(None, family, key, decode);
        }
        self.store.get(Some(self.snapshot()?), family, key, decode)
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
        let mut cursor = self.store.cursor(Some(self.snapshot()?), family, span, direction)?;
        while let Some((key, value)) = cursor.item() {
            if visit(key, value)?.is_break() {
                break;
            }
            cursor.advance()?;
        }
        Ok(())
    }

    fn state(&self) -> Outcome<State> {
        self.store.state_at(self.snapshot()?)
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
