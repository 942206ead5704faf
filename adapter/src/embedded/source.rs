//! What reading needs of whatever is read: a look-up and an ordered scan.

use std::cmp::Ordering;

use super::encoding::{Family, KeyBuf};
use super::store::State;
use crate::error::Outcome;
use crate::keyspace::{Direction, Step};

/// The keys from `lower` on, up to but not including `upper`; no `upper` is no end.
#[derive(Clone, Debug)]
pub(super) struct Span {
    pub(super) lower: KeyBuf,
    pub(super) upper: Option<KeyBuf>,
}

impl Span {
    /// The keys in `lower..upper`.
    pub(super) fn new(lower: KeyBuf, upper: KeyBuf) -> Self {
        Self { lower, upper: Some(upper) }
    }

    /// The keys from `lower` on.
    pub(super) fn from(lower: KeyBuf) -> Self {
        Self { lower, upper: None }
    }

    /// Whether no key can be inside.
    pub(super) fn is_empty(&self) -> bool {
        self.upper.as_ref().is_some_and(|upper| *upper <= self.lower)
    }
}

/// What a scan is given: the key and the value.
pub(super) type Visitor<'v> = dyn FnMut(&[u8], &[u8]) -> Outcome<Step> + 'v;

/// Something that can be read.
pub(super) trait Source {
    /// Looks a value up and hands it to `decode`.
    fn get<T>(&self, family: Family, key: &[u8], decode: impl FnOnce(&[u8]) -> T) -> Outcome<Option<T>>;

    /// Visits the keys of a span in order, or in reverse.
    fn scan(&self, family: Family, span: &Span, direction: Direction, visit: &mut Visitor<'_>)
    -> Outcome<()>;

    /// The counts.
    fn state(&self) -> Outcome<State>;

    /// Is told of every record before it is used, and may refuse to go on.
    fn met(&self, _record: &super::encoding::Record) -> Outcome<()> {
        Ok(())
    }
}

/// Which of two keys a scan meets first.
pub(super) fn first(direction: Direction, left: &[u8], right: &[u8]) -> Ordering {
    match direction {
        Direction::Forward => left.cmp(right),
        Direction::Backward => right.cmp(left),
    }
}
