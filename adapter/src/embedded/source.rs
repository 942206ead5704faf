//! What reading needs of whatever is read: a look-up and an ordered scan.

use std::cmp::Ordering;

use bytes::Bytes;

use super::encoding::{Family, KeyBuf, Record, Stub, damaged, member_key, place_key};
use super::encoding::{split_member_key, split_place_key};
use super::store::State;
use crate::error::{Outcome, Stop};
use crate::keyspace::{Direction, Kind, Step};

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

/// Which value of which key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(crate) key: Bytes,
    pub(crate) part: Part,
}

/// Which value of a key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Part {
    /// A short string.
    String,
    /// A piece of a long string, by version and number.
    Piece(u64, u64),
    /// The value of a field, by version and field.
    Field(u64, Bytes),
    /// An element of a list, by version and place.
    Element(u64, u64),
}

/// A value that is lacking: where it is, and what it is known by.
pub(crate) type Need = (Place, Stub);

impl Place {
    /// Of a value in a key's content: the content, and where in its family the value is stored.
    pub(super) fn in_content(&self) -> Option<(Whole, KeyBuf)> {
        let (kind, version, at) = match &self.part {
            Part::String => return None,
            Part::Piece(version, number) => (Kind::String, *version, place_key(*version, *number)),
            Part::Field(version, field) => (Kind::Hash, *version, member_key(*version, field)),
            Part::Element(version, number) => (Kind::List, *version, place_key(*version, *number)),
        };
        Some((Whole { key: self.key.clone(), kind, version }, at))
    }
}

/// The content of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Whole {
    pub(crate) key: Bytes,
    pub(crate) kind: Kind,
    pub(crate) version: u64,
}

impl Whole {
    /// Where its values are stored; none if it has none.
    pub(crate) fn family(&self) -> Option<Family> {
        Record::values(self.kind)
    }

    /// The value that is stored at a place of that family.
    pub(crate) fn at(&self, stored: &[u8]) -> Outcome<Place> {
        let part = match self.kind {
            Kind::Hash => Part::Field(self.version, Bytes::copy_from_slice(split_member_key(stored)?.1)),
            Kind::String => Part::Piece(self.version, split_place_key(stored)?),
            Kind::List => Part::Element(self.version, split_place_key(stored)?),
            Kind::Set | Kind::SortedSet => return Err(damaged("a value of what has none")),
        };
        Ok(Place { key: self.key.clone(), part })
    }
}

/// What a walk over all content comes to behind a place that is not held here either, as far as it is worth while to
/// fetch it together.
pub(crate) type Next<'n> = dyn Fn(&Place) -> Outcome<Vec<Need>> + 'n;

/// Where values are that a store does not hold.
pub(crate) trait Elsewhere {
    /// The value if it is at hand. If not, the need is noted, and the answer is [`Stop::Pending`](crate::Stop).
    fn value(&self, place: Place, stub: Stub, next: &Next<'_>) -> Outcome<Bytes>;

    /// Notes that all values of a key's content are needed here. Answers [`Stop::Pending`](crate::Stop).
    fn whole(&self, whole: Whole) -> Stop;

    /// Whether a need has been noted.
    fn lacks(&self) -> bool;

    /// Whether a walk that has met a value that is not at hand should look on for more of them. Asked at every step.
    fn look_on(&self) -> bool;

    /// A walk over all content in hash order comes to a key.
    fn walk_begins(&self, _key: &[u8]) {}
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

    /// Whether data is being adopted.
    fn is_loading(&self) -> bool;

    /// Where values are that this does not hold; none if it holds them all.
    fn elsewhere(&self) -> Option<&dyn Elsewhere> {
        None
    }

    /// A value that is elsewhere.
    fn value_elsewhere(&self, place: Place, stub: Stub) -> Outcome<Bytes> {
        let elsewhere = self.elsewhere().ok_or_else(|| damaged("a value that is nowhere"))?;
        elsewhere.value(place, stub, &|place| self.next_elsewhere(place))
    }

    /// See [`Next`]; nothing where nobody walks over all content.
    fn next_elsewhere(&self, _place: &Place) -> Outcome<Vec<Need>> {
        Ok(Vec::new())
    }

    /// Is told of every record before it is used, and may refuse to go on.
    fn met(&self, _record: &Record) -> Outcome<()> {
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
